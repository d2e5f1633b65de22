#include "control/ctl/top.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <ostream>
#include <thread>
#include <utility>
#include <vector>

#include "control/ctl/print.h"
#include "control/ctl/signals.h"
#include "control/ctl/table.h"

namespace shunt::control::ctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::size_t kWidth = 40;  // of a name

/// The counters of one group of `stats`, by name.
std::map<std::string, double> totals(const Json& stats, std::string_view title) {
  std::map<std::string, double> found;
  for (const Json& group : stats.value("groups", Json::array())) {
    if (group.value("title", "") != title) continue;
    for (const Json& row : group.value("rows", Json::array()))
      found[row.value("name", "")] = row.value("total", 0.0);
  }
  return found;
}

/// Counts a second of a group; those that stand still are left out.
Json rates(const TopSample& before, const TopSample& now, std::string_view title) {
  const double seconds = std::max(1e-3, now.seconds - before.seconds);
  auto old = totals(before.stats, title);
  Json found = Json::object();
  for (const auto& [name, total] : totals(now.stats, title)) {
    if (total > old[name]) found[name] = (total - old[name]) / seconds;
  }
  return found;
}

/// Rates of rules by set and name, the busiest first.
Json busiest_rules(const TopSample& before, const TopSample& now, std::size_t count) {
  const double seconds = std::max(1e-3, now.seconds - before.seconds);
  const auto key = [](const Json& row) { return std::pair(row.value("set", ""), row.value("rule", "")); };
  std::map<std::pair<std::string, std::string>, double> old;
  for (const Json& row : before.rules.value("rules", Json::array()))
    old[key(row)] = row.value("queries", 0.0);
  std::vector<Json> rows;
  for (const Json& row : now.rules.value("rules", Json::array())) {
    // A rule that has figures again goes on where it was: how many of them are new isn't known.
    const auto found = old.find(key(row));
    if (found == old.end()) continue;
    const double rate = (row.value("queries", 0.0) - found->second) / seconds;
    if (rate > 0)
      rows.push_back({{"rule", row.value("rule", "")}, {"set", row.value("set", "")}, {"per_second", rate}});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) {
    return a.at("per_second").get<double>() > b.at("per_second").get<double>();
  });
  rows.resize(std::min(rows.size(), count));
  return rows;
}

double sum(const Json& rates) {
  double all = 0;
  for (const auto& [name, rate] : rates.items())
    all += rate.get<double>();
  return all;
}

std::string rate_text(double rate) {
  return rate < 10 ? fmt::format("{:.1f}", rate) : fmt::format("{:.0f}", rate);
}

/// "cache 1200, rule 3", the greatest first.
std::string rates_text(const Json& rates) {
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [name, rate] : rates.items())
    sorted.emplace_back(-rate.get<double>(), name);
  std::sort(sorted.begin(), sorted.end());
  std::string text;
  for (const auto& [rate, name] : sorted)
    text += (text.empty() ? "" : ", ") + name + " " + rate_text(-rate);
  return text.empty() ? "none" : text;
}

std::string shortened(std::string text) {
  if (text.size() > kWidth) text.replace(kWidth / 2, text.size() - kWidth + 3, "...");
  return text;
}

/// The three lists beside one another.
std::string lists_text(const Json& update) {
  const std::array lists{update.value("names", Json::array()), update.value("clients", Json::array()),
                         update.value("rules", Json::array())};
  constexpr std::array kKeys{"name", "client", "rule"};
  Table table({">QUERIES/S", "NAME", ">QUERIES/S", "CLIENT", ">QUERIES/S", "RULE"});
  const std::size_t rows = std::max({lists[0].size(), lists[1].size(), lists[2].size()});
  for (std::size_t i = 0; i < rows; ++i) {
    std::vector<std::string> cells;
    for (std::size_t n = 0; n < lists.size(); ++n) {
      const bool there = i < lists[n].size();
      cells.push_back(there ? rate_text(lists[n][i].value("per_second", 0.0)) : "");
      cells.push_back(there ? shortened(lists[n][i].value(kKeys[n], "")) : "");
    }
    table.add(std::move(cells));
  }
  return table.text();
}

/// Asks for all that an update needs.
class Sampler {
 public:
  explicit Sampler(const TopOptions& options) : options_(options) {}

