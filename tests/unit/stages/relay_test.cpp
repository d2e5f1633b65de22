// Forwarding and relaying: what RFC 5452 asks, and what goes wrong with upstreams.
#include <set>

#include "dataplane/stages/stages.h"
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

using Relay = WorkerTest;
using net::testing::build;
using net::testing::first_fragment;

TEST_F(Relay, answer_reaches_the_client_with_its_own_id_and_case) {
  const Sent question = ask_upstream(query("ServeR1.CORP", 0x1234));
  EXPECT_TRUE(question.to(kTargetA));
  EXPECT_EQ(question.frame.source, *IpAddress::parse(kOutbound));
  rig.reply(question, answer_to(question.dns));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.frame.destination_port, 40000);
  EXPECT_EQ(answer.id(), 0x1234);
  const Bytes name = wire_name("ServeR1.CORP");
  EXPECT_TRUE(std::equal(name.begin(), name.end(), answer.dns.begin() + 12));
  EXPECT_EQ(load_be16(&answer.dns[6]), 1);
  EXPECT_EQ(load_be16(&answer.dns[10]), 0) << "no OPT for a client that sent none";
}

TEST_F(Relay, second_query_is_answered_from_the_cache_with_aged_ttl) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.reply(question, answer_to(question.dns, 1, 300));
  rig.turn_for_one();
  rig.ask(query("A.corp", 7));
  rig.turn(10'000);
  const std::vector<Sent> sent = rig.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].id(), 7);
  EXPECT_EQ(sent[0].dns[13], 'A');
  EXPECT_EQ(load_be32(&sent[0].dns[12 + 8 + 4 + 6]), 290u);
  EXPECT_EQ(rig.stats()[Counter::cache_hits], 1u);
}

TEST_F(Relay, cached_answer_expires_with_its_ttl) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.reply(question, answer_to(question.dns, 1, 5));
  rig.turn_for_one();
  rig.ask(query("a.corp"));
  rig.turn(6000);
  const std::vector<Sent> sent = rig.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].to(kTargetA));
}

TEST_F(Relay, dnssec_ok_and_plain_questions_have_answers_of_their_own) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.reply(question, answer_to(question.dns));
  rig.turn_for_one();
  const Sent again = ask_upstream(query("a.corp", 2, 1, 1232, true));
  EXPECT_TRUE(again.to(kTargetA));
}

TEST_F(Relay, equal_questions_in_flight_share_one_slot) {
  rig.ask(query("a.corp", 1), kClient, 1111);
  rig.ask(query("A.corp", 2), "10.0.0.7", 2222);
  const Sent question = rig.turn_for_one();
  EXPECT_EQ(rig.stats()[Counter::coalesced], 1u);
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  std::vector<Sent> answers = rig.sent();
  ASSERT_EQ(answers.size(), 2u);
  std::set<std::uint16_t> ids;
  for (const Sent& a : answers) {
    ids.insert(a.id());
    EXPECT_EQ(a.dns[13], a.id() == 1 ? 'a' : 'A');
    EXPECT_EQ(a.frame.destination_port, a.id() == 1 ? 1111 : 2222);
  }
  EXPECT_EQ(ids, (std::set<std::uint16_t>{1, 2}));
}

TEST_F(Relay, ids_and_source_ports_are_unpredictable) {
  std::set<std::uint16_t> ids, ports;
  for (unsigned i = 0; i < 200; ++i) {
    const Sent q = ask_upstream(query("n" + std::to_string(i) + ".corp"));
    ids.insert(q.id());
    ports.insert(q.frame.source_port);
    EXPECT_GE(q.frame.source_port, 1024);
  }
  EXPECT_GT(ids.size(), 190u);
  EXPECT_GT(ports.size(), 190u);
}

// --- what RFC 5452 section 9.1 has us check
// ---------------------------------------------------------------------------

TEST_F(Relay, wrong_id_is_dropped_and_the_wait_goes_on) {
  const Sent question = ask_upstream(query("a.corp"));
  Bytes forged = answer_to(question.dns);
  forged[0] ^= 1;
  rig.reply(question, forged);
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::unknown], 1u);
  rig.reply(question, answer_to(question.dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Relay, wrong_source_address_is_dropped_and_the_wait_goes_on) {
  const Sent question = ask_upstream(query("a.corp"));
  auto frame = rig.reply_frame(question, answer_to(question.dns));
  frame.source = kTargetB;
  rig.receive(net::testing::build(frame));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::wrong_source], 1u);
  rig.reply(question, answer_to(question.dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Relay, wrong_source_port_is_dropped) {
  const Sent question = ask_upstream(query("a.corp"));
  auto frame = rig.reply_frame(question, answer_to(question.dns));
  frame.source_port = 54;
  rig.receive(net::testing::build(frame));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::wrong_source], 1u);
}

