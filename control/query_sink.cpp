#include "control/query_sink.h"

#include <spdlog/spdlog.h>

namespace shunt::control {

void QueryLogTrouble::begins(std::string_view why, std::uint64_t lost, Clock::time_point now) {
  if (why_.empty()) lost_before_ = lost;
  why_ = why;
  if (why == told_ || (told_at_ && now - *told_at_ < kQuiet)) return;
  told_ = why;
  told_at_ = now;
  spdlog::warn("query log {}: {}; queries that find no room meanwhile are lost", where_, why);
}

void QueryLogTrouble::ends(std::uint64_t lost) {
  why_.clear();
  if (!std::exchange(told_, {}).empty())
    spdlog::info("query log {}: it is written again; {} queries were lost", where_, lost - lost_before_);
}

}  // namespace shunt::control
