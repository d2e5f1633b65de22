// What the control socket is asked, and what it answers.
#include <rte_mempool.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "conf/zone.h"
#include "control/control.h"
#include "control/explain.h"
#include "control/version.h"

namespace shunt::control {

using nlohmann::json;

namespace {

double seconds_since(std::chrono::steady_clock::time_point then) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

std::uint64_t queries_of(const Stats& stats) {
  return stats[Counter::queries_udp] + stats[Counter::queries_stream];
}

// A text of the request, or what stands in for it. Throws what the socket turns into an error.
std::string text_of(const json& request, const char* key, const std::string& otherwise) {
  const auto found = request.find(key);
  if (found == request.end() || found->is_null()) return otherwise;
  if (!found->is_string()) throw std::runtime_error(std::string("\"") + key + "\" must be a string");
  return found->get<std::string>();
}

std::uint64_t id_of(const json& request) {
  const auto found = request.find("id");
  if (found == request.end() || !found->is_number_unsigned())
    throw std::runtime_error("\"id\" must be the number that \"capture start\" gave");
  return found->get<std::uint64_t>();
}

json streams_result(const TcpServer& server) {
  json streams = json::array();
  for (std::size_t i = 0; i < kStreamKinds; ++i) {
    const auto kind = static_cast<StreamKind>(i);
    streams.push_back({{"transport", kStreamTitle[i]},
                       {"connections", server.connections(kind)},
                       {"in_flight", server.queries_in_flight(kind)},
                       {"queries", server.counters(kind)[TcpCounter::queries]}});
  }
  return streams;
}

json certificates_result(const conf::Config& config) {
  using std::chrono::system_clock;
  const double now = std::chrono::duration<double>(system_clock::now().time_since_epoch()).count();
  json certificates = json::array();
  for (const conf::Inbound& inbound : config.inbounds) {
    if (!inbound.tls || inbound.tls->loaded == nullptr) continue;
    const double left = static_cast<double>(inbound.tls->loaded->not_after) - now;
    certificates.push_back({{"endpoint", inbound.name},
                            {"file", inbound.tls->certificate},
                            {"not_after", inbound.tls->loaded->not_after},
                            {"days_left", static_cast<std::int64_t>(std::floor(left / 86400))}});
  }
  return certificates;
}

}  // namespace

void Control::sample_rates() {
  const double seconds = std::max(1e-3, seconds_since(sampled_));
  sampled_ = std::chrono::steady_clock::now();
  const bool first = rates_.empty();
  rates_.resize(workers_->size());
  for (std::size_t i = 0; i < workers_->size(); ++i) {
    const Stats now = workers_->worker(i).stats();
    Rate& rate = rates_[i];
    if (!first) {
      const std::uint64_t polled = now[Counter::polled_us] - rate.last[Counter::polled_us];
      const std::uint64_t busy = now[Counter::busy_us] - rate.last[Counter::busy_us];
      rate.busy = polled == 0 ? 0 : 100.0 * static_cast<double>(busy) / static_cast<double>(polled);
      rate.queries = static_cast<double>(queries_of(now) - queries_of(rate.last)) / seconds;
    }
    rate.last = now;
  }
}

std::string Control::limiting_resource() const {
  for (std::size_t i = 0; i < rates_.size(); ++i) {
    if (rates_[i].busy > 90) return "worker " + std::to_string(i) + " is busy";
    if (workers_->worker(i).stats().pending * 10 > std::uint64_t{generation_->config.dataplane.pending} * 9) {
      return "pending queries of worker " + std::to_string(i);
    }
  }
  const rte_mempool* pool = workers_->pool();
  const unsigned left = rte_mempool_avail_count(pool);
  if (left < pool->size / 10) return "packet buffers";
  return "none";
}

json Control::zones_result() const {
  json zones = json::array();
  for (const conf::ZoneFile& file : generation_->config.zones) {
    zones.push_back({{"name", dns::to_text(file.zone->apex().octets())},
                     {"records", file.zone->records()},
                     {"file", file.file},
                     {"networks", file.networks}});
  }
  return zones;
}

json Control::status() const {
  const conf::Config& config = generation_->config;
  json ports = json::array(), workers = json::array();
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    const Port& port = workers_->ports()[i];
    json addresses = json::array();
    for (const Prefix& p : config.ports[i].addresses)
      addresses.push_back(p.to_string());
    ports.push_back({{"name", config.ports[i].name},
                     {"device", port.device()},
                     {"mac", port.mac().to_string()},
                     {"link", port.link_up() ? "up" : "down"},
                     {"addresses", std::move(addresses)},
                     {"mirror", config.ports[i].mirror}});
  }
  for (std::size_t i = 0; i < rates_.size(); ++i) {
    const Stats stats = workers_->worker(i).stats();
    workers.push_back({{"id", i},
                       {"core", config.dataplane.workers[i]},
                       {"generation", stats.generation},
                       {"busy_percent", rates_[i].busy},
                       {"queries_per_second", rates_[i].queries},
                       {"pending", stats.pending},
                       {"cache_entries", stats.cache_entries},
                       {"swaps", stats.swaps},
                       {"last_swap_us", static_cast<double>(stats.last_swap_ns) / 1e3},
                       {"swap_pause_us", static_cast<double>(stats.longest_swap_ns) / 1e3}});
    if constexpr (kStageCycles) workers.back()["stages"] = stages_result(stats);
  }
  return {{"version", kVersion},
          {"pid", getpid()},
          {"uptime_seconds", seconds_since(started_)},
          {"generation", generation_->number()},
          {"config", config.path},
          {"differs_from_file", generation_->read_as != last_read_},
          {"read_as", generation_->read_as},
          {"ports", std::move(ports)},
          {"workers", std::move(workers)},
          {"rules", generation_->rules},
          {"zones", zones_result()},
          {"streams", streams_result(*tcp_)},
          {"certificates", certificates_result(config)},
          {"packet_buffers",
           {{"size", workers_->pool()->size}, {"free", rte_mempool_avail_count(workers_->pool())}}},
          {"limiting_resource", limiting_resource()}};
}

