// A whole worker without a network: its port is a pair of DPDK rings, its clock and seed are the test's, and
// it is driven one turn at a time. Every test ends with the laws of the counters checked (stats.def).
#pragma once

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dns/reply.h"
#include "dataplane/rules/trie_builder.h"
#include "dataplane/worker.h"
#include "tests/support/dns_messages.h"
#include "tests/unit/net/frame_builder.h"

namespace shunt::testing {

inline constexpr std::string_view kClient = "10.0.0.2", kEndpoint = "10.0.0.1", kOutbound = "10.0.0.3";
inline constexpr std::string_view kTargetA = "10.9.0.1", kTargetB = "10.9.0.2";

/// What the worker sent, taken apart.
struct Sent {
  net::FrameView frame;
  Bytes octets;  ///< the frame
  Bytes dns;     ///< its DNS message

  std::uint16_t id() const { return load_be16(dns.data()); }
  std::uint16_t flags() const { return load_be16(dns.data() + 2); }
  dns::Rcode rcode() const { return static_cast<dns::Rcode>(flags() & dns::kRcodeMask); }
  bool to(std::string_view address) const { return frame.destination == *IpAddress::parse(address); }
};

/// A query as a client sends it.
Bytes query(std::string_view name, std::uint16_t id = 1, std::uint16_t type = 1, int edns_size = 0,
            bool dnssec_ok = false);
/// An upstream's answer to a question it received: one A record for each address, OPT like the question's.
Bytes answer_to(const Bytes& question, unsigned records = 1, std::uint32_t ttl = 300);
/// The same with records cut off and TC set.
Bytes truncated_answer_to(const Bytes& question);

struct RigOptions {
  unsigned workers = 1;
  std::uint32_t pending = 256;
  std::uint32_t per_client = 10000, per_upstream = 10000, per_target = 10000;
  std::size_t cache = 1 << 20;
};

class Rig {
 public:
  explicit Rig(const RigOptions& options = {});
  ~Rig();

  /// Puts a frame on the port's queue of `worker`; false where the ring is full.
  bool receive(const net::testing::Octets& frame, unsigned worker = 0);
  /// A client's query over UDP.
  void ask(const Bytes& message, std::string_view client = kClient, std::uint16_t port = 40000);
  /// The same over a stream, as the control plane hands it on; from kClient.
  void ask_over_stream(const Bytes& message, std::uint64_t ticket);
  /// A datagram from a target to where `question` came from. Fields may be bent by the caller.
  net::testing::FrameSpec reply_frame(const Sent& question, const Bytes& message) const;
  void reply(const Sent& question, const Bytes& message, unsigned worker = 0);

  /// One turn of every worker; `ms` later.
  void turn(unsigned ms = 0);
  /// What was sent since the last call.
  std::vector<Sent> sent();
  /// Turns once and expects exactly one frame.
  Sent turn_for_one();

  Worker& worker(unsigned i = 0) { return *workers_[i]; }
  const Stats& stats(unsigned i = 0) { return workers_[i]->context().stats; }
  state::TargetHealth& health(unsigned target) { return health_[target]; }
  state::TargetLoops& loops(unsigned target) { return loops_[target]; }
  unsigned free_buffers() const;
  /// Takes what the control plane was told, in its place, and forgets it.
  void take_events();
  Rings& rings(unsigned i = 0) { return rings_[i]; }
  state::Snapshot& snapshot() { return *snapshot_; }
  state::View& view() { return *view_; }
  rte_mbuf* packet(std::span<const std::uint8_t> data);

  /// The laws, for every worker, now.
  void check_laws();

 private:
  void make_snapshot(const RigOptions& options);

  std::vector<rte_ring*> receive_rings_, transmit_rings_;
  std::uint16_t ethdev_ = 0;
  std::shared_ptr<state::Snapshot> snapshot_;
  std::unique_ptr<state::View> view_;
  state::Published published_;
  std::unique_ptr<state::PortOwners> owners_;
  std::unique_ptr<state::TargetHealth[]> health_;
  std::unique_ptr<state::TargetLoops[]> loops_;
  std::vector<Rings> rings_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Now now_{10'000'000};
  static inline unsigned instances_ = 0;
};

/// A test over a rig with one worker.
class WorkerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    rig.turn();
    rig.check_laws();
  }
  /// The worker's question upstream for a client's query.
  Sent ask_upstream(const Bytes& message) {
    rig.ask(message);
    return rig.turn_for_one();
  }
  Rig rig;
};

}  // namespace shunt::testing
