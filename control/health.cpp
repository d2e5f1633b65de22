#include "control/health.h"

#include <ldns/ldns.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "dataplane/dns/edns.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {
namespace {

// "NAME TYPE" of a configuration that was checked, as a query with our OPT.
std::vector<std::uint8_t> probe_question(const std::string& probe) {
  const std::size_t space = probe.find(' ');
  const dns::Name name = dns::parse_name(probe.substr(0, space)).value_or(dns::Name{});
  const auto type =
      static_cast<std::uint16_t>(ldns_get_rr_type_by_name(probe.substr(probe.find_last_of(' ') + 1).c_str()));
  std::vector<std::uint8_t> wire(dns::kHeaderSize + name.length + 4u + dns::kOptSize +
                                 dns::kExtendedErrorSize);
  dns::store_header(wire.data(), {0, dns::kRd, 1, 0, 0, 1});
  std::uint8_t* at = wire.data() + dns::kHeaderSize;
  at = std::copy_n(name.wire.data(), name.length, at);
  store_be16(at, type);
  store_be16(at + 2, dns::kClassIn);
  at += 4;
  at += dns::write_opt(at, {.udp_size = kEdnsSize, .dnssec_ok = false});
  wire.resize(static_cast<std::size_t>(at - wire.data()));
  return wire;
}

}  // namespace

Health::Health(Workers& workers, Crossing& crossing, HostResolver& resolver)
    : workers_(workers), crossing_(crossing), resolver_(resolver) {
  resolver_.on_failure([this](const SocketAddress& target) { ++host_failures_[target]; });
}

Health::Figures Health::read(std::uint32_t id) const {
  Figures sum;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const TargetStats& s = workers_.worker(i).targets()[id];
    sum.sent += s.sent.load(std::memory_order_relaxed);
    sum.answered += s.answered.load(std::memory_order_relaxed);
    sum.timeouts += s.timeouts.load(std::memory_order_relaxed);
    sum.latency_us_sum += s.latency_us_sum.load(std::memory_order_relaxed);
  }
  return sum;
}

void Health::set_generation(std::shared_ptr<const Generation> generation) {
  std::map<std::uint32_t, State> next;
  const Clock::time_point now = Clock::now();
  for (const state::Upstream& upstream : generation->snapshot->upstreams) {
    for (std::uint16_t i = 0; i < upstream.targets.size(); ++i) {
      const state::Target& target = upstream.targets[i];
      State state;
      if (const auto known = targets_.find(target.id); known != targets_.end() &&
                                                       known->second.address == target.address &&
                                                       known->second.upstream == upstream.name) {
        state = known->second;
      } else {
        state.upstream = upstream.name;
        state.address = target.address;
        state.since = now;
        state.seen = read(target.id);
        workers_.health()[target.id].up.store(1, std::memory_order_relaxed);
      }
      state.handle = upstream.handle;
      state.index = i;
      state.through_host = upstream.through_host;
      next.emplace(target.id, std::move(state));
    }
  }
  targets_ = std::move(next);
  generation_ = std::move(generation);
}

void Health::mark(std::uint32_t id, State& state, bool up, Clock::time_point now) {
  state.up = up;
  state.since = now;
  state.failures = 0;
  state.successes = 0;
  state.probe_wait_ms = kFirstProbeMs;
  state.next_probe = now + std::chrono::milliseconds(kFirstProbeMs);
  workers_.health()[id].up.store(up, std::memory_order_relaxed);
  spdlog::warn("upstream {}: target {} is {}", state.upstream, state.address.to_string(), up ? "up" : "down");
}

