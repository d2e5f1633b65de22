#include "control/health.h"

#include <rte_mbuf.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "conf/record_type.h"
#include "dataplane/dns/edns.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {
namespace {

// How much a tick's mean moves the smoothed latency: most of a change shows within a second.
constexpr double kSmoothing = 0.3;

static_assert(static_cast<std::uint8_t>(TargetState::kDown) == state::TargetHealth::kDown &&
              static_cast<std::uint8_t>(TargetState::kUp) == state::TargetHealth::kUp &&
              static_cast<std::uint8_t>(TargetState::kOnTrial) == state::TargetHealth::kOnTrial);

// "NAME TYPE" of a configuration that was checked, as a query with our OPT.
std::vector<std::uint8_t> probe_question(const std::string& probe) {
  const std::size_t space = probe.find_first_of(" \t");
  const dns::Name name = dns::parse_name(probe.substr(0, space)).value_or(dns::Name{});
  const std::uint16_t type = conf::read_type(std::string_view(probe).substr(probe.find_last_of(" \t") + 1));
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

bool is_failure(std::uint8_t rcode) {
  return rcode == static_cast<std::uint8_t>(dns::Rcode::kServFail) ||
         rcode == static_cast<std::uint8_t>(dns::Rcode::kRefused);
}

const char* state_text(TargetState state) {
  switch (state) {
    case TargetState::kDown:
      return "down";
    case TargetState::kUp:
      return "up";
    case TargetState::kOnTrial:
      return "on trial";
  }
  return "";
}

std::string list_text(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text + " and below";
}

// What grew between two readings.
std::uint64_t grown(std::uint64_t now, std::uint64_t before) {
  return now - std::min(now, before);
}

}  // namespace

Health::Health(Workers& workers, Crossing& crossing, HostResolver& resolver, UpstreamStreams& streams,
               Random& random, const dns::HashKey& key)
    : workers_(workers),
      crossing_(crossing),
      resolver_(resolver),
      streams_(streams),
      random_(random),
      key_(key),
      loops_(random, loop_hooks()) {
  using End = HostResolver::Observer::End;
  resolver_.observe({[this](const SocketAddress& target) {
                       TargetFigures& f = host_[target];
                       ++f.sent;
                       ++f.in_flight;
                     },
                     [this](const SocketAddress& target, End end, std::uint8_t rcode,
                            std::chrono::nanoseconds latency, bool first) {
                       if (first) --host_[target].in_flight;
                       note_host_end(target, end, rcode, latency);
                     }});
}

void Health::note_host_end(const SocketAddress& target, HostResolver::Observer::End end, std::uint8_t rcode,
                           std::chrono::nanoseconds latency) {
  using End = HostResolver::Observer::End;
  TargetFigures& f = host_[target];
  switch (end) {
    case End::kAnswered: {
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(latency).count();
      ++f.answered;
      f.latency.add(static_cast<std::uint64_t>(us));
      if (rcode == static_cast<std::uint8_t>(dns::Rcode::kServFail)) ++f.servfails;
      if (rcode == static_cast<std::uint8_t>(dns::Rcode::kRefused)) ++f.refused;
      break;
    }
    case End::kTimedOut:
      ++f.timeouts;
      break;
    case End::kUnreachable:
      ++f.unreachable;
      break;
    case End::kAbandoned:
      break;
  }
}

TargetFigures Health::read(std::uint32_t id, const State& state) const {
  TargetFigures sum;
  if (state.over_streams) return streams_.figures(id);
  if (state.through_host) {
    if (const auto found = host_.find(state.address); found != host_.end()) sum = found->second;
    return sum;
  }
  const auto load = [](const auto& figure) { return figure.load(std::memory_order_relaxed); };
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const state::TargetStats& s = workers_.worker(i).targets()[id];
    sum.sent += load(s.sent);
    sum.answered += load(s.answered);
    sum.timeouts += load(s.timeouts);
    sum.servfails += load(s.servfails);
    sum.refused += load(s.refused);
    sum.malformed += load(s.malformed);
    sum.in_flight += load(s.in_flight);
    sum.failed_names |= s.failed_names.bits();
    sum.latency.sum += load(s.latency_us_sum);
    for (std::size_t b = 0; b < s.latency.size(); ++b)
      sum.latency.buckets[b] += load(s.latency[b]);
  }
  return sum;
}