TEST_F(Relay, wrong_destination_port_is_dropped) {
  const Sent question = ask_upstream(query("a.corp"));
  auto frame = rig.reply_frame(question, answer_to(question.dns));
  frame.destination_port = static_cast<std::uint16_t>(frame.destination_port ^ 1);
  rig.receive(net::testing::build(frame));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::unknown], 1u);
}

TEST_F(Relay, wrong_question_is_dropped_and_the_wait_goes_on) {
  const Sent question = ask_upstream(query("a.corp"));
  for (const Bytes& other : {query("b.corp", question.id()), query("a.corp", question.id(), 28)}) {
    rig.reply(question, answer_to(other));
  }
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::wrong_question], 2u);
  rig.reply(question, answer_to(question.dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Relay, query_in_place_of_an_answer_is_dropped) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.reply(question, question.dns);
  rig.turn();
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::not_response], 1u);
}

TEST_F(Relay, malformed_empty_and_questionless_answers_are_dropped) {
  const Sent question = ask_upstream(query("a.corp"));
  Bytes cut = answer_to(question.dns);
  cut.resize(cut.size() - 3);
  rig.reply(question, cut);
  Bytes questionless = answer_to(question.dns);
  questionless[5] = 0;
  rig.reply(question, questionless);
  rig.reply(question, Bytes{question.dns[0], question.dns[1]});
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::malformed], 2u);
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::short_header], 1u);
  rig.reply(question, answer_to(question.dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Relay, a_million_forgeries_and_the_true_answer_is_delivered) {
  const Sent question = ask_upstream(query("a.corp"));
  const Bytes truth = answer_to(question.dns);
  auto frame = rig.reply_frame(question, truth);
  for (unsigned i = 0; i < 1'000'000; ++i) {
    // Every id but the right one at the right port, and other ports around it.
    const unsigned id = (question.id() + 1 + i % 65535) & 0xffff;
    store_be16(frame.payload.data(), static_cast<std::uint16_t>(id));
    frame.destination_port = static_cast<std::uint16_t>(question.frame.source_port - (i / 65535) % 8);
    ASSERT_TRUE(rig.receive(net::testing::build(frame)));
    if (i % 2048 == 2047) rig.turn();
  }
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  rig.reply(question, truth);
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

// --- faults of upstreams
// ------------------------------------------------------------------------------------------------

TEST_F(Relay, silent_target_and_the_other_one_is_tried) {
  const Sent first = ask_upstream(query("a.corp"));
  EXPECT_TRUE(first.to(kTargetA));
  rig.turn(810);
  const std::vector<Sent> second = rig.sent();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_TRUE(second[0].to(kTargetB));
  EXPECT_NE(second[0].frame.source_port << 16 | second[0].id(), first.frame.source_port << 16 | first.id());
  rig.reply(second[0], answer_to(second[0].dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
  EXPECT_EQ(rig.stats()[Counter::retried], 1u);
}

TEST_F(Relay, slow_answer_of_the_first_target_still_counts_while_the_second_is_asked) {
  const Sent first = ask_upstream(query("a.corp"));
  rig.turn(810);
  ASSERT_EQ(rig.sent().size(), 1u);
  rig.reply(first, answer_to(first.dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Relay, all_targets_silent_gives_servfail_within_four_seconds) {
  ask_upstream(query("a.corp", 9, 1, 1232));
  rig.turn(810);
  ASSERT_EQ(rig.sent().size(), 1u);
  rig.turn(810);
  const std::vector<Sent> sent = rig.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].to(kClient));
  EXPECT_EQ(sent[0].id(), 9);
  EXPECT_EQ(sent[0].rcode(), dns::Rcode::kServFail);
  // The last option is EDE 22, no reachable authority (RFC 8914).
  EXPECT_EQ(load_be16(&sent[0].dns[sent[0].dns.size() - 6]), 15);
  EXPECT_EQ(load_be16(&sent[0].dns[sent[0].dns.size() - 2]), 22);
}

TEST_F(Relay, failure_is_remembered_so_that_retries_do_not_storm) {
  ask_upstream(query("a.corp"));
  rig.turn(810);
  rig.turn(810);
  rig.sent();
  rig.ask(query("a.corp", 2));
  const Sent again = rig.turn_for_one();
  EXPECT_TRUE(again.to(kClient));
  EXPECT_EQ(again.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(rig.stats()[Counter::answered_cache], 1u);
}

TEST_F(Relay, late_answer_is_dropped_and_lands_in_no_reused_slot) {
  const Sent first = ask_upstream(query("a.corp"));
  rig.turn(810);
  rig.turn(810);
  rig.sent();
  const Sent other = ask_upstream(query("b.corp"));
  rig.reply(first, answer_to(first.dns));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::unknown], 1u);
  rig.reply(other, answer_to(other.dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Relay, target_marked_down_is_passed_over) {
  rig.health(0).up = 0;
  EXPECT_TRUE(ask_upstream(query("a.corp")).to(kTargetB));
}

TEST_F(Relay, all_targets_down_gives_servfail_at_once) {
  rig.health(0).up = rig.health(1).up = 0;
  rig.ask(query("a.corp"));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
}

TEST_F(Relay, truncated_answer_reaches_a_udp_client_at_once_and_is_never_cached) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.reply(question, truncated_answer_to(question.dns));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_NE(answer.flags() & dns::kTc, 0);
  EXPECT_TRUE(ask_upstream(query("a.corp", 2)).to(kTargetA));
}

TEST_F(Relay, first_fragment_of_an_answer_counts_as_a_truncated_answer) {
  const Sent question = ask_upstream(query("a.corp", 1, 1, 1232));
  rig.receive(first_fragment(build(rig.reply_frame(question, answer_to(question.dns, 60))), 200));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.rcode(), dns::Rcode::kNoError);
  EXPECT_NE(answer.flags() & dns::kTc, 0);
  EXPECT_EQ(load_be16(&answer.dns[6]), 0) << "records";
  EXPECT_EQ(load_be16(&answer.dns[10]), 1) << "OPT";
  EXPECT_EQ(rig.stats()[Counter::answers_fragmented], 1u);
  EXPECT_TRUE(ask_upstream(query("a.corp", 2)).to(kTargetA)) << "never cached";
}

TEST_F(Relay, fragments_that_fail_a_check_are_dropped_and_the_wait_goes_on) {
  const Sent question = ask_upstream(query("a.corp"));
  const net::testing::FrameSpec whole = rig.reply_frame(question, answer_to(question.dns, 60));
  rig.receive(first_fragment(build(whole), 18));  // breaks off inside the question
  net::testing::FrameSpec bent = whole;
  bent.destination_port = kDnsPort;
  rig.receive(first_fragment(build(bent), 200));
  bent = whole;
  bent.destination = kEndpoint;
  rig.receive(first_fragment(build(bent), 200));
  rig.turn();
  EXPECT_EQ(rig.stats().frame_drops[FrameDrop::ip_fragment], 3u);
  bent = whole;
  bent.source = kTargetB;
  rig.receive(first_fragment(build(bent), 200));
  bent = whole;
  ++bent.payload[1];  // the id
  rig.receive(first_fragment(build(bent), 200));
  bent = whole;
  ++bent.payload[dns::kHeaderSize + 1];  // the name
  rig.receive(first_fragment(build(bent), 200));
  rig.turn();
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::wrong_source], 1u);
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::unknown], 1u);
  EXPECT_EQ(rig.stats().answer_drops[AnswerDrop::wrong_question], 1u);
  EXPECT_EQ(rig.sent().size(), 0u);
  rig.reply(question, answer_to(question.dns));
  EXPECT_EQ(load_be16(&rig.turn_for_one().dns[6]), 1);
}

