#include "control/control.h"

#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <csignal>

#include "control/version.h"

namespace shunt::control {
namespace {

using namespace std::chrono_literals;

// The loop sleeps when idle, and not for long: workers can't wake it without a system call of theirs. What
// comes after a second of quiet may wait a little longer; every waking takes time from whoever has the core.
constexpr std::chrono::microseconds kShortNap = 50us, kLongNap = 500us, kLongestNap = 2ms;
constexpr unsigned kIdleTurnsBeforeLongNap = 200, kIdleTurnsBeforeLongestNap = 2000;

// For workers to take new figures. Nobody waits for it.
constexpr std::uint32_t kFiguresDeadlineMs = 2000;

cpu_set_t all_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  static_cast<void>(pthread_getaffinity_np(pthread_self(), sizeof cores, &cores));
  return cores;
}

// A worker never leaves its core, and must not have to share it: of `cores` the calling thread keeps to those
// that are no worker's, as far as there are others.
void leave_cores_of_workers(const conf::Dataplane& dataplane, cpu_set_t cores) {
  for (const unsigned core : dataplane.workers) {
    if (core < CPU_SETSIZE) CPU_CLR(core, &cores);
  }
  if (CPU_COUNT(&cores) == 0 && dataplane.control_core < CPU_SETSIZE) CPU_SET(dataplane.control_core, &cores);
  if (pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) != 0)
    spdlog::warn("reloads and the query log can't be kept off the workers' cores");
}

// What to add to a worker's clock for microseconds since 1970.
std::int64_t wall_offset_us() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(wall).count() -
         static_cast<std::int64_t>(Workers::clock_us());
}

}  // namespace

dns::HashKey Control::draw_key() {
  Random random(Random::system_seed());
  dns::HashKey key;
  key.a = random.next64();
  key.b = random.next64();
  return key;
}

Control::Control(const dns::HashKey& key, Registry registry, std::shared_ptr<const Generation> first)
    : key_(key),
      cores_(all_cores()),
      registry_(std::move(registry)),
      generation_(std::move(first)),
      last_read_(generation_->read_as),
      random_(Random::system_seed()),
      watch_log_([](const std::string& line) { spdlog::info("{}", line); }),
      signals_(io_, SIGTERM, SIGINT, SIGHUP),
      tick_(io_) {
  asio::post(builder_, [this] { leave_cores_of_workers(generation_->config.dataplane, cores_); });
}

Control::~Control() {
  builder_.join();
  // What uses the workers' memory goes before them.
  socket_.reset();
  metrics_listener_.reset();
  tcp_.reset();
  resolver_.reset();
  streams_.reset();
  if (workers_) workers_->stop();
  query_log_.reset();  // with what the workers logged last
  routes_.reset();
  if (mirrors_) mirrors_->close();
}