void Health::set_generation(std::shared_ptr<const Generation> generation) {
  std::map<std::uint32_t, State> next;
  std::map<std::uint32_t, LoopGuard::Settings> guarded;
  const Clock::time_point now = Clock::now();
  for (const conf::Upstream& source : generation->config.upstreams) {
    const auto& all = generation->snapshot->upstreams;
    const auto upstream = std::find_if(
        all.begin(), all.end(), [&](const state::Upstream& u) { return u.exists && u.name == source.name; });
    if (upstream == all.end()) continue;
    for (std::uint16_t i = 0; i < upstream->targets.size(); ++i) {
      const state::Target& target = upstream->targets[i];
      State state(source.health, now);
      if (const auto known = targets_.find(target.id);
          known != targets_.end() && known->second.address == target.address &&
          known->second.upstream == upstream->name && known->second.through_host == upstream->through_host &&
          known->second.over_streams == upstream->over_streams) {
        state = std::move(known->second);
        state.judge.set(source.health);
      } else {
        state.upstream = upstream->name;
        state.address = target.address;
        state.through_host = upstream->through_host;
        state.over_streams = upstream->over_streams;
        state.seen = read(target.id, state);
        state.window_start = state.last_window_start = state.seen.latency;
        state.window_began = now;
        publish(target.id, state);
        loops_.forget(target.id);
        avoid(target.id, {}, "");
      }
      state.probe = probe_question(source.probe);
      state.handle = upstream->handle;
      state.index = i;
      state.timeout_ms = upstream->timeout_ms;
      state.fastest = upstream->policy == state::Policy::kFastest;
      next.emplace(target.id, std::move(state));
      guarded[target.id].interval = std::chrono::milliseconds(source.health.interval_ms);
    }
  }
  loops_.set_targets(guarded);
  targets_ = std::move(next);
  generation_ = std::move(generation);
}

void Health::publish(std::uint32_t id, const State& state) {
  state::TargetHealth& health = workers_.health()[id];
  health.up.store(static_cast<std::uint8_t>(state.judge.state()), std::memory_order_relaxed);
  const auto latency = static_cast<std::uint32_t>(std::ceil(state.latency_us));
  if (health.latency_us.load(std::memory_order_relaxed) != latency)
    health.latency_us.store(latency, std::memory_order_relaxed);
}

std::map<std::uint32_t, unsigned> Health::count_up() const {
  std::map<std::uint32_t, unsigned> up;
  for (const auto& [id, state] : targets_)
    up[state.handle] += state.judge.state() == TargetState::kUp ? 1u : 0u;
  return up;
}

// What clients' questions met since the last time: that of probes is told to the judge by itself.
TargetEvents Health::events_of(State& state, const TargetFigures& figures) {
  const auto without = [](std::uint64_t events, std::uint64_t& probes) {
    const std::uint64_t taken = std::min(events, probes);
    probes -= taken;
    return events - taken;
  };
  TargetEvents e;
  e.answered = without(grown(figures.answered, state.seen.answered), state.probes_answered);
  e.servfails = without(grown(figures.servfails, state.seen.servfails), state.probes_servfail);
  e.refused = without(grown(figures.refused, state.seen.refused), state.probes_refused);
  e.timeouts = without(grown(figures.timeouts, state.seen.timeouts), state.probes_silent);
  e.unreachable = without(grown(figures.unreachable, state.seen.unreachable), state.probes_silent);
  e.malformed = grown(figures.malformed, state.seen.malformed);
  if (e.servfails + e.refused != 0) e.failed_names = figures.failed_names;
  return e;
}

