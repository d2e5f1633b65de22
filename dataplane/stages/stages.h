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

// parse.cpp
// ---------------------------------------------------------------------------------------------------------
/// Parses the questions, hashes their names, finds each client's network; answers malformed and unsupported
/// ones and clients without network. Queries left alive have `network` and `key` set, but for its origin.
void parse(Context& context, Burst& burst);

// match.cpp
// ---------------------------------------------------------------------------------------------------------
/// Finds the rule that wins; answers `block` and `answer` rules. Queries left alive have `upstream` and the
/// key's origin set.
void match(Context& context, Burst& burst);

// cached.cpp
// --------------------------------------------------------------------------------------------------------
/// Answers what the cache holds and this routing was led to before: nearly all hits. No rule is looked up.
void answer_routed(Context& context, Burst& burst);
/// After the match: answers what the cache holds for the origin.
void answer_from_cache(Context& context, Burst& burst);

// forward.cpp
// -------------------------------------------------------------------------------------------------------
/// Gives every remaining query a pending slot: joins an equal one in flight, sends it to a target, or hands
/// it to the control plane. Nothing is alive afterwards.
void forward(Context& context, Burst& burst);
/// Decisions of the control plane for misses and zones (kDecision, kAnswer, kFail), and asks of its own
/// (kAsk). Takes the packet.
void take_decision(Context& context, rte_mbuf* packet);
void take_answer(Context& context, rte_mbuf* packet);
void take_failure(Context& context, rte_mbuf* packet);
void take_ask(Context& context, rte_mbuf* packet);
/// A question on its way to a target: the packet's data, ready but for its id, which is 0 yet.
struct Outgoing {
  rte_mbuf* packet = nullptr;  ///< null: to be made anew
  net::Sum sum = 0;            ///< of the data
};
/// Sends the slot's question to a target of its upstream, one that was not tried yet where there is one.
/// Takes the packet. False where nothing was sent: no target that is up and has an adjacency, no port, no
/// buffer. `only` names the one target to be asked, up or not.
bool send_to_target(Context& context, state::Slot& slot, Outgoing question, const state::Target* only);
/// Tries again, or gives up, for every slot whose deadline has passed.
void handle_timeouts(Context& context);

// relay.cpp
// ---------------------------------------------------------------------------------------------------------
/// Verifies the upstreams' answers against what is pending (RFC 5452 section 9.1), caches them, and relays
/// them to all who wait.
void relay(Context& context, Burst& burst);
/// Delivers an answer (message of `packet` at `wire`, already verified and parsed) to the slot's waiters and
/// closes it. Takes the packet.
void deliver(Context& context, state::Slot& slot, rte_mbuf* packet, std::uint8_t* wire, std::uint16_t length,
             const dns::Reply& reply, const state::Try* from);
/// Answers all waiters with SERVFAIL and `error`, and closes the slot.
void fail(Context& context, state::Slot& slot, dns::ExtendedError error);

// punt.cpp
// ----------------------------------------------------------------------------------------------------------
/// Hands a frame to the port's mirror, or drops it. Takes the packet.
void punt(Context& context, std::uint8_t port, rte_mbuf* packet, bool neighbour);

// answer.cpp
// --------------------------------------------------------------------------------------------------------
/// Sends the answer of `length` octets that stands at query.wire back to who asked, and counts it: the
/// query's own question, unless that could not be read, with a new header in front and new octets behind.
/// `tail` is the sum (net/checksum.h) of those behind the question, as if they began at an even offset.
/// Takes the packet.
void send_answer(Context& context, Query& query, std::size_t length, net::Sum tail, Counter counted);
/// Makes an answer in place (dns::make_reply) and sends it.
void send_reply(Context& context, Query& query, const dns::ReplyFields& fields, Counter counted);
/// Gives up a query that was counted. Takes the packet; one of the control plane's own goes back there,
/// empty.
void drop_query(Context& context, Query& query, QueryDrop reason);
/// An error of ours.
void send_error(Context& context, Query& query, dns::Rcode rcode, dns::ExtendedError error);
/// Counts an error of ours under its rcode.
void count_error(Stats& stats, dns::Rcode rcode);
/// Sends `length` octets of DNS at `wire` inside `packet`, whose sum is `sum`, to a waiter. Takes the packet.
void send_to_waiter(Context& context, const state::Waiter& waiter, rte_mbuf* packet, std::uint8_t* wire,
                    std::size_t length, net::Sum sum, Counter counted, const state::Try* truncated_by);

/// Puts the headers of `adjacency` in front of a question (the packet's data, whose sum is `sum`) and sends
/// it. Takes the packet.
void send_question(Context& context, rte_mbuf* packet, net::Sum sum, const net::Adjacency& adjacency,
                   std::uint16_t source_port, Counter counted);

// transmit.cpp
// ------------------------------------------------------------------------------------------------------
/// Queues a frame for the port; sends the queue when it is full. Takes the packet.
void transmit(Context& context, std::uint8_t port, rte_mbuf* packet, Counter counted);
/// Gives all queued frames to the drivers. What a driver doesn't take is dropped and counted.
void flush(Context& context);

/// Counts how long a waiter waited for the answer that is made for it now.
inline void note_wait(Context& context, const state::Waiter& waiter, Counter counted) {
  if (!is_query(waiter.transport)) return;
  context.stats.note_wait(counted, context.now.us - waiter.arrived_us);
}

}  // namespace shunt
