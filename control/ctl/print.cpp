#include "control/ctl/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "control/ctl/table.h"

namespace shunt::control::ctl {

namespace {

/// Of a dry run; the rest is counted.
constexpr std::size_t kMostRulesShown = 300;

const Json& child(const Json& object, std::string_view key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(std::string(key));
  return found == object.end() ? kNull : *found;
}

/// A value as a cell: text as it is, numbers with up to three decimals, "-" for what isn't there.
std::string cell(const Json& value) {
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_integer()) return value.dump();
  if (value.is_number()) {
    const double number = value.get<double>();
    return number == std::floor(number) && std::abs(number) < 1e15 ? fmt::format("{:.0f}", number)
                                                                   : fmt::format("{:.3g}", number);
  }
  if (value.is_array()) {
    std::string out;
    for (const Json& item : value)
      out += (out.empty() ? "" : " ") + cell(item);
    return out.empty() ? "-" : out;
  }
  return "-";
}

std::string cell(const Json& object, std::string_view key) {
  return cell(child(object, key));
}

std::string percent(const Json& value) {
  return value.is_number() ? fmt::format("{:.1f} %", value.get<double>()) : "-";
}

std::string share(const Json& value) {
  return value.is_number() ? fmt::format("{:.1f} %", 100 * value.get<double>()) : "-";
}

std::string tenths(const Json& value) {
  return value.is_number() ? fmt::format("{:.1f}", value.get<double>()) : "-";
}

std::string microseconds(const Json& value) {
  return value.is_number() ? fmt::format("{:.1f} us", value.get<double>()) : "-";
}

/// Where a worker's cycles go; nothing where the daemon doesn't count them.
std::string stages_text(const Json& worker) {
  const Json& stages = child(worker, "stages");
  if (!stages.is_object()) return "";
  std::string out = fmt::format("\nworker {}: {} queries answered, {} cycles each\n", cell(worker, "id"),
                                cell(stages, "queries"), tenths(child(stages, "cycles_per_query")));
  Table table({"STAGE", ">PASSED", "UNIT", ">CYCLES EACH", ">CYCLES A QUERY", ">SHARE", "WHAT"});
  for (const Json& row : child(stages, "rows")) {
    table.add({cell(row, "stage"), cell(row, "passed"), cell(row, "unit"), tenths(child(row, "cycles_each")),
               tenths(child(row, "cycles_per_query")), share(child(row, "share")), cell(row, "help")});
  }
  return out + table.text("  ");
}

/// "onprem.corp forward corp-dns id=corp (corp, shunt.toml:31)"
std::string rule_text(const Json& rule) {
  const std::string where = cell(rule, "where"), set = cell(rule, "set"), id = cell(rule, "id");
  return cell(rule, "text") + (id == "-" ? "" : " id=" + id) + " (" + set +
         (where == "-" || where == set ? "" : ", " + where) + ")";
}

}  // namespace

std::string duration_text(double seconds) {
  static constexpr std::array<std::pair<std::uint64_t, std::string_view>, 4> kUnits{
      {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}};
  auto left = static_cast<std::uint64_t>(std::max(0.0, seconds));
  std::string out;
  int shown = 0;
  for (const auto& [size, name] : kUnits) {
    const std::uint64_t count = left / size;
    left %= size;
    if (count == 0 && shown == 0 && size != 1) continue;
    if (count != 0 || shown == 0) out += fmt::format("{}{} {}", out.empty() ? "" : " ", count, name);
    if (++shown == 2) break;
  }
  return out;
}

std::string status_text(const Json& result) {
  const Json& uptime = child(result, "uptime_seconds");
  std::string out = fmt::format("shunt {}, pid {}, up {}\n", cell(result, "version"), cell(result, "pid"),
                                uptime.is_number() ? duration_text(uptime.get<double>()) : "-");
  out += fmt::format("generation {} of {}\n", cell(result, "generation"), cell(result, "config"));
  if (const Json& differs = child(result, "differs_from_file"); differs.is_boolean() && differs.get<bool>()) {
    out += fmt::format("rolled back to what generation {} was: what runs differs from the file\n",
                       cell(result, "read_as"));
  }
  out += fmt::format("limiting resource: {}\n", cell(result, "limiting_resource"));
  Table ports({"PORT", "DEVICE", "MAC", "LINK", "MIRROR", "ADDRESSES"});
  for (const Json& port : child(result, "ports")) {
    ports.add({cell(port, "name"), cell(port, "device"), cell(port, "mac"), cell(port, "link"),
               cell(port, "mirror"), cell(port, "addresses")});
  }
  if (!ports.empty()) out += "\n" + ports.text();
  Table workers(
      {">WORKER", ">CORE", ">GENERATION", ">BUSY", ">QUERIES/S", ">PENDING", ">CACHED", ">SWAP PAUSE"});
  for (const Json& worker : child(result, "workers")) {
    workers.add({cell(worker, "id"), cell(worker, "core"), cell(worker, "generation"),
                 percent(child(worker, "busy_percent")), cell(worker, "queries_per_second"),
                 cell(worker, "pending"), cell(worker, "cache_entries"),
                 microseconds(child(worker, "swap_pause_us"))});
  }
  if (!workers.empty()) out += "\n" + workers.text();
  Table streams({"TRANSPORT", ">CONNECTIONS", ">IN FLIGHT", ">QUERIES"});
  for (const Json& row : child(result, "streams")) {
    streams.add(
        {cell(row, "transport"), cell(row, "connections"), cell(row, "in_flight"), cell(row, "queries")});
  }
  if (!streams.empty()) out += "\n" + streams.text();
  Table certificates({"ENDPOINT", "CERTIFICATE", ">DAYS LEFT"});
  for (const Json& row : child(result, "certificates"))
    certificates.add({cell(row, "endpoint"), cell(row, "file"), cell(row, "days_left")});
  if (!certificates.empty()) out += "\n" + certificates.text();
  for (const Json& worker : child(result, "workers"))
    out += stages_text(worker);
  return out;
}