void Health::note_latency(std::uint32_t id, State& state, const TargetFigures& figures,
                          const TargetEvents& events, Clock::time_point now) {
  const std::uint64_t answered = grown(figures.answered, state.seen.answered);
  const bool only_probes = events.answered + events.timeouts == 0;
  if (answered + events.timeouts != 0 && (!only_probes || now - state.measured >= kOwnLatency)) {
    // Without the penalty a target that answers fast or not at all would be the fastest.
    const double us = static_cast<double>(grown(figures.latency.sum, state.seen.latency.sum)) +
                      1e3 * state.timeout_ms * static_cast<double>(events.timeouts);
    const double mean = us / static_cast<double>(answered + events.timeouts);
    state.latency_us = state.latency_us == 0 ? mean : std::lerp(state.latency_us, mean, kSmoothing);
    if (!only_probes) state.measured = now;
    publish(id, state);
  }
  if (now - state.window_began >= kLatencyWindow) {
    state.last_window_start = std::exchange(state.window_start, figures.latency);
    state.window_began = now;
  }
}

void Health::tick() {
  const Clock::time_point now = Clock::now();
  const std::map<std::uint32_t, unsigned> up = count_up();
  for (auto& [id, state] : targets_) {
    const TargetFigures figures = read(id, state);
    const TargetEvents events = events_of(state, figures);
    note_latency(id, state, figures, events, now);
    state.seen = figures;
    const unsigned others = up.at(state.handle) - (state.judge.state() == TargetState::kUp ? 1 : 0);
    if (state.judge.take(events, others != 0, now)) tell_change(id, state);
    if (!state.judge.wants_probe(state.fastest, now, 0x1p-32 * random_.next32())) continue;
    if (!ask(kAskTicket | id, state, state.probe)) state.judge.probe_lost();
  }
  loops_.tick(now);
}

void Health::tell_change(std::uint32_t id, const State& state) {
  publish(id, state);
  spdlog::warn("upstream {}: target {} is {}: {}", state.upstream, state.address.to_string(),
               state_text(state.judge.state()), state.judge.why());
}

bool Health::ask(std::uint64_t ticket, const State& state, const std::vector<std::uint8_t>& question) {
  if (state.over_streams) {
    ask_over_stream(ticket, state, question);
    return true;
  }
  if (state.through_host) {
    ask_through_host(ticket, state, question);
    return true;
  }
  rte_mbuf* packet = crossing_.make_packet(question);
  if (packet == nullptr) return false;
  Message& order = message_of(packet);
  order.kind = MessageKind::kAsk;
  order.ticket = ticket;
  order.upstream = state.handle;
  order.target = state.index;
  order.client = {};
  return crossing_.order(0, packet);
}

void Health::ask_over_stream(std::uint64_t ticket, const State& state,
                             const std::vector<std::uint8_t>& question) {
  streams_.probe(static_cast<std::uint32_t>(ticket), question, state.timeout_ms,
                 [this, ticket, address = state.address](const Result<UpstreamStreams::Answer>& answer) {
                   ended(ticket, address, answer ? answer->message : std::vector<std::uint8_t>{});
                 });
}

void Health::ask_through_host(std::uint64_t ticket, const State& state,
                              const std::vector<std::uint8_t>& question) {
  Ask ask;
  ask.targets = {state.address};
  ask.message = question;
  ask.timeout_ms = state.timeout_ms;
  ask.tries = 1;
  resolver_.ask(std::move(ask), [this, ticket, address = state.address](Result<HostAnswer> answer) {
    ended(ticket, address, answer ? answer->message : std::vector<std::uint8_t>{});
  });
}

void Health::take_reply(std::uint64_t ticket, std::span<const std::uint8_t> answer) {
  const auto found = targets_.find(static_cast<std::uint32_t>(ticket));
  if (found != targets_.end()) ended(ticket, found->second.address, answer);
}

void Health::ended(std::uint64_t ticket, const SocketAddress& address, std::span<const std::uint8_t> answer) {
  const auto id = static_cast<std::uint32_t>(ticket);
  const auto found = targets_.find(id);
  if (found == targets_.end() || found->second.address != address) return;
  State& state = found->second;
  const TargetJudge::Probe result = note_probe(state, answer);
  if ((ticket & kLoopTicket) != 0) return loops_.ended(id, Clock::now());
  const unsigned others = count_up().at(state.handle) - (state.judge.state() == TargetState::kUp ? 1 : 0);
  if (state.judge.probed(result, others != 0, Clock::now())) tell_change(id, state);
}

