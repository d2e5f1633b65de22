// What the worker does with queries that are wrong, forbidden or answered by a rule: each fault has its
// counter.
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

using Wire = WorkerTest;

void expect_error(Rig& rig, const Bytes& message, dns::Rcode rcode, Counter counter) {
  const std::uint64_t before = rig.stats()[counter];
  rig.ask(message);
  const Sent answer = rig.turn_for_one();
  EXPECT_EQ(answer.rcode(), rcode);
  EXPECT_NE(answer.flags() & dns::kQr, 0);
  EXPECT_EQ(rig.stats()[counter], before + 1);
}

void expect_silence(Rig& rig, const Bytes& message, QueryDrop reason) {
  const std::uint64_t before = rig.stats().query_drops[reason];
  rig.ask(message);
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().query_drops[reason], before + 1);
}

TEST_F(Wire, the_ports_vlan_is_the_snapshots) {
  constexpr std::uint16_t kVlan = 7;
  constexpr std::uint32_t kTag = std::uint32_t{net::kEtherVlan} << 16 | kVlan;
  const auto expect = [this](std::vector<std::uint32_t> tags, std::string_view name, std::size_t answers) {
    net::testing::FrameSpec spec;
    spec.tags = std::move(tags);
    spec.payload = query(name);
    EXPECT_TRUE(rig.receive(net::testing::build(spec)));
    rig.turn();
    const std::vector<Sent> sent = rig.sent();
    ASSERT_EQ(sent.size(), answers) << name;
    for (const Sent& answer : sent)
      EXPECT_EQ(answer.frame.l2_length, rig.snapshot().vlans.empty() ? 14 : 18);
  };
  expect({}, "nx.example", 1);
  expect({kTag}, "nx.example", 0);
  rig.snapshot().vlans = {kVlan};
  expect({}, "nx.example", 0);
  expect({kTag}, "nx.example", 1);
  EXPECT_EQ(rig.stats().frame_drops[FrameDrop::vlan], 2u);
  // So is that of the answer to a client that waited.
  net::Adjacency& first = rig.view().adjacencies.front();
  first = net::make_adjacency(*IpAddress::parse(kOutbound), {*IpAddress::parse(kTargetA), 53},
                              net::testing::kOurMac, net::testing::kTheirMac, 0, kVlan);
  first.usable = true;
  net::testing::FrameSpec spec;
  spec.tags = {kTag};
  spec.payload = query("a.corp");
  EXPECT_TRUE(rig.receive(net::testing::build(spec)));
  const Sent question = rig.turn_for_one();
  net::testing::FrameSpec reply = rig.reply_frame(question, answer_to(question.dns));
  reply.tags = {kTag};
  EXPECT_TRUE(rig.receive(net::testing::build(reply)));
  const Sent answer = rig.turn_for_one();
  EXPECT_EQ(answer.frame.l2_length, 18);
  EXPECT_TRUE(answer.to(kClient));
}

// A link may carry more than 1500 octets.
TEST_F(Wire, options_larger_than_a_message_go_no_further) {
  constexpr std::uint16_t kUnknown = 65001, kLength = 1700;
  Bytes m = query("a.corp", 1, 1, 1232);
  store_be16(&m[m.size() - 2], 4 + kLength);
  append16(m, kUnknown);
  append16(m, kLength);
  m.resize(m.size() + kLength, 0x55);
  const Sent question = ask_upstream(m);
  EXPECT_EQ(question.dns.size(), query("a.corp", 1, 1, 1232).size());
  rig.reply(question, answer_to(question.dns));
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNoError);
}

TEST_F(Wire, response_in_place_of_a_query_is_dropped) {
  Bytes m = query("a.corp");
  m[2] |= 0x80;
  expect_silence(rig, m, QueryDrop::response);
}

TEST_F(Wire, message_without_a_whole_header_is_dropped) {
  expect_silence(rig, Bytes(11, 0), QueryDrop::short_header);
}

TEST_F(Wire, opcode_other_than_query_is_notimp_with_clean_flags) {
  for (unsigned opcode : {1u, 2u, 4u, 5u, 15u}) {
    Bytes m = query("a.corp");
    m[2] = static_cast<std::uint8_t>(m[2] | (opcode << 3));
    expect_error(rig, m, dns::Rcode::kNotImp, Counter::errors_notimp);
  }
}