std::string summary_text(const Json& result) {
  return result.value("summary", std::string("done"));
}

std::string dry_run_text(const Json& result) {
  std::string out = summary_text(result) + "\n";
  const Json& changes = child(result, "changes");
  for (const Json& table : child(changes, "tables")) {
    const std::string name = cell(table, "name"), keys = cell(table, "keys");
    out += cell(table, "change") + " " + cell(table, "kind") + (name == "-" ? "" : " \"" + name + "\"") +
           (keys == "-" ? "" : ": " + keys) + "\n";
  }
  std::size_t shown = 0;
  for (const Json& rule : child(changes, "rules")) {
    if (++shown > kMostRulesShown) break;
    const std::string before = cell(rule, "before"), after = cell(rule, "after");
    out += fmt::format("{} {}: {}", cell(rule, "change"), cell(rule, "set"), cell(rule, "name"));
    out += before == "-" ? " " + after : after == "-" ? " " + before : ": " + before + " → " + after;
    out += "\n";
  }
  std::uint64_t all = 0;
  for (const char* key : {"rules_added", "rules_removed", "rules_changed"})
    if (const Json& count = child(changes, key); count.is_number_unsigned())
      all += count.get<std::uint64_t>();
  if (shown = std::min(shown, kMostRulesShown); all > shown)
    out += fmt::format("and {} more changes of rules\n", all - shown);
  return out;
}

std::string explain_text(const Json& result) {
  std::string out =
      fmt::format("{} {} from {}\n", cell(result, "name"), cell(result, "type"), cell(result, "client"));
  const auto line = [&out](std::string_view label, std::string_view value) {
    out += fmt::format("  {:<10}{}\n", label, value);
  };
  const auto by = [&result](std::string_view key) {
    const std::string prefix = cell(result, key);
    return prefix == "-" ? "" : ", by " + prefix;
  };
  const Json& allowed = child(result, "allowed");
  line("endpoint", cell(result, "endpoint") +
                       (allowed.is_boolean() ? (allowed.get<bool>() ? ": allowed" : ": not allowed") : "") +
                       by("allowed_by"));
  line("network", cell(result, "network") + by("network_by"));
  line("outcome", cell(result, "outcome"));
  if (const Json& rule = child(result, "rule"); rule.is_object()) {
    line("rule", rule_text(rule));
  } else {
    line("rule", "none");
  }
  if (const Json& then = child(result, "then"); then.is_object()) line("then", rule_text(then));
  if (const Json& watch = child(result, "watch"); watch.is_object()) line("watch", rule_text(watch));
  for (const Json& other : child(result, "others"))
    line("lost", rule_text(other) + ": " + cell(other, "why"));
  if (const Json& upstream = child(result, "upstream"); upstream.is_object()) {
    const std::string protocol = cell(upstream, "protocol"), tls_name = cell(upstream, "tls_name");
    line("upstream", cell(upstream, "name") + (protocol == "tcp"   ? " over TCP"
                                               : protocol == "tls" ? " over TLS, as " + tls_name
                                                                   : ""));
    for (const Json& target : child(upstream, "targets")) {
      const Json& up = child(target, "up");
      // A file that nobody runs has no health to tell of.
      const Json& loops = child(target, "leads_back");
      line("target", cell(target, "address") + (up.is_boolean() ? (up.get<bool>() ? " up" : " down") : "") +
                         (loops.is_boolean() && loops.get<bool>() ? ", leads back here for this name" : "") +
                         ", " + cell(target, "path"));
    }
  }
  if (const Json& cached = child(result, "cached"); !cached.is_null()) {
    line("cached", cached.is_object() ? cached.dump() : cell(cached));
  }
  return out;
}

