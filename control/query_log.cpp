#include "control/query_log.h"

#include <pthread.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <utility>

#include "control/query_file.h"
#include "control/query_stream.h"

namespace shunt::control {
namespace {

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

QueryLog::QueryLog(Options options) : options_(std::move(options)), places_(options_.key) {}

QueryLog::~QueryLog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  woken_.notify_one();
  thread_.join();
}

Result<std::unique_ptr<QuerySink>> QueryLog::open(const conf::QueryLog& config) {
  if (config.format != conf::QueryLogFormat::kOff && from_workers_ == nullptr)
    from_workers_ = std::make_shared<const state::QueryLog>(options_.workers);
  switch (config.format) {
    case conf::QueryLogFormat::kOff:
      break;
    case conf::QueryLogFormat::kJson:
      return QueryFile::open(config.to, counts_).map([](std::unique_ptr<QueryFile> file) {
        return std::unique_ptr<QuerySink>(std::move(file));
      });
    case conf::QueryLogFormat::kDnstap:
      return std::make_unique<QueryStream>(config.to, DnstapSource{host_name(), "shunt " + options_.version},
                                           counts_);
  }
  return std::unique_ptr<QuerySink>();
}

void QueryLog::set_sink(std::unique_ptr<QuerySink> sink) {
  if (sink == nullptr && !thread_.joinable()) return;
  const std::lock_guard lock(mutex_);
  orders_.sink = std::move(sink);
  woken_.notify_one();
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void QueryLog::set_generation(std::shared_ptr<const Generation> generation) {
  const std::lock_guard lock(mutex_);
  orders_.generation = std::move(generation);
}

void QueryLog::take(StreamEnd end) {
  const std::lock_guard lock(mutex_);
  if (orders_.stream_ends.size() >= kMostStreamEnds) {
    ++counts_.lost;
    return;
  }
  orders_.stream_ends.push_back(std::move(end));
}

QueryLogCounters QueryLog::counters() const {
  QueryLogCounters counters;
  counters[QueryLogCounter::written] = counts_.written;
  counters[QueryLogCounter::lost] = counts_.lost;
  return counters;
}

void QueryLog::run() {
  options_.on_thread();
  // Who reads a pipe may go away.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  pthread_setname_np(pthread_self(), "shunt-queries");
  for (bool busy = true, stopping = false; !stopping;) {
    Orders orders;
    {
      std::unique_lock lock(mutex_);
      // Without a sink there is little to do: what a worker told before it knew is thrown away.
      const auto nap = sink_ == nullptr ? kLongNap : kNap;
      if (!busy) woken_.wait_for(lock, nap, [this] { return stopping_ || orders_.sink; });
      orders = std::exchange(orders_, {});
      stopping = stopping_;
    }
    // What came before goes where it went; where there was nothing, it is the new one's.
    const bool begins = sink_ == nullptr;
    if (orders.sink && begins) sink_ = std::move(*orders.sink);
    busy = write_down(orders);
    if (orders.sink && !begins) sink_ = std::move(*orders.sink);
  }
  sink_.reset();
}

bool QueryLog::write_down(const Orders& orders) {
  const auto now = Clock::now();
  if (orders.generation != nullptr) places_.generations.set(orders.generation, now);
  places_.generations.retire(now);
  std::size_t count = orders.stream_ends.size();
  const std::int64_t offset = options_.wall_offset_us();
  for (const auto& ring : from_workers_->rings) {
    ring->drain([&](const state::LoggedQuery& query) {
      write(query, offset);
      ++count;
    });
  }
  for (const StreamEnd& end : orders.stream_ends)
    write(end);
  if (sink_ != nullptr) sink_->flush();
  return count != 0;
}

void QueryLog::write(const state::LoggedQuery& query, std::int64_t wall_offset_us) {
  if (sink_ == nullptr) return;
  QueryRecord record;
  record.asked_us = static_cast<std::int64_t>(query.asked_us) + wall_offset_us;
  record.ended_us = static_cast<std::int64_t>(query.ended_us) + wall_offset_us;
  record.client = query.client;
  record.server = query.server;
  if (query.stream) {
    static constexpr std::uint16_t kPorts[kStreamKinds] = {kDnsPort, kDnsOverTlsPort, kDnsOverHttpsPort};
    record.stream = kind_of(query.ticket);
    record.server.port = kPorts[static_cast<std::size_t>(*record.stream)];
  }
  record.end = query.end;
  record.drop = query.drop;
  record.message = query.message();
  places_.find(record, query.generation);
  sink_->take(record);
}

void QueryLog::write(const StreamEnd& end) {
  if (sink_ == nullptr) return;
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const auto at = [wall, now = Clock::now()](Clock::time_point time) {
    return duration_cast<microseconds>(wall - (now - time)).count();
  };
  QueryRecord record;
  record.asked_us = at(end.asked);
  record.ended_us = at(end.ended);
  record.client = end.client;
  record.server = end.server;
  record.stream = end.kind;
  record.end = end.end;
  record.message = end.answer;
  places_.find(record, 0);
  sink_->take(record);
}

}  // namespace shunt::control