void Health::judge(std::uint32_t id, State& state, Clock::time_point now) {
  const Figures figures = read(id);
  const std::uint64_t answered = figures.answered - state.seen.answered;
  std::uint64_t timeouts = figures.timeouts - state.seen.timeouts;
  if (state.through_host) timeouts += std::exchange(host_failures_[state.address], 0);
  if (answered != 0) {
    const double mean = 1e-6 * static_cast<double>(figures.latency_us_sum - state.seen.latency_us_sum) /
                        static_cast<double>(answered);
    state.latency_seconds = state.latency_seconds == 0 ? mean : state.latency_seconds * 0.8 + mean * 0.2;
  }
  state.seen = figures;
  if (!state.up) return;
  if (answered != 0) {
    state.failures = 0;
    return;
  }
  if (timeouts == 0) return;
  if (state.failures == 0) state.first_failure = now;
  state.failures += static_cast<unsigned>(std::min<std::uint64_t>(timeouts, kFall));
  if (state.failures >= kFall && now - state.first_failure >= std::chrono::milliseconds(kFallMs)) {
    mark(id, state, false, now);
  }
}

void Health::tick() {
  const Clock::time_point now = Clock::now();
  for (auto& [id, state] : targets_) {
    judge(id, state, now);
    if (!state.up && !state.probing && now >= state.next_probe) probe(id, state);
  }
}

std::vector<std::uint8_t> Health::question_of(const State& state) const {
  const auto upstream =
      std::find_if(generation_->config.upstreams.begin(), generation_->config.upstreams.end(),
                   [&](const conf::Upstream& u) { return u.name == state.upstream; });
  if (upstream == generation_->config.upstreams.end()) return {};
  return probe_question(upstream->probe);
}

void Health::probe(std::uint32_t id, State& state) {
  std::vector<std::uint8_t> question = question_of(state);
  state.probing = true;
  if (state.through_host) return probe_through_host(id, state, std::move(question));
  rte_mbuf* packet = crossing_.make_packet(question);
  if (packet == nullptr) return probed(id, false);
  Message& order = message_of(packet);
  order.kind = MessageKind::kAsk;
  order.ticket = kAskTicket | id;
  order.upstream = state.handle;
  order.target = state.index;
  order.client = {};
  if (!crossing_.order(0, packet)) probed(id, false);
}

void Health::probe_through_host(std::uint32_t id, State& state, std::vector<std::uint8_t> question) {
  Ask ask;
  ask.targets = {state.address};
  ask.message = std::move(question);
  ask.tries = 1;
  resolver_.ask(std::move(ask), [this, id](Result<HostAnswer> answer) { probed(id, answer.has_value()); });
}

void Health::take_reply(std::uint64_t ticket, std::span<const std::uint8_t> answer) {
  probed(static_cast<std::uint32_t>(ticket & ~kAskTicket), !answer.empty());
}

void Health::probed(std::uint32_t id, bool answered) {
  const auto found = targets_.find(id);
  if (found == targets_.end() || !found->second.probing) return;
  State& state = found->second;
  const Clock::time_point now = Clock::now();
  state.probing = false;
  if (state.up) return;
  if (answered) {
    if (++state.successes >= kRise) return mark(id, state, true, now);
    state.next_probe = now;
    return;
  }
  state.successes = 0;
  state.probe_wait_ms = std::min(state.probe_wait_ms * 2, kLastProbeMs);
  state.next_probe = now + std::chrono::milliseconds(state.probe_wait_ms);
}

std::vector<TargetMetrics> Health::metrics() const {
  std::vector<TargetMetrics> all;
  for (const auto& [id, state] : targets_) {
    const Figures f = read(id);
    TargetMetrics m;
    m.upstream = state.upstream;
    m.target = state.address;
    m.up = state.up;
    m.sent = f.sent;
    m.answered = f.answered;
    m.timeouts = f.timeouts;
    m.in_flight = f.sent - std::min(f.sent, f.answered + f.timeouts);
    m.latency_seconds = state.latency_seconds;
    all.push_back(std::move(m));
  }
  return all;
}

std::vector<double> Health::since_seconds() const {
  std::vector<double> all;
  for (const auto& [id, state] : targets_) {
    all.push_back(std::chrono::duration<double>(Clock::now() - state.since).count());
  }
  return all;
}

}  // namespace shunt::control
