// The control plane: one thread, one event loop, and everything that is not the fast path hung up on it. The
// parts know nothing of each other; here they are tied together.
#pragma once

#include <sched.h>

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/adjacencies.h"
#include "control/busy_queries.h"
#include "control/captures.h"
#include "control/crossing.h"
#include "control/generation.h"
#include "control/health.h"
#include "control/host_resolver.h"
#include "control/metrics_listener.h"
#include "control/mirrors.h"
#include "control/miss.h"
#include "control/net/routes.h"
#include "control/query_log.h"
#include "control/registry.h"
#include "control/rule_figures.h"
#include "control/socket.h"
#include "control/tcp_server.h"
#include "control/upstream_streams.h"
#include "control/watch_log.h"
#include "control/workers.h"
#include "control/zones.h"

namespace shunt::control {

class Control {
 public:
  /// Draws the key that all rule sets of this process are built with.
  static dns::HashKey draw_key();
  /// `first` was made with this key and registry.
  Control(const dns::HashKey& key, Registry registry, std::shared_ptr<const Generation> first);
  ~Control();

  /// Brings everything up. After an error the object is only good for destruction.
  Result<void> start();
  /// Runs until a signal ends it, and everything in flight is answered. SIGHUP reloads; a second SIGTERM or
  /// SIGINT ends at once.
  void run();

 private:
  // control.cpp: life
  Result<void> open_control_socket(const std::string& path);
  Result<void> open_sockets();
  /// As [metrics] listen says; null where it says nothing.
  Result<std::unique_ptr<MetricsListener>> open_metrics_listener(const conf::Config& config);
  void wait_for_signal();
  void begin_stop();
  void housekeeping();
  void count_rules();
  QueryLog::Options query_log_options();
  void log_queries(bool on);
  Captures::Owner capture_owner();
  unsigned turn();
  std::vector<std::uint64_t> loops() const;
  bool drained() const;

  // streams.cpp: TCP clients
  TcpServer::Owner tcp_owner();
  Result<int> open_listener(const SocketAddress& address);
  Result<int> open_in_mirror(int family, int type);
  bool take_stream_query(TcpTicket ticket, const SocketAddress& client, std::uint16_t endpoint,
                         std::span<const std::uint8_t> message);
  void take_reply(const Message& message, std::span<const std::uint8_t> answer);
  void log_stream(const TcpAnswered& answered);
  void open_zones();
  bool take_miss(std::size_t worker, rte_mbuf* packet);
  void ask_whole(const Message& message, std::span<const std::uint8_t> answer,
                 const Zones::WholeAnswer& done);
  void ask_again_over_tcp(const Message& message, std::span<const std::uint8_t> answer);

  // reload.cpp
  struct Next;
  using MakeNext = std::function<void(Next&)>;
  asio::awaitable<Result<nlohmann::json>> reload(bool dry_run);
  asio::awaitable<Result<nlohmann::json>> rollback();
  asio::awaitable<Result<nlohmann::json>> replace(MakeNext make, bool dry_run);
  void read_file(Next& next) const;
  void make_kept_again(Next& next) const;
  asio::awaitable<void> build(std::shared_ptr<Next> next, MakeNext make);
  asio::awaitable<Result<void>> switch_to(Next& next);
  void release(std::shared_ptr<const void> last);
  asio::awaitable<void> wait_for_adjacencies(const Generation& next);
  asio::awaitable<std::vector<unsigned>> publish(const Generation& next);
  void republish_adjacencies();
  Adjacencies adjacencies_of(const Generation& generation) const;
  void adopt(std::shared_ptr<const Generation> generation);

  // commands.cpp: what the control socket is asked
  void handle(const nlohmann::json& request, ControlSocket::Done done);
  nlohmann::json run_command(const std::string& command, const nlohmann::json& request);
  nlohmann::json status() const;
  nlohmann::json zones_result() const;
  nlohmann::json upstreams() const;
  nlohmann::json cache_stats() const;
  nlohmann::json rules() const;
  void flush_cache(const nlohmann::json& request);
  nlohmann::json health() const;
  nlohmann::json explain_query(const nlohmann::json& request) const;
  nlohmann::json start_capture(const nlohmann::json& request);
  nlohmann::json top(const nlohmann::json& request);
  MetricsSnapshot metrics() const;
  std::string limiting_resource() const;

  /// Rates of the last second, for `status`.
  struct Rate {
    Stats last;
    double busy = 0, queries = 0;
  };
  void sample_rates();

  const dns::HashKey key_;
  asio::io_context io_;
  cpu_set_t cores_;  ///< that the process was given, before each thread got its own
  asio::thread_pool builder_{1};
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  Registry registry_;  ///< as of the current generation; the next one is made with a copy
  std::shared_ptr<const Generation> generation_;
  std::shared_ptr<const Generation> kept_;  ///< the one before, for a rollback; null: there is none
  std::uint64_t last_read_ = 0;             ///< the generation as which the file was read last
  std::vector<PathState> path_states_;      ///< parallel to the snapshot's paths
  Random random_;
  std::unique_ptr<Workers> workers_;
  std::optional<Mirrors> mirrors_;
  std::optional<Routes> routes_;
  std::optional<Crossing> crossing_;
  std::optional<HostResolver> resolver_;
  std::optional<UpstreamStreams> streams_;
  std::optional<Misses> misses_;
  std::optional<Zones> zones_;
  std::optional<Health> health_;
  std::optional<RuleFigures> rule_figures_;
  WatchLog watch_log_;
  std::optional<QueryLog> query_log_;
  std::optional<Captures> captures_;
  std::optional<BusyQueries> busy_queries_;
  std::optional<TcpServer> tcp_;
  std::unique_ptr<ControlSocket> socket_;
  std::unique_ptr<MetricsListener> metrics_listener_;
  asio::signal_set signals_;
  asio::steady_timer tick_;
  std::vector<Rate> rates_;
  std::chrono::steady_clock::time_point sampled_;
  unsigned ticks_ = 0;
  bool logging_queries_ = false;
  bool reloading_ = false;
  bool stopping_ = false;
  bool tcp_done_ = false;
  std::vector<std::uint64_t>
      drained_loops_;  ///< of each worker, when all had taken the draining view; empty before
  bool stop_now_ = false;
  std::chrono::steady_clock::time_point stop_deadline_;
};

}  // namespace shunt::control
