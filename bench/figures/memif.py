"""shunt over a memif link: shuntperf, clients and upstream servers in one, on the generator's core (shuntd's control plane shares it);
shuntd with one worker on the other. Turns of shunt and of the link's limit follow one another."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import statistics
import time
from collections.abc import Iterator

from gateway import RULE_NAME, Build, Gateway, configuration, gateway
from limit import RING, Limit, Turn, limit
from netns import Namespace
from processes import BenchError, Program, program, seconds_run

PERF_MAC = "02:00:00:00:53:01"
IN_FLIGHT = 2048
PRIME_SECONDS = 150.0
# A turn is disturbed where one of the limits around it is so much below the run's highest, or where a program had less of its core than that.
STEADY, OWN_SHARE = 0.8, 0.95
MOST_FAILURES = 3  # of a run: one link that doesn't come up must not cost all figures
TRIES = 2  # of each case in each round, where the first was disturbed
PROBE_SECONDS, PAUSE_SECONDS = 0.5, 3.0  # a look at the limit while waiting for the machine, and what lies between two
_LIVE = re.compile(r"^\s*(\d+) s\b", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of load. The names of all kinds have one length, so that one size of frame is the limit's for all."""
    key: str
    title: str
    count: int
    pattern: str = ""
    cache: str = "512MiB"
    rate: int = 0               # 0: as fast as answers come
    options: tuple[str, ...] = ()
    answer: str = "NOERROR"     # the response code of every answer

    @property
    def names(self) -> str:
        """The pattern for shuntperf; zeros in front make up for a smaller number's missing digits."""
        return self.pattern or "n" + "0" * (6 - len(str(self.count - 1))) + "%d.example.com"


CASES = (
    Case("cached-1k", "cached, 1,000 names", 1000),
    Case("cached-100k", "cached, 100,000 names", 100_000),
    Case("cached-1m", "cached, 1,000,000 names", 1_000_000),
    Case("forwarded", "forwarded, no cache", 100_000, cache="0"),
    Case("mixed", "mixed, 90 % of them cached", 100_000, options=("--miss-share", "0.1", "--miss-names", "%d.example.com")),
    Case("misses", "below no rule, through the control plane", 1000, pattern="n000%d.unruled.net",
         options=("--miss-share", "1", "--miss-names", "%d.zz")),
    Case("blocked", "blocked, 100,000 names", 100_000, pattern=RULE_NAME.format("1%d"), answer="NXDOMAIN"),
    Case("latency-3m", "latency at 3 million/s, cached", 100_000, rate=3_000_000),
    Case("latency-6m", "latency at 6 million/s, cached", 100_000, rate=6_000_000),
)


@dataclasses.dataclass
class Rig:
    """What all turns share. `folder` holds the rule set's file."""
    build: Build
    folder: pathlib.Path
    mirror: Namespace
    generator_core: int
    worker_core: int

    def device(self, role: str) -> str:
        mac = f",mac={PERF_MAC}" if role == "server" else ""
        return f"net_memif0,role={role},socket={self.folder}/shunt.sock,{RING}{mac}"

    def config(self, case: Case) -> str:
        ports = f'[[port]]\nname = "link"\ndevice = "{self.device("client")}"\naddresses = ["10.9.0.2/16", "10.9.0.3/16"]'
        return configuration(self.folder, self.worker_core, self.generator_core, ports, "10.9.0.2", "10.9.0.0/16", "10.9.0.3",
                             "10.9.0.53", case.cache, self.mirror.name)

    def generator(self, case: Case, seconds: float):
        """shuntperf. It must be on the link before shuntd, and until after it: the memif driver (DPDK 22.11) unmaps the rings of a peer that goes
        under the thread that polls them."""
        command = [self.build.shuntperf, "--role", "both", "--core", self.generator_core, "--json", "--device", self.device("server"),
                   "--target", "10.9.0.2", "--from", "10.9.1.0", "--clients", 256, "--names", case.names, "--count", case.count,
                   "--order", "uniform", "--serve", "10.9.0.53", "--ttl", 86400, "--seconds", seconds, "--in-flight", IN_FLIGHT,
                   "--prime", "--patience", 60, "--linger", 60, *case.options]
        if case.rate:
            command += ["--rate", case.rate]
        return program(command, self.folder / "shuntperf.log", stdout=self.folder / "shuntperf.json")


@dataclasses.dataclass
class Shares:
    """Who had how much of its core within the measurement; generator and control plane share one."""
    generator: float
    control: float
    worker: float