std::string upstreams_text(const Json& result) {
  const auto ms = [](const Json& value) {
    return value.is_number() && value.get<double>() != 0 ? fmt::format("{:.1f} ms", value.get<double>())
                                                         : "-";
  };
  Table table({"UPSTREAM", "TARGET", "STATE", ">SINCE", ">P50", ">P99", ">IN FLIGHT", ">SENT", ">ANSWERED",
               ">TIMEOUTS", ">SERVFAIL", ">REFUSED", "WHY", "LAST FAILURE"});
  for (const Json& upstream : child(result, "upstreams")) {
    for (const Json& target : child(upstream, "targets")) {
      const Json& since = child(target, "since_seconds");
      table.add({cell(upstream, "name"), cell(target, "address"), cell(target, "state"),
                 since.is_number() ? duration_text(since.get<double>()) : "-", ms(child(target, "p50_ms")),
                 ms(child(target, "p99_ms")), cell(target, "in_flight"), cell(target, "sent"),
                 cell(target, "answered"), cell(target, "timeouts"), cell(target, "servfails"),
                 cell(target, "refused"), cell(target, "why"), cell(target, "last_failure")});
    }
  }
  return table.text();
}

std::string cache_text(const Json& result) {
  Table table({">WORKER", ">ENTRIES", ">OCTETS", ">HITS", ">MISSES", ">INSERTIONS", ">EVICTIONS"});
  for (const Json& worker : child(result, "workers")) {
    table.add({cell(worker, "worker"), cell(worker, "entries"), cell(worker, "octets"), cell(worker, "hits"),
               cell(worker, "misses"), cell(worker, "insertions"), cell(worker, "evictions")});
  }
  return table.text() + fmt::format("hit ratio: {}\n", share(child(result, "hit_ratio")));
}

std::string rules_text(const Json& result, const std::string& sort, std::size_t count) {
  static const std::map<std::string, std::string, std::less<>> kKeys{{"queries", "queries"},
                                                                     {"hits", "cache_hits"},
                                                                     {"dropped", "dropped"},
                                                                     {"timeouts", "timeouts"},
                                                                     {"p99", "p99_ms"}};
  const auto number = [](const Json& row, std::string_view key) {
    const Json& value = child(row, key);
    return value.is_number() ? value.get<double>() : -1.0;
  };
  std::vector<const Json*> rows;
  for (const Json& row : child(result, "rules"))
    rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [&](const Json* a, const Json* b) {
    if (const auto key = kKeys.find(sort); key != kKeys.end())
      return number(*a, key->second) > number(*b, key->second);
    return cell(*a, "rule") < cell(*b, "rule");
  });
  Table table({"RULE", "SET", ">QUERIES", ">HITS", ">NOERROR", ">NXDOMAIN", ">SERVFAIL", ">REFUSED", ">OTHER",
               ">DROPPED", ">TIMEOUTS", ">P50", ">P99"});
  const auto ms = [](const Json& value) {
    return value.is_number() ? fmt::format("{} ms", value.get<double>()) : "-";
  };
  for (std::size_t i = 0; i < std::min(count, rows.size()); ++i) {
    const Json& row = *rows[i];
    const Json& answers = child(row, "answers");
    const double queries = number(row, "queries");
    const std::string hits =
        queries > 0 ? fmt::format("{:.1f} %", 100 * number(row, "cache_hits") / queries) : "-";
    table.add({cell(row, "rule"), cell(row, "set"), cell(row, "queries"), hits, cell(answers, "noerror"),
               cell(answers, "nxdomain"), cell(answers, "servfail"), cell(answers, "refused"),
               cell(answers, "other"), cell(row, "dropped"), cell(row, "timeouts"), ms(child(row, "p50_ms")),
               ms(child(row, "p99_ms"))});
  }
  std::string out = table.text();
  if (rows.size() > count) out += fmt::format("and {} more\n", rows.size() - count);
  const Json& all = child(result, "all");
  if (all.is_boolean() && !all.get<bool>()) {
    out += fmt::format("counted: {} of {} rules, those with an id= and the busiest; [metrics] rules = {}\n",
                       rows.size(), cell(result, "configured"), cell(result, "limit"));
  }
  return out;
}

std::string stats_text(const Json& result) {
  std::string out;
  for (const Json& group : child(result, "groups")) {
    // Every row of a group has as many workers as the first.
    const Json& rows = child(group, "rows");
    const std::size_t workers = rows.empty() ? 0 : child(rows.front(), "workers").size();
    std::vector<std::string> titles{"NAME", ">TOTAL"};
    for (std::size_t i = 0; i < workers; ++i)
      titles.push_back(fmt::format(">WORKER {}", i));
    titles.emplace_back("MEANING");
    Table table(std::move(titles));
    for (const Json& row : rows) {
      std::vector<std::string> cells{cell(row, "name"), cell(row, "total")};
      const Json& values = child(row, "workers");
      for (std::size_t i = 0; i < workers; ++i)
        cells.push_back(i < values.size() ? cell(values[i]) : "-");
      cells.push_back(cell(row, "help"));
      table.add(std::move(cells));
    }
    out += (out.empty() ? "" : "\n") + cell(group, "title") + "\n" + table.text("  ");
  }
  return out;
}

}  // namespace shunt::control::ctl
