// Reload: the file is read and built beside the running gateway, then swapped in for all workers at once.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <new>
#include <utility>

#include "conf/load.h"
#include "control/changes.h"
#include "control/control.h"

namespace shunt::control {

using nlohmann::json;

/// A generation in the making. The builder's thread has it until it is made.
struct Control::Next {
  std::shared_ptr<const Generation> before, kept;  ///< what runs, and what a rollback would bring back
  Registry registry;                               ///< thrown away where the generation doesn't go live
  bool named = false;                              ///< tell the changes by name
  std::shared_ptr<const Generation> generation;    ///< null: see `error`
  std::size_t sets_built = 0;
  Changes changes;
  std::string error;
};

namespace {

using namespace std::chrono_literals;

constexpr auto kAdjacencyWait =
    1000ms;  // for new targets' neighbours to answer, before the rules that need them go live
constexpr std::uint32_t kSwapDeadlineMs = 2000;

template <typename Executor>
asio::awaitable<void> nap(Executor executor, std::chrono::milliseconds time) {
  asio::steady_timer timer(executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

// What can't be changed while running, by name.
std::string find_fixed_change(const conf::Config& from, const conf::Config& to) {
  if (!(from.dataplane == to.dataplane)) return "[dataplane]";
  if (from.control_socket != to.control_socket) return "[control] socket";
  if (from.mirror_namespace != to.mirror_namespace) return "[mirror] namespace";
  if (from.ports.size() != to.ports.size()) return "the number of [[port]]";
  for (std::size_t i = 0; i < from.ports.size(); ++i) {
    const std::string port = "port \"" + from.ports[i].name + "\"";
    if (from.ports[i].device != to.ports[i].device) return port + ": device";
    if (from.ports[i].mirror != to.ports[i].mirror) return port + ": mirror";
  }
  return "";
}

std::string describe_stall(const std::vector<unsigned>& cores) {
  std::string text = "the new configuration is published, but not taken within " +
                     std::to_string(kSwapDeadlineMs) + " ms by the worker on core";
  for (const unsigned core : cores)
    text += " " + std::to_string(core);
  return text;
}

std::string summarize(const Generation& before, const Generation& after, const Changes& changes,
                      std::int64_t took_ms) {
  const std::string as = after.read_as == after.number() ? "" : fmt::format(" (as {})", after.read_as);
  return fmt::format("generation {}→{}{}: +{} −{} ~{}, {} rules, {} ms", before.number(), after.number(), as,
                     changes.added, changes.removed, changes.changed, after.rules, took_ms);
}

std::uint64_t octets_of(const Generation& generation) {
  std::uint64_t octets = 0;
  for (const auto& set : generation.rule_sets)
    octets += set->memory_octets();
  return octets;
}

}  // namespace

Adjacencies Control::adjacencies_of(const Generation& generation) const {
  // The routes may be asked for two generations at once: each takes its own by request.
  std::vector<Hop> hops;
  const auto& wanted = routes_->wanted();
  for (const RouteRequest& request : generation.routes) {
    const auto found = std::find(wanted.begin(), wanted.end(), request);
    Hop none;
    none.why_not = "not asked yet";
    hops.push_back(found == wanted.end() ? none
                                         : routes_->hops()[static_cast<std::size_t>(found - wanted.begin())]);
  }
  return make_adjacencies(generation, hops, workers_->ports());
}

// The kernel told of a change: the same snapshot, with new headers.
void Control::republish_adjacencies() {
  if (stopping_) return;
  Adjacencies adjacencies = adjacencies_of(*generation_);
  path_states_ = std::move(adjacencies.states);
  workers_->publish(generation_->snapshot, std::move(adjacencies.headers), false, kSwapDeadlineMs, nullptr);
}

// For paths that are not in use yet: one that has no adjacency now need not get one.
asio::awaitable<void> Control::wait_for_adjacencies(const Generation& next) {
  std::vector<RouteRequest> both = generation_->routes;
  both.insert(both.end(), next.routes.begin(), next.routes.end());
  routes_->want(std::move(both));
  const auto is_new = [this](const RouteRequest& request) {
    const auto& old = generation_->routes;
    return std::find(old.begin(), old.end(), request) == old.end();
  };
  std::vector<std::size_t> fresh;
  for (std::size_t i = 0; i < next.routes.size(); ++i) {
    if (is_new(next.routes[i])) fresh.push_back(i);
  }
  const auto are_usable = [&] {
    const Adjacencies adjacencies = adjacencies_of(next);
    return std::all_of(fresh.begin(), fresh.end(),
                       [&](std::size_t i) { return adjacencies.states[i].usable; });
  };
  const auto deadline = std::chrono::steady_clock::now() + kAdjacencyWait;
  while (!are_usable() && std::chrono::steady_clock::now() < deadline) {
    co_await nap(io_.get_executor(), 5ms);
  }
}

asio::awaitable<std::vector<unsigned>> Control::publish(const Generation& next) {
  Adjacencies adjacencies = adjacencies_of(next);
  path_states_ = std::move(adjacencies.states);
  std::optional<std::vector<unsigned>> stalled;
  // `stalled` outlives the callback: this waits for it.
  workers_->publish(next.snapshot, std::move(adjacencies.headers), false, kSwapDeadlineMs,
                    [&stalled](std::vector<unsigned> cores) { stalled = std::move(cores); });
  while (!stalled)
    co_await nap(io_.get_executor(), 1ms);
  co_return *stalled;
}

asio::awaitable<Result<void>> Control::switch_to(Next& next) {
  const conf::Config &before = next.before->config, &after = next.generation->config;
  const bool metrics_move = before.metrics != after.metrics;
  std::unique_ptr<MetricsListener> metrics_listener;
  if (metrics_move) {
    auto opened = open_metrics_listener(after);
    if (!opened) co_return Failure(opened.error());
    metrics_listener = std::move(*opened);
  }
  // Always opened anew: a file that was moved away begins again.
  auto sink = query_log_->open(after.query_log);
  if (!sink) co_return Failure("[log] queries_to: " + sink.error());
  if (auto updated = mirrors_->update(before, after); !updated) co_return updated;
  auto listeners = tcp_->prepare(next.generation->tcp_endpoints);
  if (!listeners) {
    static_cast<void>(mirrors_->update(after, before));
    co_return Failure(listeners.error());
  }
  co_await wait_for_adjacencies(*next.generation);
  adopt(next.generation);
  const bool logging = *sink != nullptr;
  if (logging) query_log_->set_sink(std::move(*sink));
  log_queries(logging);
  last_read_ = std::max(last_read_, next.generation->read_as);
  spdlog::set_level(spdlog::level::from_str(after.log_level));
  registry_ = std::move(next.registry);
  release(std::exchange(kept_, next.before));
  const std::vector<unsigned> stalled = co_await publish(*next.generation);
  if (!logging) query_log_->set_sink(nullptr);
  if (metrics_move) metrics_listener_ = std::move(metrics_listener);
  tcp_->apply(std::move(*listeners));
  tcp_->set_limits(TcpLimits::from(after.limits));
  routes_->want(next.generation->routes);
  if (!stalled.empty()) co_return Failure(describe_stall(stalled));
  co_return Result<void>{};
}

// What may be the last reference to rules by the million: the control plane has no time to take them apart.
void Control::release(std::shared_ptr<const void> last) {
  asio::post(builder_, [last = std::move(last)] {});
}

// The three below run on the builder's thread: reading and building may take seconds, and ARP, TCP and misses
// don't wait. They touch nothing of the control plane but what never changes.
void Control::read_file(Next& next) const {
  conf::Loaded loaded = conf::load_file(
      next.before->config.path, load_options(key_, next.registry, {next.before.get(), next.kept.get()}));
  if (!loaded.config) {
    next.error = conf::to_text(loaded.errors);
    return;
  }
  if (const std::string fixed = find_fixed_change(next.before->config, *loaded.config); !fixed.empty()) {
    next.error = fixed + " can't be changed by a reload: restart shuntd";
    return;
  }
  next.sets_built = loaded.sets_built;
  auto made = make_generation(std::move(*loaded.config), std::move(loaded.rule_sets),
                              next.before->number() + 1, key_, next.registry);
  if (made) {
    next.generation = std::move(*made);
  } else {
    next.error = made.error();
  }
}

void Control::make_kept_again(Next& next) const {
  if (next.kept == nullptr) {
    next.error = "there is no generation before this one";
    return;
  }
  auto made = make_again(*next.kept, next.before->number() + 1, key_, next.registry);
  if (made) {
    next.generation = std::move(*made);
  } else {
    next.error = made.error();
  }
}

asio::awaitable<void> Control::build(std::shared_ptr<Next> next, MakeNext make) {
  try {
    make(*next);
    if (next->generation != nullptr) next->changes = compare(*next->before, *next->generation, next->named);
  } catch (const std::bad_alloc&) {
    next->generation = nullptr;
    next->error = "there is not enough memory to build the new generation";
  }
  co_return;
}

asio::awaitable<Result<json>> Control::replace(MakeNext make, bool dry_run) {
  if (stopping_) co_return Failure("the daemon is stopping");
  if (reloading_) co_return Failure("a reload is under way already");
  struct Busy {
    bool& flag;
    explicit Busy(bool& f) : flag(f) { flag = true; }
    ~Busy() { flag = false; }
  } busy(reloading_);
  const auto began = std::chrono::steady_clock::now();
  auto next = std::make_shared<Next>();
  next->before = generation_;
  next->kept = kept_;
  next->registry = registry_;
  next->named = dry_run;
  // Named first: g++ 12 destroys what is made inside a co_await expression twice.
  auto building = build(next, std::move(make));
  co_await asio::co_spawn(builder_, std::move(building), asio::use_awaitable);
  Result<void> switched{};
  if (next->generation == nullptr) {
    switched = Failure(next->error);
  } else if (!dry_run) {
    switched = co_await switch_to(*next);
  }
  if (!switched) {
    release(std::move(next));
    co_return Failure(switched.error());
  }
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  const std::string summary = summarize(*next->before, *next->generation, next->changes, took.count());
  json result{{"summary", dry_run ? "would be " + summary : summary},
              {"generation", generation_->number()},
              {"dry_run", dry_run},
              {"sets_built", next->sets_built},
              {"rules", next->generation->rules},
              {"rules_octets", octets_of(*next->generation)},
              {"milliseconds", took.count()},
              {"changes", to_json(next->changes)}};
  release(std::move(next));
  co_return result;
}

asio::awaitable<Result<json>> Control::reload(bool dry_run) {
  MakeNext make = [this](Next& next) { read_file(next); };
  auto replaced = replace(std::move(make), dry_run);
  co_return co_await std::move(replaced);
}

asio::awaitable<Result<json>> Control::rollback() {
  MakeNext make = [this](Next& next) { make_kept_again(next); };
  auto replaced = replace(std::move(make), false);
  co_return co_await std::move(replaced);
}

}  // namespace shunt::control