TEST_F(Relay, answer_larger_than_the_clients_buffer_is_cut_with_tc_question_and_opt_kept) {
  const Sent question = ask_upstream(query("a.corp", 1, 1, 512));
  rig.reply(question, answer_to(question.dns, 60));
  for (int again = 0; again < 2; ++again) {  // relayed, then from the cache
    const Sent answer = rig.turn_for_one();
    EXPECT_NE(answer.flags() & dns::kTc, 0);
    EXPECT_EQ(load_be16(&answer.dns[4]), 1);
    EXPECT_EQ(load_be16(&answer.dns[6]), 0);
    EXPECT_EQ(load_be16(&answer.dns[10]), 1);
    EXPECT_LE(answer.dns.size(), 512u);
    if (again == 0) rig.ask(query("a.corp", 2, 1, 512));
  }
  EXPECT_EQ(rig.stats()[Counter::cache_hits], 1u);
}

TEST_F(Relay, client_options_travel_on_and_the_answer_is_not_shared) {
  Bytes with_option = query("a.corp", 1, 1, 1232);
  with_option.back() = 8;  // RDLENGTH
  append16(with_option, 65001);
  append16(with_option, 4);
  append32(with_option, 0x01020304);
  const Sent question = ask_upstream(with_option);
  EXPECT_EQ(load_be16(&question.dns[question.dns.size() - 8]), 65001);
  const Sent other = ask_upstream(query("a.corp", 2, 1, 1232));
  rig.reply(question, answer_to(question.dns));
  rig.turn_for_one();
  EXPECT_EQ(rig.stats()[Counter::cache_insertions], 0u);
  rig.reply(other, answer_to(other.dns));
  rig.turn_for_one();
  EXPECT_EQ(rig.stats()[Counter::coalesced], 0u);
}