  tl::expected<TopSample, CallError> take() const {
    TopSample sample;
    const std::array<std::pair<const char*, Json*>, 4> asked{{{"status", &sample.status},
                                                              {"stats", &sample.stats},
                                                              {"rules", &sample.rules},
                                                              {"top", &sample.top}}};
    for (const auto& [command, result] : asked) {
      nlohmann::json request{{"command", command}};
      if (result == &sample.top) request["count"] = options_.count;
      auto answer = call(options_.socket, request, kTimeout);
      if (!answer) return tl::unexpected(answer.error());
      *result = std::move(*answer);
    }
    sample.seconds = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
    return sample;
  }

 private:
  const TopOptions& options_;
};

}  // namespace

Json top_update(const TopSample& before, const TopSample& now, std::size_t count) {
  constexpr std::string_view kAnswered = "answered_";
  Json counters = rates(before, now, "counters"), answered = Json::object();
  for (const auto& [name, rate] : counters.items()) {
    if (name.starts_with(kAnswered)) answered[name.substr(kAnswered.size())] = rate;
  }
  const double all = sum(answered), hits = answered.value("cache", 0.0);
  Json workers = Json::array();
  for (const Json& worker : now.status.value("workers", Json::array()))
    workers.push_back({{"id", worker.value("id", 0)}, {"busy_percent", worker.value("busy_percent", 0.0)}});
  return {{"seconds", now.seconds - before.seconds},
          {"generation", now.status.value("generation", 0)},
          {"uptime_seconds", now.status.value("uptime_seconds", 0.0)},
          {"limiting_resource", now.status.value("limiting_resource", "")},
          {"queries_per_second", counters.value("queries_udp", 0.0) + counters.value("queries_stream", 0.0)},
          {"hit_ratio", all > 0 ? Json(hits / all) : Json()},
          {"answered", std::move(answered)},
          {"dropped",
           {{"frames", rates(before, now, "dropped frames")},
            {"queries", rates(before, now, "dropped queries")},
            {"answers", rates(before, now, "dropped answers")}}},
          {"workers", std::move(workers)},
          {"names", now.top.value("names", Json::array())},
          {"clients", now.top.value("clients", Json::array())},
          {"rules", busiest_rules(before, now, count)}};
}

std::string top_text(const Json& update) {
  const Json& ratio = update.at("hit_ratio");
  std::string busy;
  for (const Json& worker : update.at("workers"))
    busy += fmt::format("{}{:.0f} %", busy.empty() ? "" : ", ", worker.at("busy_percent").get<double>());
  const Json& dropped = update.at("dropped");
  std::string text = fmt::format(
      "{} queries/s, {} from the cache; workers busy {}; limiting resource: {}; generation {}, up {}\n",
      rate_text(update.at("queries_per_second").get<double>()),
      ratio.is_null() ? "-" : fmt::format("{:.1f} %", 100 * ratio.get<double>()), busy,
      update.at("limiting_resource").get<std::string>(), update.at("generation").dump(),
      duration_text(update.at("uptime_seconds").get<double>()));
  text += "answered a second: " + rates_text(update.at("answered")) + "\n";
  for (const char* what : {"queries", "answers", "frames"}) {
    if (!dropped.at(what).empty())
      text += fmt::format("dropped {} a second: {}\n", what, rates_text(dropped.at(what)));
  }
  return text + "\n" + lists_text(update);
}

int top(const TopOptions& options, std::ostream& out, std::ostream& err) {
  const Signals signals;
  const Sampler sampler(options);
  const auto interval =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.interval));
  auto before = sampler.take();
  for (std::uint64_t n = 0; before && (!options.updates || n < *options.updates); ++n) {
    // In short sleeps: a signal that comes right before one must not wait for its end.
    constexpr auto kNap = std::chrono::milliseconds(50);
    for (const auto end = Clock::now() + interval; Clock::now() < end && !Signals::came();)
      std::this_thread::sleep_for(std::min<Clock::duration>(kNap, end - Clock::now()));
    if (Signals::came()) return kDone;
    auto now = sampler.take();
    if (now) {
      const Json update = top_update(*before, *now, options.count);
      if (options.json) {
        out << update.dump() << '\n' << std::flush;
      } else {
        // Cursor home, everything behind it cleared.
        out << (options.screen ? "\033[H\033[2J" : n == 0 ? "" : "\n") << top_text(update) << std::flush;
      }
    }
    before = std::move(now);
  }
  if (before) return kDone;
  err << before.error().text << '\n';
  return before.error().code;
}

}  // namespace shunt::control::ctl
