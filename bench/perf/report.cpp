#include "bench/perf/report.h"

#include <fmt/format.h>

#include <cstdio>

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

}  // namespace

double Report::rate(const Options& options) const {
  if (seconds <= 0) return 0;
  return static_cast<double>(options.has_clients() ? answered_in_time : counters.served) / seconds;
}

std::string to_json(const Report& r, const Options& o) {
  const Counters& c = r.counters;
  std::string text =
      fmt::format("{{\"seconds\": {:.3f}, \"queries_per_second\": {:.0f}", r.seconds, r.rate(o));
  if (o.has_clients()) {
    text += fmt::format(
        ", \"clients\": {{\"sent\": {}, \"answered\": {}, \"lost\": {}, \"wrong\": {}, \"unexpected\": {}, "
        "\"truncated\": {}, \"without_records\": {}, \"primed\": {}, \"octets_sent\": {}, "
        "\"octets_received\": {}, \"wrong_by_reason\": {{\"checksum\": {}, \"source\": {}, \"question\": {}, "
        "\"message\": {}}}, \"rcodes\": {{{}}}, \"latency_us\": {{{}}}}}",
        c.sent, c.answered, c.lost, c.wrong(), c.unexpected, c.truncated, c.without_records, r.primed,
        c.octets_sent, c.octets_received, c.wrong_checksum, c.wrong_source, c.wrong_question, c.wrong_message,
        rcodes_json(c), latency_json(r));
  }
  if (o.has_servers()) {
    text += fmt::format(", \"upstream\": {{\"served\": {}, \"not_served\": {}}}", c.served, c.not_served);
  }
  return text + fmt::format(", \"transmit_full\": {}, \"neighbour_answers\": {}, \"other_frames\": {}}}\n",
                            c.transmit_full, c.neighbour_answers, c.others);
}

std::string to_table(const Report& r, const Options& o) {
  const Counters& c = r.counters;
  std::string text = fmt::format("{:<22}{:.3f} s\n", "measured", r.seconds);
  const auto line = [&](const char* what, std::uint64_t count) {
    text += fmt::format("{:<22}{}\n", what, count);
  };
  if (o.has_clients()) {
    text += fmt::format("{:<22}{:.0f}\n", "answers/s", r.rate(o));
    line("sent", c.sent);
    line("answered", c.answered);
    text += fmt::format("{:<22}{} ({:.4f} %)\n", "lost", c.lost, share(c.lost, c.sent));
    text += fmt::format("{:<22}{} (checksum {}, source {}, question {}, message {})\n", "wrong", c.wrong(),
                        c.wrong_checksum, c.wrong_source, c.wrong_question, c.wrong_message);
    line("unexpected", c.unexpected);
    for (std::size_t i = 0; i < c.rcodes.size(); ++i) {
      if (c.rcodes[i] != 0) line(rcode_name(i).c_str(), c.rcodes[i]);
    }
    if (c.truncated != 0) line("truncated", c.truncated);
    if (c.without_records != 0) line("NOERROR, no record", c.without_records);
    for (std::size_t i = 0; i < kShares.size(); ++i) {
      text += fmt::format("latency {:<14}{:.1f} us\n", kShareNames[i],
                          microseconds(c.latency.percentile(kShares[i]), r.cycles_per_second));
    }
    text +=
        fmt::format("latency {:<14}{:.1f} us\n", "max", microseconds(c.latency.max(), r.cycles_per_second));
  }
  if (o.has_servers()) {
    line("served", c.served);
    line("not served", c.not_served);
  }
  line("transmit queue full", c.transmit_full);
  line("ARP and ND answers", c.neighbour_answers);
  line("other frames", c.others);
  return text;
}

void LiveLine::print(const Counters& c, std::uint64_t elapsed) {
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
