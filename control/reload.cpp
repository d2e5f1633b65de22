// Reload: the file is read and built beside the running gateway, then swapped in for all workers at once.
#include <algorithm>

#include <spdlog/spdlog.h>

#include "conf/load.h"
#include "control/control.h"

namespace shunt::control {

using nlohmann::json;

/// What the builder's thread hands back.
struct Control::Built {
  std::shared_ptr<const Generation> generation;
  RuleChanges changes;
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
  if (from.metrics != to.metrics) return "[metrics] listen";
  if (from.ports.size() != to.ports.size()) return "the number of [[port]]";
  for (std::size_t i = 0; i < from.ports.size(); ++i) {
    const std::string port = "port \"" + from.ports[i].name + "\"";
    if (from.ports[i].name != to.ports[i].name) return "the name or order of [[port]] (" + port + ")";
    if (from.ports[i].device != to.ports[i].device) return port + ": device";
    if (from.ports[i].mirror != to.ports[i].mirror) return port + ": mirror";
    if (from.ports[i].vlan != to.ports[i].vlan) return port + ": vlan";
    if (from.ports[i].mtu != to.ports[i].mtu) return port + ": mtu";
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

std::string summarize(const Generation& before, const Generation& after, const RuleChanges& changes,
                      std::int64_t took_ms) {
  const auto number = [](auto n) { return std::to_string(n); };
  return "generation " + number(before.number()) + "→" + number(after.number()) + ": +" +
         number(changes.added) + " −" + number(changes.removed) + " ~" + number(changes.changed) + ", " +
         number(after.rules) + " rules, " + number(took_ms) + " ms";
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

asio::awaitable<void> Control::wait_for_adjacencies(const Generation& next) {
  std::vector<RouteRequest> both = generation_->routes;
  both.insert(both.end(), next.routes.begin(), next.routes.end());
  routes_->want(std::move(both));
  const auto deadline = std::chrono::steady_clock::now() + kAdjacencyWait;
  while (!adjacencies_of(next).all_usable() && std::chrono::steady_clock::now() < deadline) {
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

asio::awaitable<Result<void>> Control::switch_to(std::shared_ptr<const Generation> next) {
  const std::shared_ptr<const Generation> before = generation_;
  if (auto updated = mirrors_->update(before->config, next->config); !updated) co_return updated;
  auto listeners = tcp_->prepare(next->tcp_endpoints);
  if (!listeners) {
    static_cast<void>(mirrors_->update(next->config, before->config));
    co_return Failure(listeners.error());
  }
  co_await wait_for_adjacencies(*next);
  adopt(next);
  const std::vector<unsigned> stalled = co_await publish(*next);
  tcp_->apply(std::move(*listeners));
  tcp_->set_limits(TcpLimits::from(next->config.limits));
  routes_->want(next->routes);
  if (!stalled.empty()) co_return Failure(describe_stall(stalled));
  co_return Result<void>{};
}

asio::awaitable<Result<json>> Control::reload(bool dry_run) {
  if (stopping_) co_return Failure("the daemon is stopping");
  if (reloading_) co_return Failure("a reload is under way already");
  reloading_ = true;
  const auto began = std::chrono::steady_clock::now();
  const std::shared_ptr<const Generation> before = generation_;
  // Reading and building may take seconds: on the builder's thread, so that ARP, TCP and misses don't wait.
  // Named first: g++ 12 destroys the captures of a lambda inside a co_await expression twice.
  auto build = [this, before]() -> asio::awaitable<std::shared_ptr<Built>> {
    auto b = std::make_shared<Built>();
    conf::Loaded loaded = conf::load_file(before->config.path);
    if (!loaded.config) {
      b->error = conf::to_text(loaded.errors);
      co_return b;
    }
    if (const std::string fixed = find_fixed_change(before->config, *loaded.config); !fixed.empty()) {
      b->error = fixed + " can't be changed by a reload: restart shuntd";
      co_return b;
    }
    auto made = make_generation(std::move(*loaded.config), before->number() + 1, key_, registry_);
    if (!made) {
      b->error = made.error();
      co_return b;
    }
    b->generation = *made;
    b->changes = compare_rules(*before, **made);
    co_return b;
  };
  const auto built = co_await asio::co_spawn(builder_, std::move(build), asio::use_awaitable);
  Result<void> switched{};
  if (built->generation != nullptr && !dry_run) switched = co_await switch_to(built->generation);
  reloading_ = false;
  if (built->generation == nullptr) co_return Failure(built->error);
  if (!switched) co_return Failure(switched.error());
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  const std::string summary = summarize(*before, *built->generation, built->changes, took.count());
  co_return json{{"summary", dry_run ? "would be " + summary : summary},
                 {"generation", generation_->number()},
                 {"dry_run", dry_run}};
}

}  // namespace shunt::control