TEST_F(Wire, question_count_other_than_one_is_formerr) {
  for (const std::uint8_t count : {std::uint8_t{0}, std::uint8_t{2}}) {
    Bytes m = query("a.corp");
    m[5] = count;
    expect_error(rig, m, dns::Rcode::kFormErr, Counter::errors_formerr);
  }
}

TEST_F(Wire, two_opts_are_formerr) {
  Bytes m = query("a.corp", 1, 1, 1232);
  const Bytes opt(m.end() - 11, m.end());
  append(m, opt);
  m[11] = 2;
  expect_error(rig, m, dns::Rcode::kFormErr, Counter::errors_formerr);
}

TEST_F(Wire, compressed_over_long_and_unknown_labels_are_formerr) {
  for (const Bytes& name : {pointer(12), repeated_labels(5, 63), Bytes{0x41, 'a', 0}, Bytes{0x81, 'a', 0}}) {
    Bytes m = query(".");
    m.resize(12);
    append(m, name);
    append32(m, 0x00010001);
    expect_error(rig, m, dns::Rcode::kFormErr, Counter::errors_formerr);
  }
}

TEST_F(Wire, trailing_octets_and_foreign_records_are_formerr) {
  Bytes m = query("a.corp");
  m.push_back(0);
  expect_error(rig, m, dns::Rcode::kFormErr, Counter::errors_formerr);
  m = query("a.corp");
  m[7] = 1;
  expect_error(rig, m, dns::Rcode::kFormErr, Counter::errors_formerr);
}

TEST_F(Wire, edns_version_above_zero_is_badvers) {
  Bytes m = query("a.corp", 1, 1, 1232);
  m[m.size() - 5] = 1;
  rig.ask(m);
  const Sent answer = rig.turn_for_one();
  // BADVERS is 16: its upper bits stand in the OPT record.
  EXPECT_EQ(answer.rcode(), dns::Rcode::kNoError);
  EXPECT_EQ(answer.dns[answer.dns.size() - 6], 1);
  EXPECT_EQ(rig.stats()[Counter::errors_badvers], 1u);
}

// TCP for the kernel: to the endpoints' ports, those of TLS and HTTPS among them where there is a certificate
// (the rig's IPv6 endpoint has one).
TEST_F(Wire, segments_pass_to_the_ports_that_the_endpoint_has) {
  const auto send = [this](std::string_view from, std::string_view to, std::uint16_t port) {
    net::testing::FrameSpec spec;
    spec.source = from;
    spec.destination = to;
    spec.protocol = net::kProtocolTcp;
    spec.destination_port = port;
    spec.payload.resize(20);
    EXPECT_TRUE(rig.receive(net::testing::build(spec)));
    rig.turn();
  };
  using Ports = std::initializer_list<std::uint16_t>;
  const auto passed = [this] { return rig.stats()[Counter::to_mirror]; };
  const auto dropped = [this](FrameDrop why) { return rig.stats().frame_drops[why]; };
  send("10.0.0.2", kEndpoint, 53);
  EXPECT_EQ(passed(), 1u);
  for (const std::uint16_t port : Ports{853, 443, 80, 54})
    send("10.0.0.2", kEndpoint, port);
  EXPECT_EQ(passed(), 1u);
  EXPECT_EQ(dropped(FrameDrop::tcp_port), 4u);
  for (const std::uint16_t port : Ports{53, 853, 443})
    send("fd00::2", "fd00::1", port);
  EXPECT_EQ(passed(), 4u);
  for (const std::uint16_t port : Ports{80, 852})
    send("fd00::2", "fd00::1", port);
  EXPECT_EQ(dropped(FrameDrop::tcp_port), 6u);
  for (const std::uint16_t port : Ports{853, 443})
    send("fd99::2", "fd00::1", port);
  EXPECT_EQ(dropped(FrameDrop::not_allowed), 2u);
  EXPECT_EQ(passed(), 4u);
}

TEST_F(Wire, zone_transfers_and_foreign_classes_are_refused) {
  for (const std::uint16_t type : {std::uint16_t{251}, std::uint16_t{252}})
    expect_error(rig, query("a.corp", 1, type), dns::Rcode::kRefused, Counter::errors_refused);
  Bytes chaos = query("version.bind");
  chaos.back() = 3;
  expect_error(rig, chaos, dns::Rcode::kRefused, Counter::errors_refused);
}

TEST_F(Wire, any_is_forwarded) {
  EXPECT_TRUE(ask_upstream(query("a.corp", 1, 255)).to(kTargetA));
}

