// The fast path, stage by stage, in the order in which a burst goes through them. Each stage takes the
// burst's live queries, finishes those that end with it, and leaves the rest alive for the next.
//
//   classify -> parse -> cached -> match -> cached -> forward      a client's query
//   classify -> relay                                              an upstream's answer
//   classify -> punt                                               the kernel's frames
//   answer, transmit                                               the way out, used by all of them
//
// None of them allocates, locks, makes a system call or waits.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/dns/reply.h"
#include "dataplane/stages/burst.h"
#include "dataplane/stages/context.h"

namespace shunt {

// classify.cpp
// ------------------------------------------------------------------------------------------------------
/// Sorts `count` (at most kBurst) received frames: queries and answers into `burst`, the kernel's to its
/// ring, other workers' answers to them; drops the rest, each under its reason. Checks the endpoint's allow
/// list.
void classify(Context& context, std::uint8_t port, rte_mbuf* const* packets, unsigned count, Burst& burst);
/// Takes an answer that another worker handed over.
void classify_handover(Context& context, rte_mbuf* packet, Burst& burst);

// capture.cpp
// -------------------------------------------------------------------------------------------------------
/// Looks for frames that the running capture (Context::capture) wants among those received at the port, or
/// about to be sent there, and copies them.
void capture(Context& context, std::uint8_t port, rte_mbuf* const* packets, unsigned count, bool sent);

// log.cpp
// -----------------------------------------------------------------------------------------------------------
/// Tells the log (Context::query_log) of the clients' answers that are about to be sent.
void log_answers(Context& context, const TransmitQueue& queue);
/// The same of a query that gets no answer.
void log_drop(Context& context, const Query& query, QueryDrop reason);

// parse.cpp
// ---------------------------------------------------------------------------------------------------------
/// Parses the questions, hashes their names, finds each client's network; answers malformed and unsupported
/// ones and clients without network. Queries left alive have `network` and `key` set, but for its origin.
void parse(Context& context, Burst& burst);

// sample.cpp
// --------------------------------------------------------------------------------------------------------
/// Tells the control plane of some of the burst's queries, which are parsed (Context::sampled).
void sample_queries(Context& context, const Burst& burst);

// match.cpp
// ---------------------------------------------------------------------------------------------------------
/// Finds the rule that wins; answers `block` and `answer` rules. Queries left alive have `upstream` and the
/// key's origin set.
void match(Context& context, Burst& burst);

/// The upstream that the network's rules lead one query to, as match() would: sets its upstream, match and
/// set. False where they lead to none. Counts nothing.
bool find_upstream(Context& context, Query& query);

// watch.cpp
// ---------------------------------------------------------------------------------------------------------
/// Finds the watches that fire for a network's queries (names[i], null: another's), whose matches are `best`:
/// counts them, tells the control plane, and sees to it that they are matched the next time, too.
void watch(Context& context, Burst& burst, const rules::Association& rules, const dns::Name* const* names,
           const rules::Match* best);

// cached.cpp
// --------------------------------------------------------------------------------------------------------
/// Answers what the cache holds and this routing was led to before: nearly all hits. No rule is looked up.
void answer_routed(Context& context, Burst& burst);
/// After the match: answers what the cache holds for the origin.
void answer_from_cache(Context& context, Burst& burst);

// refetch.cpp
// -----------------------------------------------------------------------------------------------------
/// One of the burst's queries found an answer in the cache that is hot and about to expire (Cache::any_due):
/// asks for it again, unless that is under way or there is little room. The query's packet may be gone; its
/// question, key and network are needed.
void refetch(Context& context, Burst& burst);

// forward.cpp
// -------------------------------------------------------------------------------------------------------
/// Gives every remaining query a pending slot: joins an equal one in flight, sends it to a target, or hands
/// it to the control plane. Nothing is alive afterwards.
void forward(Context& context, Burst& burst);
/// What makes the query's question equal to another's.
/// Inlined, so that it is made where it stays: a copy by wide loads would wait for its narrow stores.
[[gnu::always_inline]] inline state::QuestionKey question_key(const Context& context, const Query& q) {
  return {&q.question.name,   q.key.hash,
          q.upstream->handle, q.key.origin,
          q.key.routing,      q.question.type,
          q.question.klass,   q.key.flags,
          q.key.figure,       context.pending.equal_bucket(q.key.hash, q.key.origin)};
}
/// A question on its way to a target: the packet's data, ready but for its id, which is 0 yet.
struct Outgoing {
  rte_mbuf* packet = nullptr;  ///< null: to be made anew
  net::Sum sum = 0;            ///< of the data
};
/// Sends the slot's question to a target of its upstream, one that was not tried yet where there is one.
/// Takes the packet. False where nothing was sent: no target that is up and has an adjacency, no port, no
/// buffer. `only` names the one target to be asked, up or not.
bool send_to_target(Context& context, state::Slot& slot, Outgoing question, const state::Target* only);
/// Sends the slot's question to the control plane, which asks through the host's network. Takes the packet;
/// null: it is made anew. `routing` is Network::routing, where a zone is to answer.
void ask_control(Context& context, state::Slot& slot, rte_mbuf* question, const state::Upstream& upstream,
                 state::Routing routing);
/// Tries again, or gives up, for every slot whose deadline has passed.
void handle_timeouts(Context& context);

// orders.cpp
// --------------------------------------------------------------------------------------------------------
/// Decisions of the control plane for misses and zones (kDecision, kAnswer, kFail), and asks of its own
/// (kAsk). Takes the packet.
void take_decision(Context& context, rte_mbuf* packet);
void take_answer(Context& context, rte_mbuf* packet);
void take_failure(Context& context, rte_mbuf* packet);
void take_ask(Context& context, rte_mbuf* packet);

// targets.cpp
// ------------------------------------------------------------------------------------------------------
/// A target, and the way there; no adjacency: none.
struct Choice {
  const state::Target* target = nullptr;
  const net::Adjacency* adjacency = nullptr;
  std::uint32_t path = 0;
};
/// Sets the choice to `target`. False where no way leads there.
bool find_path(Context& context, const state::Target& target, Choice& choice);
/// By the upstream's policy among the targets that are up and not full; one on trial seldom, or where no
/// other is up; one that was tried already only where there is no other, and never where `another` is set.
Choice choose_target(Context& context, const state::Slot& slot, const state::Upstream& upstream,
                     bool another);
/// `answered` brought an answer that another target may better: true where one is being asked, and the wait
/// goes on.
bool ask_another(Context& context, state::Slot& slot, const state::Try& answered);
/// Gives up a question that finds no target: fail(), with the reason.
void no_target(Context& context, state::Slot& slot);
/// A target that can't answer; another may.
inline bool says_failure(const dns::Reply& reply) {
  const auto rcode = static_cast<dns::Rcode>(reply.rcode());
  return rcode == dns::Rcode::kServFail || rcode == dns::Rcode::kRefused;
}
/// Keeps what an answer says of its target.
void note_answer(Context& context, const state::Slot& slot, const state::Try& t, const dns::Reply& reply);
/// The slot's last try is in flight no more, if it was.
inline void end_try(Context& context, state::Slot& slot) {
  if (!slot.in_flight) return;
  slot.in_flight = false;
  context.targets[slot.attempt[slot.tries - 1].target_id].note_end();
}

// loops.cpp
// ---------------------------------------------------------------------------------------------------------
/// A query of LoopProbe::kType: whether it is a probe of the control plane's that came back, on its way to
/// the target that it was sent to. Notes that for the control plane.
bool is_own_loop_probe(Context& context, const Query& q);
/// The slot's name, asked of `target`, would come back here. See leads_back().
bool is_covered_by_loop(Context& context, const state::Target& target, const state::Slot& slot);
inline bool leads_back(Context& context, const state::Target& target, const state::Slot& slot) {
  if (context.health[target.id].loops.load(std::memory_order_relaxed) == 0) [[likely]]
    return false;
  return is_covered_by_loop(context, target, slot);
}
/// Tells the control plane which name the slot's last target left unanswered, now and then: it may have led
/// back here.
void tell_timeout(Context& context, const state::Slot& slot);

// fallback.cpp
// ------------------------------------------------------------------------------------------------------
/// No target of the slot's upstream answers: an expired answer is served, or the default upstream is asked,
/// as on_all_down says. False where neither is to be done, or can be.
bool fall_back(Context& context, state::Slot& slot);
/// The same for an answer that tells of a failure: only an expired answer is better.
bool fall_back_to_stale(Context& context, state::Slot& slot);
/// The upstream failed to answer this very question a moment ago, and an expired answer can be served.
bool is_served_stale(Context& context, const state::Slot& slot, const state::Upstream& upstream);
/// The upstream that a query is to fall back to, or kNone.
std::uint32_t fallback_of(const Context& context, const Query& query);

// relay.cpp
// ---------------------------------------------------------------------------------------------------------
/// Verifies the upstreams' answers against what is pending (RFC 5452 section 9.1), and delivers them.
void relay(Context& context, Burst& burst);

// deliver.cpp
// -------------------------------------------------------------------------------------------------------
// deliver(), in deliver.h, is what relay.cpp and orders.cpp end a slot with that has its answer.
/// An answer of ours, or of the cache's, for all waiters: header and question, then records up to `end`.
struct MadeReply {
  std::uint16_t end;
  std::uint16_t flags;  ///< QR, RA, AA, AD, RCODE; the rest is each waiter's
  std::uint16_t question_end;
  std::uint16_t ancount = 0, nscount = 0, arcount = 0;  ///< OPT not counted
  dns::ExtendedError error = dns::ExtendedError::kNone;
};
/// Sends it, counted under `counted`, and closes the slot. Takes the packet.
void reply_to_all(Context& context, state::Slot& slot, rte_mbuf* packet, const MadeReply& reply,
                  Counter counted);
/// Writes the slot's question, in lower case, behind a header to come; returns the offset behind it.
std::uint16_t write_question(const state::Slot& slot, std::uint8_t* wire);
/// Does what the upstream's on_all_down says (fallback.cpp); where that leads nowhere, answers all waiters
/// with SERVFAIL and `error`, and closes the slot.
void fail(Context& context, state::Slot& slot, dns::ExtendedError error);

// punt.cpp
// ----------------------------------------------------------------------------------------------------------
/// Hands a frame to the port's mirror, or drops it. Takes the packet.
void punt(Context& context, std::uint8_t port, rte_mbuf* packet, bool neighbour);

// answer.cpp
// --------------------------------------------------------------------------------------------------------
// send_answer(), in reflect.h, is what the three below and the cache's stages send a query's answer
// with.
/// Makes an answer in place (dns::make_reply) and sends it.
void send_reply(Context& context, Query& query, const dns::ReplyFields& fields, Counter counted);
/// Gives up a query that was counted. Takes the packet; one of the control plane's own goes back there,
/// empty.
void drop_query(Context& context, Query& query, QueryDrop reason);
/// An error of ours.
void send_error(Context& context, Query& query, dns::Rcode rcode, dns::ExtendedError error);
/// Whose answer the control plane gets.
struct Asker {
  std::uint64_t ticket;
  state::Transport transport;
  state::Routing routing;  ///< Network::routing of the client's network
};
/// Gives the answer of `length` octets at `wire` inside `packet` to the control plane, for the stream client
/// (or what it asked itself) whose ticket it carries. Takes the packet.
void send_to_control(Context& context, rte_mbuf* packet, std::uint8_t* wire, std::size_t length,
                     const Asker& asker, Counter counted, const state::Try* truncated_by);
/// Counts an error of ours under its rcode.
void count_error(Stats& stats, dns::Rcode rcode);
// to_all.h, to_waiter.h and to_target.h: the ways of deliver.cpp and forward.cpp out.

// transmit.cpp
// ------------------------------------------------------------------------------------------------------
/// Gives the port's queued frames to its driver. What the driver doesn't take is dropped and counted.
void flush_port(Context& context, WorkerPort& port);
/// Queues a frame for the port; sends the queue when it is full. Takes the packet.
inline void transmit(Context& context, WorkerPort& port, rte_mbuf* packet, Counter counted) {
  TransmitQueue& queue = port.transmit;
  queue.packets[queue.count] = packet;
  queue.counted[queue.count] = counted;
  if (++queue.count == TransmitQueue::kSize) flush_port(context, port);
}
inline void transmit(Context& context, std::uint8_t port, rte_mbuf* packet, Counter counted) {
  transmit(context, context.ports[port], packet, counted);
}
/// The same for all ports.
void flush(Context& context);

/// Counts the answer that is made for a waiter now, and how long it waited: in all, and for its rule.
inline void note_wait(Context& context, const state::Waiter& waiter, Counter counted, unsigned rcode) {
  if (!is_query(waiter.transport)) return;
  const std::uint64_t us = context.now.us - waiter.arrived_us;
  Figure& figure = context.figure(waiter.figure);
  bump(figure.answers[figure_rcode(rcode)]);
  const std::size_t bucket = Durations::bucket_of(us);
  context.stats.note_wait(counted, us, bucket);
  if (Stats::is_wait(counted, us)) figure.note_wait(bucket, us);
}

}  // namespace shunt