json Control::upstreams() const {
  const std::vector<TargetMetrics> targets = health_->metrics();
  json result = json::array();
  for (const conf::Upstream& upstream : generation_->config.upstreams) {
    json list = json::array();
    for (const TargetMetrics& t : targets) {
      if (t.upstream != upstream.name) continue;
      list.push_back({{"address", t.target.to_string()},
                      {"state", t.state},
                      {"since_seconds", t.since_seconds},
                      {"why", t.why},
                      {"leads_back", t.leads_back},
                      {"last_failure", t.last_failure},
                      {"latency_ms", t.latency_seconds * 1e3},
                      {"p50_ms", t.p50_seconds * 1e3},
                      {"p99_ms", t.p99_seconds * 1e3},
                      {"in_flight", t.figures.in_flight},
                      {"sent", t.figures.sent},
                      {"answered", t.figures.answered},
                      {"timeouts", t.figures.timeouts},
                      {"unreachable", t.figures.unreachable},
                      {"servfails", t.figures.servfails},
                      {"refused", t.figures.refused},
                      {"malformed", t.figures.malformed}});
    }
    result.push_back({{"name", upstream.name}, {"targets", std::move(list)}});
  }
  return {{"upstreams", std::move(result)}};
}

json Control::cache_stats() const {
  json workers = json::array();
  std::uint64_t hits = 0, lookups = 0;
  for (std::size_t i = 0; i < workers_->size(); ++i) {
    const Stats s = workers_->worker(i).stats();
    hits += s[Counter::cache_hits];
    lookups += s[Counter::cache_hits] + s[Counter::cache_misses];
    workers.push_back({{"worker", i},
                       {"entries", s.cache_entries},
                       {"octets", s.cache_octets},
                       {"hits", s[Counter::cache_hits]},
                       {"misses", s[Counter::cache_misses]},
                       {"insertions", s[Counter::cache_insertions]},
                       {"evictions", s[Counter::cache_evictions]}});
  }
  return {{"workers", std::move(workers)},
          {"hit_ratio", lookups == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(lookups)}};
}