TEST_F(Wire, longest_names_and_strange_octets_go_through) {
  Bytes longest = repeated_labels(3, 63);  // 3 * 64 + 1 = 193
  longest.pop_back();
  append(longest, label(std::string(55, 'x')));
  append(longest, wire_name("corp"));
  ASSERT_EQ(longest.size(), 254u);
  Bytes strange;
  append(strange, label(std::string("a\0.b", 4)));
  append(strange, wire_name("corp"));
  for (const Bytes& name : {longest, strange}) {
    Bytes m = query(".");
    m.resize(12);
    append(m, name);
    append32(m, 0x00010001);
    const Sent question = ask_upstream(m);
    EXPECT_TRUE(std::equal(name.begin(), name.end(), question.dns.begin() + 12));
    rig.reply(question, answer_to(question.dns));
    EXPECT_TRUE(std::equal(name.begin(), name.end(), rig.turn_for_one().dns.begin() + 12));
  }
}

TEST_F(Wire, a_dot_inside_a_label_is_no_label_boundary) {
  Bytes m = query(".");
  m.resize(12);
  append(m, label("x.corp"));
  m.push_back(0);
  append32(m, 0x00010001);
  rig.ask(m);
  rig.turn();
  EXPECT_EQ(rig.stats()[Counter::misses], 1u) << "not below corp.";
}

// --- who may ask
// ------------------------------------------------------------------------------------------------------------

TEST_F(Wire, client_outside_the_allow_list_gets_no_answer) {
  rig.ask(query("a.corp"), "10.99.0.1");
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(rig.stats().frame_drops[FrameDrop::not_allowed], 1u);
}

TEST_F(Wire, client_in_no_network_is_refused_with_extended_error_18) {
  rig.ask(query("a.corp", 1, 1, 1232), "10.0.9.9");
  const Sent answer = rig.turn_for_one();
  EXPECT_EQ(answer.rcode(), dns::Rcode::kRefused);
  EXPECT_EQ(load_be16(&answer.dns[answer.dns.size() - 2]), 18);
}

TEST_F(Wire, miss_without_default_is_refused_with_extended_error_22) {
  rig.snapshot().networks[0].default_upstream = state::kNoUpstream;
  rig.ask(query("www.example.net", 1, 1, 1232));
  const Sent answer = rig.turn_for_one();
  EXPECT_EQ(answer.rcode(), dns::Rcode::kRefused);
  EXPECT_EQ(load_be16(&answer.dns[answer.dns.size() - 2]), 22);
}

TEST_F(Wire, answer_over_ipv6_comes_back_over_ipv6) {
  rig.ask(query("fixed.example"), "fd00::2");
  EXPECT_TRUE(rig.turn_for_one().to("fd00::2"));
}

// An answer's checksum is the query's, patched; the rig verifies those of every frame that is sent.
TEST_F(Wire, answers_of_every_shape_have_right_checksums) {
  for (const char* name :
       {"a.nx.example", "ab.nx.example", "nodata.example", "fixed.example", "a.corp", "ab.corp"}) {
    for (const int edns : {0, 512, 1232}) {
      for (const bool v4 : {true, false}) {
        for (const bool checksum : {true, false}) {
          if (!v4 && !checksum) continue;
          net::testing::FrameSpec spec = v4 ? net::testing::FrameSpec{} : net::testing::v6();
          spec.payload = query(name, 7, 1, edns);
          spec.udp_checksum = checksum;
          rig.receive(net::testing::build(spec));
          Sent sent = rig.turn_for_one();
          if (sent.frame.destination_port == 53) {  // not in the cache yet
            rig.reply(sent, answer_to(sent.dns, 2));
            sent = rig.turn_for_one();
          }
          EXPECT_TRUE(sent.to(spec.source)) << name << ' ' << edns << v4 << checksum;
          EXPECT_EQ(sent.id(), 7);
        }
      }
    }
  }
  EXPECT_EQ(rig.stats()[Counter::cache_misses], 2u);
}

// --- rules
// --------------------------------------------------------------------------------------------------------------------