TEST_F(Relay, client_options_are_sent_again_on_the_second_try) {
  Bytes with_option = query("a.corp", 1, 1, 1232);
  with_option.back() = 4;
  append16(with_option, 65001);
  append16(with_option, 0);
  const unsigned before = rig.free_buffers();
  ask_upstream(with_option);
  rig.turn(810);
  const std::vector<Sent> second = rig.sent();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(load_be16(&second[0].dns[second[0].dns.size() - 4]), 65001);
  rig.reply(second[0], answer_to(second[0].dns));
  rig.turn_for_one();
  rig.take_events();
  EXPECT_EQ(rig.free_buffers(), before) << "the copy that was held is free again";
}

// --- misses
// ---------------------------------------------------------------------------------------------------------------

TEST_F(Relay, miss_is_decided_by_the_control_plane_and_asked_by_the_worker) {
  rig.ask(query("www.example.net", 5));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  auto* packet = static_cast<rte_mbuf*>(p);
  EXPECT_EQ(message_of(packet).kind, MessageKind::kMiss);
  EXPECT_EQ(message_of(packet).upstream, 1u);
  message_of(packet).kind = MessageKind::kDecision;
  ASSERT_EQ(rte_ring_enqueue(rig.rings().orders, packet), 0);
  const Sent question = rig.turn_for_one();
  EXPECT_TRUE(question.to(kTargetA));
  rig.reply(question, answer_to(question.dns));
  EXPECT_EQ(rig.turn_for_one().id(), 5);
  EXPECT_EQ(rig.stats()[Counter::answered_default], 1u);
  rig.ask(query("www.example.net", 6));
  EXPECT_EQ(rig.turn_for_one().id(), 6);
  EXPECT_EQ(rig.stats()[Counter::answered_cache], 1u);
}

TEST_F(Relay, miss_that_the_control_plane_never_decides_ends_in_servfail) {
  rig.ask(query("www.example.net"));
  rig.turn();
  rig.turn(2200);
  const std::vector<Sent> sent = rig.sent();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].rcode(), dns::Rcode::kServFail);
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  message_of(static_cast<rte_mbuf*>(p)).kind = MessageKind::kDecision;
  rte_ring_enqueue(rig.rings().orders, p);
  rig.turn();
  EXPECT_TRUE(rig.sent().empty()) << "a decision for a wait that ended is dropped";
  EXPECT_EQ(rig.stats()[Counter::ask_without_slot], 1u);
}

TEST_F(Relay, stream_query_takes_the_same_way_and_is_answered_by_ticket) {
  rig.ask_over_stream(query("a.corp", 77), 42);
  const Sent question = rig.turn_for_one();
  rig.reply(question, answer_to(question.dns, 60));
  rig.turn();
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  auto* reply = static_cast<rte_mbuf*>(p);
  EXPECT_EQ(message_of(reply).kind, MessageKind::kReply);
  EXPECT_EQ(message_of(reply).ticket, 42u);
  EXPECT_GT(reply->data_len, 900) << "a stream's answer is not cut to 512 octets";
  rte_pktmbuf_free(reply);
}

}  // namespace
}  // namespace shunt::testing