Result<void> Control::start() {
  const conf::Config& config = generation_->config;
  // The socket's lock first: a second daemon must not touch the ports of the first.
  if (auto opened = open_control_socket(config.control_socket); !opened) return opened;
  auto workers = Workers::open(config, key_);
  if (!workers) return Failure(workers.error());
  workers_ = std::move(*workers);
  crossing_.emplace(
      *workers_,
      Crossing::Receivers{
          [this](std::uint8_t port, std::span<const std::uint8_t> frame) { mirrors_->write(port, frame); },
          [this](std::size_t worker, rte_mbuf* packet) { return take_miss(worker, packet); },
          [this](const Message& message, std::span<const std::uint8_t> answer) {
            take_reply(message, answer);
          },
          [this](const Message& message, std::span<const std::uint8_t> question) {
            watch_log_.take({message.generation, message.network, message.set, message.rule, message.client,
                             load_be16(question.data()), question.subspan(2)},
                            std::chrono::steady_clock::now());
          },
          [this](std::uint32_t target, std::span<const std::uint8_t> name) {
            health_->take_timeout(target, name);
          }});
  auto mirrors = Mirrors::open(
      io_, config, workers_->ports(),
      [this](std::uint8_t port, std::span<const std::uint8_t> frame) { crossing_->send_frame(port, frame); });
  if (!mirrors) return Failure(mirrors.error());
  mirrors_.emplace(std::move(*mirrors));
  auto routes = Routes::open(io_, mirrors_->where());
  if (!routes) return Failure(routes.error());
  routes_.emplace(std::move(*routes));
  routes_->set_ports(mirrors_->route_ports());
  routes_->want(generation_->routes);
  routes_->on_change([this] { republish_adjacencies(); });
  resolver_.emplace(io_, random_);
  streams_.emplace(io_, random_, [this](int family, int type) { return open_in_mirror(family, type); });
  misses_.emplace(*crossing_, *resolver_, *streams_,
                  PublishedTargets{workers_->health(), workers_->loops(), key_}, random_,
                  [this](std::uint32_t target, std::span<const std::uint8_t> name) {
                    health_->take_timeout(target, name);
                  });
  open_zones();
  health_.emplace(*workers_, *crossing_, *resolver_, *streams_, random_, key_);
  tcp_.emplace(io_, TcpLimits::from(config.limits), tcp_owner());
  query_log_.emplace(query_log_options());
  auto sink = query_log_->open(config.query_log);
  if (!sink) return Failure("[log] queries_to: " + sink.error());
  log_queries(*sink != nullptr);
  query_log_->set_sink(std::move(*sink));
  captures_.emplace(capture_owner());
  busy_queries_.emplace(BusyQueries::Owner{
      .workers = workers_->size(), .publish = [this](std::shared_ptr<const state::QuerySamples> sampled) {
        workers_->set_sampled(std::move(sampled));
        republish_adjacencies();
      }});
  rule_figures_.emplace([this](FigureNumber number) { return workers_->figures(number); });
  Adjacencies adjacencies = adjacencies_of(*generation_);
  path_states_ = adjacencies.states;
  adopt(generation_);
  if (auto launched = workers_->launch(generation_->snapshot, std::move(adjacencies.headers)); !launched)
    return launched;
  return open_sockets();
}

Result<void> Control::open_control_socket(const std::string& path) {
  ControlSocket::Options options;
  options.path = path;
  auto socket = ControlSocket::open(
      io_, std::move(options),
      [this](const nlohmann::json& request, ControlSocket::Done done) { handle(request, std::move(done)); });
  if (!socket) return Failure("[control] socket: " + socket.error());
  socket_ = std::move(*socket);
  return {};
}

Result<void> Control::open_sockets() {
  if (auto set = tcp_->set_endpoints(generation_->tcp_endpoints); !set) return set;
  auto listener = open_metrics_listener(generation_->config);
  if (!listener) return Failure(listener.error());
  metrics_listener_ = std::move(*listener);
  wait_for_signal();
  sample_rates();
  housekeeping();
  return {};
}

Result<std::unique_ptr<MetricsListener>> Control::open_metrics_listener(const conf::Config& config) {
  if (!config.metrics) return std::unique_ptr<MetricsListener>();
  MetricsListener::Options options;
  options.address = {config.metrics->first, config.metrics->second};
  auto listener = MetricsListener::open(io_, options, [this] { return prometheus_text(metrics()); });
  if (!listener) return Failure("[metrics] listen: " + listener.error());
  return listener;
}

// Takes a generation as the current one: everybody who keeps a reference gets the new.
void Control::adopt(std::shared_ptr<const Generation> generation) {
  generation_ = std::move(generation);
  streams_->set_generation(generation_);
  misses_->set_generation(generation_);
  zones_->set_generation(generation_);
  health_->set_generation(generation_);
  watch_log_.set_generation(generation_, std::chrono::steady_clock::now());
  query_log_->set_generation(generation_);
  workers_->set_counted(rule_figures_->set_generation(generation_, std::chrono::steady_clock::now()));
}

void Control::wait_for_signal() {
  signals_.async_wait([this](std::error_code error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      asio::co_spawn(io_, reload(false), [](std::exception_ptr failed, const Result<nlohmann::json>& result) {
        if (failed != nullptr) return spdlog::error("reload failed");
        if (!result) return spdlog::error("reload: {}", result.error());
        spdlog::info("{}", (*result)["summary"].get<std::string>());
      });
    } else if (stopping_) {
      stop_now_ = true;
    } else {
      begin_stop();
    }
    wait_for_signal();
  });
}