TargetJudge::Probe Health::note_probe(State& state, std::span<const std::uint8_t> answer) {
  if (answer.size() < dns::kHeaderSize) {
    ++state.probes_silent;
    return TargetJudge::Probe::kSilent;
  }
  const std::uint8_t rcode = answer[dns::kFlagsOffset + 1] & dns::kRcodeMask;
  ++state.probes_answered;
  state.probes_servfail += rcode == static_cast<std::uint8_t>(dns::Rcode::kServFail) ? 1 : 0;
  state.probes_refused += rcode == static_cast<std::uint8_t>(dns::Rcode::kRefused) ? 1 : 0;
  return is_failure(rcode) ? TargetJudge::Probe::kBad : TargetJudge::Probe::kGood;
}

LoopGuard::Hooks Health::loop_hooks() {
  return {[this](std::uint32_t id, std::uint64_t tag) {
            workers_.loops()[id].tag.store(tag, std::memory_order_relaxed);
          },
          [this](std::uint32_t id, const std::vector<std::uint8_t>& question) {
            const auto found = targets_.find(id);
            return found != targets_.end() && ask(kAskTicket | kLoopTicket | id, found->second, question);
          },
          [this](std::uint32_t id, std::uint64_t tag) {
            for (std::size_t i = 0; i < workers_.size(); ++i)
              if (workers_.worker(i).targets()[id].led_back.load(std::memory_order_acquire) == tag)
                return true;
            return false;
          },
          [this](std::uint32_t id, const std::vector<dns::Name>& names, const std::string& news) {
            avoid(id, names, news);
          }};
}

void Health::avoid(std::uint32_t id, const std::vector<dns::Name>& names, const std::string& news) {
  state::TargetLoops& loops = workers_.loops()[id];
  for (std::size_t i = 0; i < names.size(); ++i) {
    loops.entries[i].hash.store(dns::hash_name(key_, names[i].wire.data(), names[i].length),
                                std::memory_order_relaxed);
    loops.entries[i].labels.store(names[i].labels, std::memory_order_relaxed);
  }
  workers_.health()[id].loops.store(static_cast<std::uint8_t>(names.size()), std::memory_order_release);
  const auto found = targets_.find(id);
  if (found == targets_.end() || news.empty()) return;
  spdlog::warn("upstream {}: target {} {}", found->second.upstream, found->second.address.to_string(), news);
}

void Health::take_timeout(std::uint32_t target, std::span<const std::uint8_t> name) {
  loops_.suspect(target, name, Clock::now());
}

bool Health::leads_back(const std::string& upstream, const std::string& address,
                        const dns::Name& name) const {
  return std::ranges::any_of(targets_, [&](const auto& entry) {
    const State& state = entry.second;
    return state.upstream == upstream && state.address.to_string() == address &&
           loops_.leads_back(entry.first, name);
  });
}

std::vector<TargetMetrics> Health::metrics() const {
  const Clock::time_point now = Clock::now();
  std::vector<TargetMetrics> all;
  for (const auto& [id, state] : targets_) {
    TargetMetrics m;
    m.upstream = state.upstream;
    m.target = state.address;
    m.up = state.judge.state() == TargetState::kUp;
    m.state = state_text(state.judge.state());
    m.why = state.judge.why();
    m.since_seconds = std::chrono::duration<double>(now - state.judge.since()).count();
    m.leads_back = loops_.names(id);
    if (!m.leads_back.empty() && m.up) {
      m.state = "looping";
      m.why = "leads back here: isn't asked for " + list_text(m.leads_back);
      m.since_seconds = std::chrono::duration<double>(now - loops_.since(id)).count();
    }
    m.figures = read(id, state);
    if (state.over_streams) m.last_failure = streams_.last_failure(id);
    m.latency_seconds = 1e-6 * state.latency_us;
    Durations recent = m.figures.latency;
    recent -= state.last_window_start;
    m.p50_seconds = 1e-6 * quantile(recent, 0.50);
    m.p99_seconds = 1e-6 * quantile(recent, 0.99);
    all.push_back(std::move(m));
  }
  return all;
}

}  // namespace shunt::control
