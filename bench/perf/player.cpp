#include "bench/perf/player.h"

#include <rte_cycles.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "bench/perf/search.h"
#include "dataplane/dns/wire.h"

namespace shunt::perf {
namespace {

constexpr double kRequestEvery = 0.2;  // seconds
constexpr double kExpireEvery = 0.001;
constexpr double kLongestPriming = 120;
constexpr double kPrimeEvery = 0.2;
constexpr std::uint64_t kAny = ~std::uint64_t{0};

}  // namespace

Player::Player(const Options& options, std::uint16_t ethdev, const MacAddress& own, rte_mempool* pool,
               const Questions* questions)
    : options_(options),
      questions_(questions),
      hz_(static_cast<double>(rte_get_tsc_hz())),
      clients_(questions == nullptr ? nullptr
                                    : Clients::make(options, *questions, counters_, rte_get_tsc_hz())),
      link_(options, ethdev, own, pool, clients_.get(), counters_),
      own_(own) {}

Result<Report> Player::play(const volatile int& stopped) {
  if (auto up = wait_for_link(stopped); !up) return Failure(up.error());
  std::uint64_t primed = 0;
  if (clients_) {
    if (auto found = resolve(stopped); !found) return Failure(found.error());
    clients_->set_stations(own_, link_.neighbours().peer());
    if (options_.client.prime) {
      if (auto done = prime(stopped); !done) return Failure(done.error());
      primed = counters_.answered;
    }
  }
  Result<Report> report =
      options_.search.on ? search(stopped) : measure(stopped, options_.client.rate, options_.seconds);
  if (report) report->primed = primed;
  return report;
}

Result<void> Player::wait_for_link(const volatile int& stopped) const {
  const std::uint64_t end = rte_rdtsc() + cycles(options_.patience);
  while (!link_.up()) {
    if (rte_rdtsc() > end) return Failure("the link of " + options_.device + " does not come up");
    if (stopped != 0) return Failure("stopped before the link came up");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return {};
}

Result<void> Player::resolve(const volatile int& stopped) {
  const std::uint64_t end = rte_rdtsc() + cycles(options_.patience);
  std::uint64_t next = 0;
  while (!link_.neighbours().resolved()) {
    const std::uint64_t now = rte_rdtsc();
    const std::string target = options_.client.target.address.to_string();
    if (now > end) return Failure("nobody on the link has the address " + target + "; or give --peer-mac");
    if (stopped != 0) return Failure("stopped before the MAC of " + target + " was found");
    if (now >= next) {
      link_.send_request();
      next = now + cycles(kRequestEvery);
    }
    link_.receive();
  }
  return {};
}

// Passes over all names, until one of them meets no failure: a target whose station isn't found yet, say.
Result<void> Player::prime(const volatile int& stopped) {
  constexpr auto kServFail = static_cast<std::size_t>(dns::Rcode::kServFail);
  const std::uint64_t end = rte_rdtsc() + cycles(kLongestPriming);
  for (;;) {
    const std::uint64_t sent = counters_.sent, lost = counters_.lost, failed = counters_.rcodes[kServFail];
    prime_once(stopped, end);
    if (stopped != 0) return Failure("stopped while priming");
    const std::uint64_t bad = counters_.lost - lost + counters_.rcodes[kServFail] - failed;
    const bool complete = counters_.sent - sent == questions_->set.count();
    if (complete && bad == 0) return {};
    if (rte_rdtsc() > end) {
      return Failure("priming: of " + std::to_string(counters_.sent - sent) + " names, " +
                     std::to_string(bad) + " still get no answer or SERVFAIL");
    }
    for (const std::uint64_t next = rte_rdtsc() + cycles(kPrimeEvery); rte_rdtsc() < next;)
      link_.receive();
  }
}

void Player::prime_once(const volatile int& stopped, std::uint64_t end) {
  clients_->set_priming(true);
  const std::uint64_t wanted = counters_.sent + questions_->set.count();
  for (std::uint64_t now = rte_rdtsc(); counters_.sent < wanted && now < end && stopped == 0;
       now = rte_rdtsc()) {
    link_.receive();
    clients_->expire(now);
    link_.send(1, wanted - counters_.sent, nullptr);
  }
  drain(stopped);
  clients_->set_priming(false);
}

Report Player::measure(const volatile int& stopped, double rate, double seconds) {
  counters_.forget_clients();
  const std::uint64_t start = rte_rdtsc(), end = start + cycles(seconds);
  std::optional<Schedule> schedule;
  if (rate > 0) schedule.emplace(start, rate, hz_);
  // Whole bursts, where nothing says when to send; a lone query costs the driver nearly as much as many.
  const std::uint64_t least = std::min<std::uint64_t>(kBurst, options_.client.in_flight / 2);
  std::uint64_t now = start, next_line = start + cycles(1), next_expiry = start;
  LiveLine live(options_, counters_, hz_);
  while (now < end && stopped == 0) {
    link_.receive();
    if (clients_) {
      if (now >= next_expiry) {
        clients_->expire(now);
        next_expiry = now + cycles(kExpireEvery);
      }
      if (schedule) {
        link_.send(1, schedule->due(rte_rdtsc()), &*schedule);
      } else {
        link_.send(least, kAny, nullptr);
      }
    }
    now = rte_rdtsc();
    if (now >= next_line) {
      next_line += cycles(1);
      if (!options_.quiet) live.print(now - start);
    }
  }
  Report report;
  report.seconds = static_cast<double>(now - start) / hz_;
  report.answered_in_time = counters_.answered;
  report.wanted_rate = rate;
  if (schedule) report.punctuality = schedule->at_end(now);
  drain(stopped);
  report.counters = counters_;
  report.cycles_per_second = hz_;
  return report;
}

Result<Report> Player::search(const volatile int& stopped) {
  const SearchOptions& o = options_.search;
  SearchReport found;
  if (o.to == 0) {
    found.unpaced_rate = measure(stopped, 0, o.seconds).rate(options_);
    if (!options_.quiet) print_unpaced(found.unpaced_rate);
  }
  Search search(o, found.unpaced_rate);
  Report best;
  while (const auto rate = search.next()) {
    Report step = measure(stopped, *rate, o.seconds);
    if (stopped != 0) return Failure("stopped while searching");
    const bool good = search.tell(step.loss_percent());
    found.steps.push_back(make_step(step, good));
    if (!options_.quiet) print_step(found.steps.back());
    if (good) best = std::move(step);
  }
  if (search.best() == 0) {
    return Failure("search: none of " + std::to_string(found.steps.size()) +
                   " steps lost less than the limit, the lowest at " +
                   std::to_string(static_cast<std::uint64_t>(found.steps.back().rate)) + " queries/s");
  }
  found.at_bound = search.at_bound();
  found.complete = search.complete();
  best.search = std::move(found);
  return best;
}

void Player::drain(const volatile int& stopped) {
  if (!clients_) return;
  // Every slot is looked at within a few calls, and a query waits no longer than its timeout.
  const std::uint64_t end = rte_rdtsc() + cycles(2.0 * options_.client.timeout_ms / 1000 + 1);
  for (std::uint64_t now = rte_rdtsc(); clients_->in_flight() > 0 && now < end; now = rte_rdtsc()) {
    link_.send_held();
    link_.receive();
    clients_->expire(now);
    if (stopped > 1) return;  // asked to stop twice
  }
}

}  // namespace shunt::perf
