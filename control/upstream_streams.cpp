#include "control/upstream_streams.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace shunt::control {

UpstreamStreams::UpstreamStreams(asio::io_context& io, Random& random, OpenSocket open_in_mirror)
    : io_(io), random_(random), open_in_mirror_(std::move(open_in_mirror)), resolver_(io) {}

void UpstreamStreams::set_generation(std::shared_ptr<const Generation> generation) {
  std::map<std::uint32_t, Entry> next;
  const conf::Config& config = generation->config;
  for (std::size_t u = 0; u < config.upstreams.size(); ++u) {
    const conf::Upstream& source = config.upstreams[u];
    const state::Upstream& upstream = generation->snapshot->upstreams[generation->upstream_handles[u]];
    for (const state::Target& target : upstream.targets) {
      Settings settings{
          source.name, target.address, source.tls_name, source.tls_trust, false, !source.outbound.empty(),
          {}};
      settings.tls = source.protocol == conf::Protocol::kTls;
      for (std::uint32_t i = 0; i < target.paths; ++i)
        settings.sources.push_back(generation->snapshot->paths[target.first_path + i].source);
      const auto known = entries_.find(target.id);
      if (known != entries_.end() && known->second.settings == settings) {
        next.emplace(target.id, std::move(known->second));
      } else {
        auto record = std::make_shared<Record>();
        record->name = "upstream " + source.name + ": target " + target.address.to_string();
        next.emplace(target.id,
                     Entry{std::move(settings), generation->trusts[u], nullptr, std::move(record)});
      }
    }
  }
  entries_ = std::move(next);
}

void UpstreamStreams::note_answer(Record& record, std::chrono::nanoseconds latency, std::uint8_t rcode) {
  TargetFigures& f = record.figures;
  ++f.answered;
  f.latency.add(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(latency).count()));
  if (rcode == static_cast<std::uint8_t>(dns::Rcode::kServFail)) ++f.servfails;
  if (rcode == static_cast<std::uint8_t>(dns::Rcode::kRefused)) ++f.refused;
  record.last_failure.clear();
}

void UpstreamStreams::note_failure(Record& record, const std::string& why) {
  ++record.figures.unreachable;
  record.last_failure = why;
  const Clock::time_point now = Clock::now();
  const bool before = record.logged_at != Clock::time_point{};
  if (before && now - record.logged_at < (why == record.logged ? Clock::duration(kSameAgain) : kAnyAgain))
    return;
  record.logged = why;
  record.logged_at = now;
  spdlog::warn("{}: {}", record.name, why);
}

/// The target, made when it is asked for the first time.
std::shared_ptr<UpstreamTarget> UpstreamStreams::find(std::uint32_t id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return nullptr;
  Entry& entry = found->second;
  if (entry.target != nullptr) return entry.target;
  UpstreamTargetOptions options;
  options.address = entry.settings.address;
  options.sources = entry.settings.sources;
  if (entry.settings.mirrored) options.open_socket = open_in_mirror_;
  if (entry.settings.tls) options.tls = std::make_shared<UpstreamTls>(entry.trust, entry.settings.tls_name);
  UpstreamObserver observer{[record = entry.record] { ++record->figures.sent; },
                            [record = entry.record](std::chrono::nanoseconds latency, std::uint8_t rcode) {
                              note_answer(*record, latency, rcode);
                            },
                            [record = entry.record] {
                              ++record->figures.timeouts;
                              record->last_failure = "no answer in time";
                            },
                            [record = entry.record](const std::string& why) { note_failure(*record, why); }};
  entry.target = std::make_shared<UpstreamTarget>(io_, random_, resolver_.counters(), std::move(options),
                                                  std::move(observer));
  return entry.target;
}

bool UpstreamStreams::send(UpstreamAsk ask, std::vector<std::uint32_t> ids, Callback callback) {
  // Named first: what follows moves them.
  std::vector<SocketAddress> addresses;
  for (const auto& target : ask.targets)
    addresses.push_back(target->address());
  return resolver_.ask(std::move(ask), [ids = std::move(ids), addresses = std::move(addresses),
                                        callback = std::move(callback)](Result<UpstreamAnswer> answer) {
    if (!answer) return callback(Failure(answer.error()));
    callback(Answer{std::move(answer->message), ids[answer->target], addresses[answer->target]});
  });
}

bool UpstreamStreams::ask(const std::vector<std::uint32_t>& targets, std::vector<std::uint8_t> message,
                          std::uint32_t timeout_ms, unsigned tries, Callback callback) {
  UpstreamAsk ask;
  std::vector<std::uint32_t> ids;
  std::vector<std::shared_ptr<UpstreamTarget>> later;
  std::vector<std::uint32_t> later_ids;
  for (const std::uint32_t id : targets) {
    const std::shared_ptr<UpstreamTarget> target = find(id);
    if (target == nullptr) continue;
    // One that can't be reached right now comes after those that can.
    (target->ready() ? ask.targets : later).push_back(target);
    (target->ready() ? ids : later_ids).push_back(id);
  }
  ask.targets.insert(ask.targets.end(), later.begin(), later.end());
  ids.insert(ids.end(), later_ids.begin(), later_ids.end());
  ask.message = std::move(message);
  ask.timeout_ms = timeout_ms;
  ask.tries = tries;
  return send(std::move(ask), std::move(ids), std::move(callback));
}

void UpstreamStreams::probe(std::uint32_t target, std::vector<std::uint8_t> message, std::uint32_t timeout_ms,
                            Callback callback) {
  UpstreamAsk ask;
  if (const std::shared_ptr<UpstreamTarget> found = find(target)) ask.targets.push_back(found);
  ask.message = std::move(message);
  ask.timeout_ms = timeout_ms;
  ask.tries = 1;
  ask.probe = true;
  if (send(std::move(ask), {target}, callback)) return;
  asio::post(io_, [callback] { callback(Failure("too many questions in flight")); });
}

bool UpstreamStreams::knows(std::uint32_t target, const SocketAddress& address) const {
  const auto found = entries_.find(target);
  return found != entries_.end() && found->second.settings.address == address;
}

TargetFigures UpstreamStreams::figures(std::uint32_t target) const {
  const auto found = entries_.find(target);
  if (found == entries_.end()) return {};
  TargetFigures figures = found->second.record->figures;
  if (found->second.target != nullptr) figures.in_flight = found->second.target->in_flight();
  return figures;
}

std::string UpstreamStreams::last_failure(std::uint32_t target) const {
  const auto found = entries_.find(target);
  return found == entries_.end() ? "" : found->second.record->last_failure;
}

std::size_t UpstreamStreams::connections() const {
  std::size_t count = 0;
  for (const auto& [id, entry] : entries_)
    if (entry.target != nullptr) count += entry.target->connections();
  return count;
}

}  // namespace shunt::control