json Control::rules() const {
  return {{"rules", rules_rows(rule_figures_->metrics())},
          {"all", rule_figures_->all()},
          {"limit", generation_->config.rule_figures},
          {"configured", generation_->rules}};
}

void Control::flush_cache(const json& request) {
  const std::string text = text_of(request, "name", "");
  std::vector<std::uint8_t> wire;
  if (!text.empty()) {
    const auto name = dns::parse_name(text);
    if (!name) throw std::runtime_error("\"" + text + "\" is no domain name: " + name.error());
    wire.assign(name->octets().begin(), name->octets().end());
  }
  for (std::size_t i = 0; i < workers_->size(); ++i) {
    rte_mbuf* packet = crossing_->make_packet(wire);
    if (packet == nullptr) throw std::runtime_error("no packet buffer is free: try again");
    message_of(packet).kind = MessageKind::kFlush;
    if (!crossing_->order(i, packet))
      throw std::runtime_error("worker " + std::to_string(i) + " has too many orders: try again");
  }
}

json Control::health() const {
  if (stopping_) return {{"healthy", false}, {"reason", "the daemon is stopping"}};
  const auto& ports = workers_->ports();
  const bool link = std::any_of(ports.begin(), ports.end(), [](const Port& p) { return p.link_up(); });
  if (!link) return {{"healthy", false}, {"reason", "no port has a link"}};
  const std::vector<TargetMetrics> targets = health_->metrics();
  const bool any = targets.empty() || std::any_of(targets.begin(), targets.end(),
                                                  [](const TargetMetrics& t) { return t.state != "down"; });
  if (!any) return {{"healthy", false}, {"reason", "every target of every upstream is down"}};
  return {{"healthy", true}, {"reason", ""}};
}

json Control::explain_query(const json& request) const {
  ExplainRequest r;
  r.name = text_of(request, "name", "");
  r.type = text_of(request, "type", "A");
  r.client = text_of(request, "client", "");
  r.endpoint = text_of(request, "endpoint", "");
  if (r.name.empty()) throw std::runtime_error("explain needs a \"name\"");
  if (r.client.empty()) throw std::runtime_error("explain needs a \"client\"");
  auto result = explain(*generation_, key_, path_states_, workers_->health(), r);
  if (!result) throw std::runtime_error(result.error());
  if (json& upstream = (*result)["upstream"]; upstream.is_object()) {
    const auto name = dns::parse_name(r.name);
    for (json& target : upstream["targets"]) {
      const auto address = target["address"].get<std::string>();
      target["leads_back"] = health_->leads_back(upstream["name"].get<std::string>(), address, *name);
    }
  }
  return std::move(*result);
}

json Control::start_capture(const json& request) {
  if (stopping_) throw std::runtime_error("the daemon is stopping");
  state::CaptureFilter filter;
  if (const std::string text = text_of(request, "client", ""); !text.empty()) {
    const auto client = IpAddress::parse(text);
    if (!client) throw std::runtime_error("\"" + text + "\" is no address: " + client.error());
    filter.client = *client;
  }
  if (const std::string text = text_of(request, "name", ""); !text.empty()) {
    const auto suffix = dns::parse_name(text);
    if (!suffix) throw std::runtime_error("\"" + text + "\" is no domain name: " + suffix.error());
    filter.suffix = *suffix;
  }
  return captures_->start(filter, std::chrono::steady_clock::now());
}