// No new queries; what is in flight is answered, for drain_ms at most.
void Control::begin_stop() {
  spdlog::info("stopping");
  stopping_ = true;
  const std::uint32_t drain_ms = generation_->config.limits.drain_ms;
  stop_deadline_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(drain_ms);
  workers_->publish(generation_->snapshot, workers_->view().adjacencies, true, drain_ms,
                    [this](std::vector<unsigned>) { drained_loops_ = loops(); });
  tcp_->stop(drain_ms, [this] { tcp_done_ = true; });
}

// Every Health::kTickMs.
void Control::housekeeping() {
  health_->tick();
  watch_log_.tick(std::chrono::steady_clock::now());
  count_rules();
  zones_->expire();
  if (++ticks_ % 5 == 0) {
    sample_rates();
    mirrors_->follow_links(workers_->ports());
  }
  tick_.expires_after(std::chrono::milliseconds(Health::kTickMs));
  tick_.async_wait([this](std::error_code error) {
    if (!error) housekeeping();
  });
}

// Hears which rules without figures are busy; where numbers change hands, the workers get new routings with
// them.
void Control::count_rules() {
  std::uint64_t offered = 0;
  for (std::size_t i = 0; i < workers_->size(); ++i) {
    SampleRing& samples = workers_->worker(i).samples();
    samples.drain([this](const RuleSample& sample) { rule_figures_->take(sample); });
    offered += samples.offered();
  }
  if (stopping_ || reloading_) return;  // the registry is the builder's then
  auto counted = rule_figures_->tick(std::chrono::steady_clock::now(), offered,
                                     [this] { return registry_.next_routing(); });
  if (counted == nullptr) return;
  workers_->set_counted(std::move(counted));
  workers_->publish(generation_->snapshot, workers_->view().adjacencies, false, kFiguresDeadlineMs, nullptr);
}

QueryLog::Options Control::query_log_options() {
  return {
      .workers = workers_->size(),
      .key = key_,
      .wall_offset_us = wall_offset_us,
      .on_thread = [this,
                    dataplane = generation_->config.dataplane] { leave_cores_of_workers(dataplane, cores_); },
      .version = kVersion};
}

// The streams do at once, the workers with the next view.
void Control::log_queries(bool on) {
  workers_->set_query_log(on ? query_log_->from_workers() : nullptr);
  logging_queries_ = on;
}

Captures::Owner Control::capture_owner() {
  return {.workers = workers_->size(),
          .publish =
              [this](std::shared_ptr<const state::Capture> capture) {
                workers_->set_capture(std::move(capture));
                republish_adjacencies();
              },
          .wall_offset_us = wall_offset_us,
          .port_name = [this](std::uint8_t port) { return generation_->config.ports[port].name; }};
}

unsigned Control::turn() {
  workers_->poll();
  const auto now = std::chrono::steady_clock::now();
  captures_->poll(now);
  busy_queries_->poll(now);
  return crossing_->poll() + static_cast<unsigned>(io_.poll());
}

std::vector<std::uint64_t> Control::loops() const {
  std::vector<std::uint64_t> all;
  for (std::size_t i = 0; i < workers_->size(); ++i)
    all.push_back(workers_->worker(i).stats()[Counter::loops]);
  return all;
}

// Nothing waits, by counters that every worker published after it took the draining view.
bool Control::drained() const {
  if (drained_loops_.empty()) return false;
  for (std::size_t i = 0; i < workers_->size(); ++i) {
    const Stats stats = workers_->worker(i).stats();
    if (stats[Counter::loops] <= drained_loops_[i] || stats.waiting != 0) return false;
  }
  return true;
}

void Control::run() {
  unsigned idle = 0;
  while (!stop_now_) {
    if (turn() != 0) {
      idle = 0;
    } else if (++idle < kIdleTurnsBeforeLongNap) {
      io_.run_one_for(kShortNap);
    } else {
      io_.run_one_for(idle < kIdleTurnsBeforeLongestNap ? kLongNap : kLongestNap);
    }
    if (!stopping_) continue;
    if ((tcp_done_ && drained()) || std::chrono::steady_clock::now() >= stop_deadline_) break;
  }
  signals_.cancel();
  tick_.cancel();
}

}  // namespace shunt::control