TEST_F(Wire, blocked_names) {
  rig.ask(query("x.nx.example"));
  Sent answer = rig.turn_for_one();
  EXPECT_EQ(answer.rcode(), dns::Rcode::kNxDomain);
  EXPECT_EQ(load_be16(&answer.dns[8]), 1) << "an SOA, so that it can be cached";
  dns::Reply reply;
  dns::Name name;
  ASSERT_EQ(dns::parse_reply(answer.dns, reply, name), dns::ReplyVerdict::kGood);
  EXPECT_EQ(reply.negative_ttl, kBlockedTtl);
  rig.ask(query("nodata.example"));
  answer = rig.turn_for_one();
  EXPECT_EQ(answer.rcode(), dns::Rcode::kNoError);
  EXPECT_EQ(load_be16(&answer.dns[6]), 0);
  rig.ask(query("refused.example"));
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kRefused);
  expect_silence(rig, query("drop.example"), QueryDrop::blocked);
}

TEST_F(Wire, what_a_rule_answered_is_remembered_until_the_routing_changes) {
  for (const bool again : {false, true}) {
    rig.ask(query("x.nx.example", 5, 1, 1232));
    const Sent blocked = rig.turn_for_one();
    EXPECT_EQ(blocked.rcode(), dns::Rcode::kNxDomain);
    dns::Reply reply;
    dns::Name name;
    ASSERT_EQ(dns::parse_reply(blocked.dns, reply, name), dns::ReplyVerdict::kGood);
    EXPECT_EQ(reply.negative_ttl, kBlockedTtl);
    rig.ask(query("fixed.example"));
    const Sent fixed = rig.turn_for_one();
    EXPECT_EQ(load_be16(&fixed.dns[6]), 1);
    rig.turn(5000);  // what a rule says does not age
    EXPECT_EQ(rig.stats()[Counter::cache_hits], again ? 2u : 0u);
  }
  EXPECT_EQ(rig.stats()[Counter::answered_rule], 4u);
  rig.snapshot().networks[0].rules = {};
  rig.snapshot().networks[0].routing = 2;
  rig.ask(query("x.nx.example"));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty()) << "a miss now, for the control plane";
  EXPECT_EQ(rig.stats()[Counter::misses], 1u);
}

TEST_F(Wire, answer_rule_gives_its_record_and_nodata_for_other_types) {
  rig.ask(query("FIXED.example"));
  Sent answer = rig.turn_for_one();
  EXPECT_EQ(load_be16(&answer.dns[6]), 1);
  EXPECT_EQ(load_be32(&answer.dns[answer.dns.size() - 4]), 0xc0000201u);
  rig.ask(query("fixed.example", 1, 28));
  answer = rig.turn_for_one();
  EXPECT_EQ(load_be16(&answer.dns[6]), 0);
  EXPECT_EQ(load_be16(&answer.dns[8]), 1);
}

TEST_F(Wire, system_rule_leads_past_a_shorter_forward_rule) {
  rig.ask(query("x.system.corp"));
  rig.turn();
  EXPECT_EQ(rig.stats()[Counter::misses], 1u);
}

// --- limits
// -------------------------------------------------------------------------------------------------------------------

TEST(Limits, client_over_its_own_limit_is_dropped_and_others_are_not) {
  Rig rig({.per_client = 3});
  for (unsigned i = 0; i < 5; ++i)
    rig.ask(query("n" + std::to_string(i) + ".corp"));
  rig.turn();
  EXPECT_EQ(rig.sent().size(), 3u);
  EXPECT_EQ(rig.stats().query_drops[QueryDrop::client_limit], 2u);
  rig.ask(query("other.corp"), "10.0.0.77");
  EXPECT_TRUE(rig.turn_for_one().to(kTargetA));
  rig.check_laws();
}

TEST(Limits, upstream_over_its_limit_gives_servfail_with_extended_error_23) {
  Rig rig({.per_upstream = 1});
  rig.ask(query("a.corp"));
  rig.turn_for_one();
  rig.ask(query("b.corp", 1, 1, 1232));
  const Sent answer = rig.turn_for_one();
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(load_be16(&answer.dns[answer.dns.size() - 2]), 23);
  rig.check_laws();
}

TEST(Limits, pending_table_full_gives_servfail_and_every_buffer_comes_back) {
  Rig rig({.pending = 16});
  const unsigned before = rig.free_buffers();
  for (unsigned i = 0; i < 40; ++i)
    rig.ask(query("n" + std::to_string(i) + ".corp"));
  rig.turn();
  EXPECT_EQ(rig.sent().size(), 40u);
  EXPECT_EQ(rig.stats()[Counter::pending_full], 24u);
  rig.turn(810);
  rig.turn(810);
  rig.sent();
  EXPECT_EQ(rig.worker().context().pending.open_slots(), 0u);
  rig.take_events();
  EXPECT_EQ(rig.free_buffers(), before);
  rig.check_laws();
}