json Control::top(const json& request) {
  constexpr std::size_t kUsual = 10, kMost = 1000;
  std::size_t count = kUsual;
  if (const auto found = request.find("count"); found != request.end()) {
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > kMost)
      throw std::runtime_error("\"count\" must be a number from 0 to " + std::to_string(kMost));
    count = found->get<std::size_t>();
  }
  return busy_queries_->top(count, std::chrono::steady_clock::now());
}

MetricsSnapshot Control::metrics() const {
  MetricsSnapshot m;
  m.version = kVersion;
  m.generation = generation_->number();
  m.uptime_seconds = seconds_since(started_);
  for (unsigned i = 0; i < workers_->size(); ++i)
    m.workers.push_back({i, workers_->worker(i).stats()});
  m.targets = health_->metrics();
  for (std::size_t i = 0; i < kStreamKinds; ++i) {
    const auto kind = static_cast<StreamKind>(i);
    m.client_streams[i] = {tcp_->counters(kind), tcp_->connections(kind), tcp_->queries_in_flight(kind)};
  }
  for (const conf::Inbound& inbound : generation_->config.inbounds) {
    if (inbound.tls && inbound.tls->loaded != nullptr)
      m.certificates.push_back({inbound.name, inbound.tls->loaded->not_after});
  }
  m.host = resolver_->counters();
  m.host_in_flight = resolver_->in_flight();
  m.host_latency = resolver_->latency();
  m.streams = streams_->resolver().counters();
  m.stream_connections = streams_->connections();
  m.streams_in_flight = streams_->resolver().in_flight();
  m.stream_latency = streams_->resolver().latency();
  m.query_log = query_log_->counters();
  m.control = socket_->counters();
  m.rules = rule_figures_->metrics();
  return m;
}

json Control::run_command(const std::string& command, const json& request) {
  if (command == "status") return status();
  if (command == "upstreams") return upstreams();
  if (command == "explain") return explain_query(request);
  if (command == "cache stats") return cache_stats();
  if (command == "stats") return stats_result(metrics());
  if (command == "metrics") return {{"text", prometheus_text(metrics())}};
  if (command == "rules") return rules();
  if (command == "health") return health();
  const auto now = std::chrono::steady_clock::now();
  if (command == "top") return top(request);
  if (command == "capture start") return start_capture(request);
  if (command == "capture fetch") return captures_->fetch(id_of(request), now);
  if (command == "capture stop") return captures_->stop(id_of(request), now);
  throw std::runtime_error(
      "unknown command \"" + command +
      "\": there are status, reload, rollback, explain, upstreams, cache stats, cache "
      "flush, stats, rules, metrics, health, top, capture start, capture fetch, capture stop");
}

void Control::handle(const json& request, ControlSocket::Done done) {
  const std::string command = request.at("command").get<std::string>();
  if (command == "cache flush") {
    flush_cache(request);
    // Done when every worker has gone round since: it takes its orders each time.
    workers_->publish(generation_->snapshot, workers_->view().adjacencies, stopping_, 1000,
                      [done = std::move(done)](std::vector<unsigned> stalled) {
                        if (!stalled.empty())
                          return done(error_reply("a worker has not taken the order within 1 s"));
                        done(ok_reply({{"flushed", true}}));
                      });
    return;
  }
  if (command != "reload" && command != "rollback") return done(ok_reply(run_command(command, request)));
  auto change = command == "reload" ? reload(request.value("dry_run", false)) : rollback();
  asio::co_spawn(io_, std::move(change),
                 [this, before = generation_->number(), done = std::move(done), command](
                     std::exception_ptr failed, Result<json> result) {
                   if (failed != nullptr) return done(error_reply("it failed; nothing was changed"));
                   if (result) {
                     spdlog::info("{}", (*result)["summary"].get<std::string>());
                     return done(ok_reply(std::move(*result)));
                   }
                   json reply = error_reply(result.error());
                   // What was published, and not taken in time, is no mistake in the file.
                   if (command == "reload" && generation_->number() == before) reply["code"] = 78;
                   done(std::move(reply));
                 });
}

}  // namespace shunt::control