def turn(rig: Rig, case: Case, seconds: float) -> dict:
    """Starts both sides, measures, ends them. shuntperf's figures, with the shares of the cores and the worker's own word added."""
    link = rig.folder / "shunt.sock"
    link.unlink(missing_ok=True)
    with rig.generator(case, seconds) as perf:
        perf.expect(link.exists, 30, "its link's socket was there")
        with gateway(rig.build, rig.folder, rig.config(case)) as shunt:
            shunt.wait_ready()
            shares = _watch(rig, perf, shunt, seconds)
            figures = perf.expect(lambda: _figures(rig.folder / "shuntperf.json"), seconds + 20, "it gave its figures")
            # The last second's; measured until a moment ago.
            status = shunt.json("status") or {}
            figures["worker_busy_percent"] = next((w["busy_percent"] for w in status.get("workers", [])), None)
            figures["counters"] = _counters(shunt)
            figures["core_shares"] = dataclasses.asdict(shares)
            if not shunt.process.running():
                raise BenchError(f"shuntd ended:\n{shunt.process.tail()}")
            return figures


def _watch(rig: Rig, perf: Program, shunt: Gateway, seconds: float) -> Shares:
    """Reads the processes' times at shuntperf's first and last line of a second: the start, the priming and the end stay out."""
    def lines(count: int):
        return lambda: len(_LIVE.findall(perf.log.read_text(encoding="utf-8", errors="replace"))) >= count

    def sample() -> tuple[float, ...]:
        gateways = seconds_run(shunt.process.pid)
        return (time.monotonic(), sum(seconds_run(perf.pid).values()), gateways.get(rig.generator_core, 0.0),
                gateways.get(rig.worker_core, 0.0))

    perf.expect(lines(1), PRIME_SECONDS + 60, "it began to measure")
    began, *before = sample()
    perf.expect(lines(max(2, int(seconds) - 1)), seconds + 10, "its measurement went on")
    ended, *after = sample()
    return Shares(*(round((b - a) / (ended - began), 3) for a, b in zip(before, after)))


def _counters(shunt: Gateway) -> dict[str, int]:
    """What shunt counted since its start, priming included; zeros left out."""
    stats = shunt.json("stats") or {"groups": []}
    return {row["name"]: row["total"] for group in stats["groups"] for row in group["rows"] if row["total"]}


def _figures(path: pathlib.Path) -> dict | None:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.endswith("\n") else None


# --- rounds -------------------------------------------------------------------------------------------------------

def frame_octets(case: Case) -> int:
    """A query's frame with the longest of the names: Ethernet, IPv4, UDP and DNS headers, the name, type and class."""
    name = case.names.replace("%d", str(case.count - 1))
    return 14 + 20 + 8 + 12 + len(name) + 2 + 4


@contextlib.contextmanager
def limits(rig: Rig, cases: list[Case]) -> Iterator[Limit]:
    sizes = {frame_octets(case) for case in cases}
    if len(sizes) != 1:
        raise BenchError(f"queries of several sizes: {sorted(sizes)}")
    with limit(rig.folder, rig.generator_core, rig.worker_core, sizes.pop()) as pair:
        yield pair


class Patience:
    """The time that a run has for a machine that becomes slow: a hypervisor may move two cores apart, or give their host other work, for minutes.
    It is waited for, and turns that suffered are repeated."""

    def __init__(self, seconds: float):
        self.left = seconds

    @contextlib.contextmanager
    def spend(self) -> Iterator[None]:
        began, left = time.monotonic(), self.left
        yield
        self.left = left - (time.monotonic() - began)  # also where another one was within