TEST(Limits, every_try_of_a_full_table_finds_a_port_and_an_id) {
  Rig rig({.pending = 64});
  for (unsigned i = 0; i < 64; ++i)
    rig.ask(query("n" + std::to_string(i) + ".corp"));
  rig.turn();
  EXPECT_EQ(rig.stats()[Counter::forwarded], 64u);
  rig.turn(810);
  EXPECT_EQ(rig.stats()[Counter::retried], 64u);
  EXPECT_EQ(rig.stats()[Counter::upstream_without_path], 0u);
  rig.check_laws();
}

// --- several workers
// ------------------------------------------------------------------------------------------------------------

TEST(Handover, answer_at_the_wrong_worker_is_handed_over) {
  Rig rig({.workers = 2});
  rig.ask(query("a.corp", 3));
  const Sent question = rig.turn_for_one();
  rig.reply(question, answer_to(question.dns), 1);  // the first worker asked
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
  EXPECT_EQ(rig.stats(1)[Counter::handed_over], 1u);
  EXPECT_EQ(rig.stats(0)[Counter::taken_over], 1u);
  rig.check_laws();
}

TEST(Handover, first_fragment_at_the_wrong_worker_is_handed_over) {
  Rig rig({.workers = 2});
  rig.ask(query("a.corp", 3));
  const Sent question = rig.turn_for_one();
  const net::testing::FrameSpec whole = rig.reply_frame(question, answer_to(question.dns, 60));
  rig.receive(net::testing::first_fragment(net::testing::build(whole), 200), 1);
  EXPECT_NE(rig.turn_for_one().flags() & dns::kTc, 0);
  EXPECT_EQ(rig.stats(1)[Counter::answers_fragmented], 1u);
  EXPECT_EQ(rig.stats(0)[Counter::taken_over], 1u);
  rig.check_laws();
}

TEST(Handover, workers_draw_source_ports_that_they_own) {
  const state::PortOwners owners(3);
  Random random(Random::Seed{});
  for (unsigned w = 0; w < 3; ++w) {
    state::SourcePorts ports(owners, w);
    for (unsigned i = 0; i < 1000; ++i) {
      const std::uint16_t port = ports.draw(random, 2000, 2100);
      EXPECT_EQ(owners.owner(port), w);
      EXPECT_GE(port, 2000);
      EXPECT_LE(port, 2100);
    }
    EXPECT_EQ(ports.draw(random, 1, 1000), 0) << "no port of ours below 1024";
  }
}

// The control plane asks again for a stream client whose answer was cut, with the options that it sent for
// the far end: so the worker leaves them in the cut answer. A UDP client gets nothing of the kind.
TEST_F(WorkerTest, a_cut_answer_to_a_stream_client_has_its_options) {
  Bytes asked = query("a.corp", 7, 1, 1232);
  const Bytes options{0xfd, 0xe9, 0, 3, 'f', 'a', 'r', 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};  // and a cookie
  asked[asked.size() - 1] = static_cast<std::uint8_t>(options.size());
  append(asked, options);
  for (const bool stream : {true, false}) {
    if (stream) {
      rig.ask_over_stream(asked, 42);
    } else {
      rig.ask(asked);
    }
    const Sent question = rig.turn_for_one();
    rig.reply(question, truncated_answer_to(question.dns));
    Bytes answer;
    if (stream) {
      rig.turn();
      void* p = nullptr;
      ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
      auto* const packet = static_cast<rte_mbuf*>(p);
      const auto* const octets = rte_pktmbuf_mtod(packet, const std::uint8_t*);
      answer.assign(octets, octets + packet->data_len);
      rte_pktmbuf_free(packet);
    } else {
      answer = rig.turn_for_one().dns;
    }
    dns::Reply reply;
    dns::Edns opt;
    dns::Name name;
    ASSERT_EQ(dns::parse_reply(answer, reply, name), dns::ReplyVerdict::kGood);
    ASSERT_TRUE(dns::read_opt(answer, reply.question_end, opt));
    const Bytes got(answer.begin() + opt.options_offset, answer.end());
    EXPECT_EQ(got, stream ? Bytes(options.begin(), options.begin() + 7) : Bytes()) << stream;
  }
}

}  // namespace
}  // namespace shunt::testing
