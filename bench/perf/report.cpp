#include "bench/perf/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace shunt::perf {
namespace {

constexpr std::array kShares{0.5, 0.9, 0.99, 0.999};
constexpr std::array kShareNames{"p50", "p90", "p99", "p999"};
constexpr std::array kRcodeNames{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

std::string rcode_name(std::size_t rcode) {
  return rcode < kRcodeNames.size() ? kRcodeNames[rcode] : fmt::format("RCODE{}", rcode);
}

double microseconds(std::uint64_t cycles, double hz) {
  return static_cast<double>(cycles) / hz * 1e6;
}

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string rcodes_json(const Counters& c) {
  std::string text;
  for (std::size_t i = 0; i < c.rcodes.size(); ++i) {
    if (c.rcodes[i] == 0) continue;
    text += fmt::format("{}\"{}\": {}", text.empty() ? "" : ", ", rcode_name(i), c.rcodes[i]);
  }
  return text;
}

std::string latency_json(const Report& r) {
  std::string text;
  for (std::size_t i = 0; i < kShares.size(); ++i) {
    const double us = microseconds(r.counters.latency.percentile(kShares[i]), r.cycles_per_second);
    text += fmt::format("\"{}\": {:.2f}, ", kShareNames[i], us);
  }
  return text + fmt::format("\"max\": {:.2f}", microseconds(r.counters.latency.max(), r.cycles_per_second));
}

std::string schedule_json(const Report& r) {
  const Punctuality& p = r.punctuality;
  return fmt::format(
      ", \"schedule\": {{\"rate\": {:.0f}, \"due\": {}, \"missed\": {}, \"late\": {}, \"most_behind_us\": "
      "{:.2f}}}",
      r.wanted_rate, p.due, p.missed, p.late, microseconds(p.most_behind, r.cycles_per_second));
}

std::string step_json(const Step& s) {
  return fmt::format(
      "{{\"rate\": {:.0f}, \"queries_per_second\": {:.0f}, \"due\": {}, \"sent\": {}, \"answered\": {}, "
      "\"lost\": {}, "
      "\"missed\": {}, \"late\": {}, \"loss_percent\": {:.4f}, \"p50_us\": {:.2f}, \"p99_us\": {:.2f}, "
      "\"good\": {}}}",
      s.rate, s.answered_rate, s.due, s.sent, s.answered, s.lost, s.missed, s.late, s.loss_percent, s.p50,
      s.p99, s.good);
}

std::string search_json(const Report& r) {
  std::string steps;
  for (const Step& step : r.search->steps)
    steps += (steps.empty() ? "" : ", ") + step_json(step);
  return fmt::format(
      ", \"search\": {{\"rate\": {:.0f}, \"loss_percent\": {:.4f}, \"unpaced_rate\": {:.0f}, \"at_bound\": "
      "{}, "
      "\"complete\": {}, \"steps\": [{}]}}",
      r.wanted_rate, r.loss_percent(), r.search->unpaced_rate, r.search->at_bound, r.search->complete, steps);
}

// Lines of the table: what, and a figure.
class Table {
 public:
  void line(std::string_view what, const std::string& figure) {
    text_ += fmt::format("{:<22}{}\n", what, figure);
  }
  void line(std::string_view what, std::uint64_t count) { line(what, std::to_string(count)); }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

void add_schedule(Table& table, const Report& r) {
  const Punctuality& p = r.punctuality;
  table.line("asked for", fmt::format("{:.0f}/s", r.wanted_rate));
  table.line("due, but not sent", fmt::format("{} ({:.4f} %)", p.missed, share(p.missed, p.due)));
  table.line("sent late", fmt::format("{} ({:.4f} %), by {:.1f} us at most", p.late, share(p.late, p.due),
                                      microseconds(p.most_behind, r.cycles_per_second)));
}

void add_clients(Table& table, const Report& r, const Options& o) {
  const Counters& c = r.counters;
  table.line("answers/s", fmt::format("{:.0f}", r.rate(o)));
  if (r.wanted_rate > 0) add_schedule(table, r);
  table.line("sent", c.sent);
  if (c.sent_fresh != 0) table.line("for fresh names", c.sent_fresh);
  if (c.sent_edns != 0) table.line("with EDNS", c.sent_edns);
  table.line("answered", c.answered);
  table.line("lost", fmt::format("{} ({:.4f} %)", c.lost, share(c.lost, c.sent)));
  table.line("wrong", fmt::format("{} (checksum {}, source {}, question {}, message {})", c.wrong(),
                                  c.wrong_checksum, c.wrong_source, c.wrong_question, c.wrong_message));
  table.line("unexpected", c.unexpected);
  for (std::size_t i = 0; i < c.rcodes.size(); ++i) {
    if (c.rcodes[i] != 0) table.line(rcode_name(i), c.rcodes[i]);
  }
  if (c.truncated != 0) table.line("truncated", c.truncated);
  if (c.without_records != 0) table.line("NOERROR, no record", c.without_records);
  const auto latency = [&](const char* what, std::uint64_t cycles) {
    table.line(fmt::format("latency {}", what),
               fmt::format("{:.1f} us", microseconds(cycles, r.cycles_per_second)));
  };
  for (std::size_t i = 0; i < kShares.size(); ++i)
    latency(kShareNames[i], c.latency.percentile(kShares[i]));
  latency("max", c.latency.max());
}

constexpr const char* kStepHead = "        rate/s    answers/s   lost, missed    p50 us    p99 us";

std::string step_line(const Step& s) {
  return fmt::format("{:>14.0f} {:>12.0f} {:>12.4f} % {:>9.1f} {:>9.1f}  {}", s.rate, s.answered_rate,
                     s.loss_percent, s.p50, s.p99, s.good ? "good" : "too much");
}

std::string search_table(const Report& r) {
  const SearchReport& s = *r.search;
  std::string text = fmt::format(
      "{:<22}{:.0f}/s, of which {:.4f} % were lost or missed{}{}\n\n", "highest rate", r.wanted_rate,
      r.loss_percent(), s.at_bound ? "; the upper bound" : "", s.complete ? "" : "; the steps were used up");
  text += fmt::format("{}\n", kStepHead);
  for (const Step& step : s.steps)
    text += step_line(step) + "\n";
  return text + "\nat the highest rate:\n";
}

}  // namespace

double Report::rate(const Options& options) const {
  if (seconds <= 0) return 0;
  return static_cast<double>(options.has_clients() ? answered_in_time : counters.served) / seconds;
}

double Report::loss_percent() const {
  return share(counters.lost + punctuality.missed, std::max(punctuality.due, counters.sent));
}

Step make_step(const Report& r, bool good) {
  const auto us = [&](double part) {
    return microseconds(r.counters.latency.percentile(part), r.cycles_per_second);
  };
  return {.rate = r.wanted_rate,
          .answered_rate = static_cast<double>(r.answered_in_time) / r.seconds,
          .due = r.punctuality.due,
          .sent = r.counters.sent,
          .answered = r.counters.answered,
          .lost = r.counters.lost,
          .missed = r.punctuality.missed,
          .late = r.punctuality.late,
          .loss_percent = r.loss_percent(),
          .p50 = us(0.5),
          .p99 = us(0.99),
          .good = good};
}

std::string to_json(const Report& r, const Options& o) {
  const Counters& c = r.counters;
  std::string text =
      fmt::format("{{\"seconds\": {:.3f}, \"queries_per_second\": {:.0f}", r.seconds, r.rate(o));
  if (o.has_clients()) {
    text += fmt::format(
        ", \"clients\": {{\"sent\": {}, \"sent_fresh\": {}, \"sent_edns\": {}, \"answered\": {}, \"lost\": "
        "{}, "
        "\"wrong\": {}, \"unexpected\": {}, \"truncated\": {}, \"without_records\": {}, \"primed\": {}, "
        "\"octets_sent\": {}, \"octets_received\": {}, \"wrong_by_reason\": {{\"checksum\": {}, \"source\": "
        "{}, "
        "\"question\": {}, \"message\": {}}}, \"rcodes\": {{{}}}, \"latency_us\": {{{}}}}}",
        c.sent, c.sent_fresh, c.sent_edns, c.answered, c.lost, c.wrong(), c.unexpected, c.truncated,
        c.without_records, r.primed, c.octets_sent, c.octets_received, c.wrong_checksum, c.wrong_source,
        c.wrong_question, c.wrong_message, rcodes_json(c), latency_json(r));
  }
  if (r.wanted_rate > 0) text += schedule_json(r);
  if (r.search) text += search_json(r);
  if (o.has_servers()) {
    text += fmt::format(", \"upstream\": {{\"served\": {}, \"not_served\": {}}}", c.served, c.not_served);
  }
  return text + fmt::format(", \"transmit_full\": {}, \"neighbour_answers\": {}, \"other_frames\": {}}}\n",
                            c.transmit_full, c.neighbour_answers, c.others);
}

std::string to_table(const Report& r, const Options& o) {
  Table table;
  if (r.search) table.text() = search_table(r);
  table.line("measured", fmt::format("{:.3f} s", r.seconds));
  if (o.has_clients()) add_clients(table, r, o);
  if (o.has_servers()) {
    table.line("served", r.counters.served);
    table.line("not served", r.counters.not_served);
  }
  table.line("transmit queue full", r.counters.transmit_full);
  table.line("ARP and ND answers", r.counters.neighbour_answers);
  table.line("other frames", r.counters.others);
  return table.text();
}

void print_unpaced(double rate) {
  fmt::print(stderr, "as fast as answers come: {:.0f}/s\n{}\n", rate, kStepHead);
}

void print_step(const Step& step) {
  fmt::print(stderr, "{}\n", step_line(step));
}

LiveLine::LiveLine(const Options& options, const Counters& counters, double cycles_per_second)
    : options_(options),
      counters_(counters),
      hz_(cycles_per_second),
      sent_(counters.sent),
      answered_(counters.answered),
      served_(counters.served) {}

void LiveLine::print(std::uint64_t elapsed) {
  const Counters& c = counters_;
  const double seconds = static_cast<double>(elapsed - elapsed_) / hz_;
  const auto per_second = [&](std::uint64_t now, std::uint64_t before) {
    return static_cast<double>(now - before) / seconds;
  };
  std::string text = fmt::format("{:4.0f} s", static_cast<double>(elapsed) / hz_);
  if (options_.has_clients()) {
    text += fmt::format("  sent {:.0f}/s  answered {:.0f}/s  lost {}  wrong {}  p50 {:.1f} us  p99 {:.1f} us",
                        per_second(c.sent, sent_), per_second(c.answered, answered_), c.lost, c.wrong(),
                        microseconds(c.latency.percentile(0.5), hz_),
                        microseconds(c.latency.percentile(0.99), hz_));
  }
  if (options_.has_servers()) text += fmt::format("  served {:.0f}/s", per_second(c.served, served_));
  fmt::print(stderr, "{}\n", text);
  elapsed_ = elapsed;
  sent_ = c.sent;
  answered_ = c.answered;
  served_ = c.served;
}

}  // namespace shunt::perf