class Run:
    """Turns of the cases and of the limit: limit, case, limit, case, ..., limit. Each case's turn gets its ratio to the two limits around it."""

    def __init__(self, rig: Rig, link: Limit, seconds: float, patience: Patience, tell):
        self.rig, self.link, self.seconds, self.patience, self.tell = rig, link, seconds, patience, tell
        self.turns: dict[str, list[dict]] = {}
        self.failures = 0
        self._limit()  # the first turn is slower than the others
        self.before = self._limit()
        self.highest = self.before.rate

    def _limit(self) -> Turn:
        return self.link.measure(self.seconds * 2 / 3)

    def take(self, case: Case, number: int, count: int, tries: int = TRIES) -> None:
        """One turn of the case, and where it was disturbed another. Rounds above `count` make up for disturbed ones."""
        where = f"round {number} of {count}" if number <= count else "once more"
        for _ in range(tries):
            self._wait()
            try:
                figures = turn(self.rig, case, self.seconds)
            except BenchError as error:
                self.failures += 1
                self.tell(f"{where}: {case.title}: FAILED: {error}")
                if self.failures > MOST_FAILURES:
                    raise
                continue
            after = self._limit()
            self.highest = max(self.highest, after.rate)
            _compare(figures, self.before, after, self.highest)
            self.turns.setdefault(case.key, []).append(figures | {"round": number})
            self.tell(f"{where}: {case.title}: {_line(figures)}")
            self.before = after
            if not figures["disturbed"]:
                break

    def missing(self, case: Case, count: int) -> bool:
        """Whether fewer than `count` turns were undisturbed, judged by the best limit that is known by now."""
        turns = self.turns.get(case.key, [])
        for figures in turns:
            figures["disturbed"] |= min(figures["limits"]) < STEADY * self.highest
        return sum(not figures["disturbed"] for figures in turns) < count

    def _wait(self) -> None:
        """Until the link is as fast as it was, while there is patience."""
        slow = self.before.rate
        if slow >= STEADY * self.highest or self.patience.left <= 0:
            return
        with self.patience.spend():
            until = time.monotonic() + self.patience.left
            while time.monotonic() < until and self.link.measure(PROBE_SECONDS).rate < STEADY * self.highest:
                time.sleep(PAUSE_SECONDS)
        self.before = self._limit()
        self.tell(f"waited for the machine: the limit was {slow / 1e6:.1f}, is {self.before.rate / 1e6:.1f} and had been "
                  f"{self.highest / 1e6:.1f} M frames/s")


def rounds(rig: Rig, cases: list[Case], count: int, seconds: float, patience: Patience, tell) -> dict[str, list[dict]]:
    """`count` rounds over all cases, and as many again at most for what was disturbed, as long as there is patience."""
    with limits(rig, cases) as link:
        run = Run(rig, link, seconds, patience, tell)
        for number in range(1, count + 1):
            for case in cases:
                run.take(case, number, count)
        for number in range(count + 1, 2 * count + 1):
            for case in [c for c in cases if run.missing(c, count)]:
                if patience.left > 0:
                    with patience.spend():
                        run.take(case, number, count, 1)
        for case in cases:
            run.missing(case, count)  # judges the last ones
        return {case.key: run.turns.get(case.key, []) for case in cases}


def _line(figures: dict) -> str:
    before, after = (f"{limit / 1e6:.1f}" for limit in figures["limits"])
    return (f"{figures['queries_per_second'] / 1e6:.2f} M queries/s, limit {before} and {after} M frames/s, ratio {figures['ratio']:.3f}"
            + (", disturbed" if figures["disturbed"] else ""))


def _compare(figures: dict, before: Turn, after: Turn, highest: float) -> None:
    """Adds the limits around a turn, its ratio to them, and whether the machine was slower than it can be meanwhile."""
    rates = [before.rate, after.rate]
    shares = figures["core_shares"]
    figures["limits"] = rates
    figures["limit_core_shares"] = [before.core_share, after.core_share]
    figures["ratio"] = figures["queries_per_second"] / statistics.mean(rates)
    figures["disturbed"] = (min(rates) < STEADY * highest or
                            min(before.core_share, after.core_share, shares["worker"],
                                shares["generator"] + shares["control"]) < OWN_SHARE)


def summary(case: Case, turns: list[dict], tsc_hz: float) -> dict:
    """Medians of the undisturbed turns, of all where there are none."""
    quiet = [t for t in turns if not t["disturbed"]]

    def median(of) -> float:
        return statistics.median(of(t) for t in quiet or turns)
    rate = median(lambda t: t["queries_per_second"])
    busy = median(lambda t: t["worker_busy_percent"] or 0)
    return {
        "queries_per_second": rate,
        "limit": median(lambda t: statistics.mean(t["limits"])),
        "ratio": median(lambda t: t["ratio"]),
        "quiet_turns": len(quiet),
        "turns": len(turns),
        "p50_us": median(lambda t: t["clients"]["latency_us"]["p50"]),
        "p99_us": median(lambda t: t["clients"]["latency_us"]["p99"]),
        "lost_share": median(lambda t: t["clients"]["lost"] / max(1, t["clients"]["sent"])),
        # Of all turns: one wrong answer is one too many.
        "wrong": sum(t["clients"]["wrong"] for t in turns),
        "errors": sum(t["clients"]["answered"] - t["clients"]["rcodes"].get(case.answer, 0) for t in turns),
        "worker_busy_percent": busy,
        "generator_share": median(lambda t: t["core_shares"]["generator"]),
        "control_share": median(lambda t: t["core_shares"]["control"]),
        "query_octets": median(lambda t: t["clients"]["octets_sent"] / max(1, t["clients"]["sent"])),
        "answer_octets": median(lambda t: t["clients"]["octets_received"] / max(1, t["clients"]["answered"])),
        "cycles_per_query": tsc_hz * busy / 100 / rate if rate else None,
    }
