"""Turns of shunt and its peers on one veth pair, under the same two generators."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from gateway import Build
from processes import foreign_seconds, foreign_share
from servers import servers
from wire import Wire

TITLES = {
    "dnsdist-cached": "dnsdist, packet cache",
    "knot-xdp": "Knot DNS, XDP mode, authoritative",
    "shunt-cached": "shunt, AF_XDP, cached",
    "dnsdist-forwarded": "dnsdist, no cache, NSD behind it",
    "shunt-forwarded": "shunt, AF_XDP, no cache, NSD behind it",
}
FIRST_RATE = 60_000
STEP = 1.6
MOST_STEPS = 9
# A step counts as progress from here on; two without any end the search.
GAIN = 1.02
# A turn is disturbed where other programs had more than this share of a core.
FOREIGN = 0.05
TRIES = 2


def sweep(rig: Wire, seconds: float) -> list[dict[str, float]]:
    """kxdpgun at rising rates, until answers no longer rise with them."""
    steps: list[dict[str, float]] = []
    rate, best, idle = FIRST_RATE, 0.0, 0
    while len(steps) < MOST_STEPS and idle < 2:
        step = rig.kxdpgun(rate, seconds)
        steps.append(step)
        idle = 0 if step["queries_per_second"] > best * GAIN else idle + 1
        best = max(best, step["queries_per_second"])
        rate = int(rate * STEP)
    return steps


def turn(rig: Wire, build: Build, key: str, seconds: float) -> dict:
    """Starts a server, lets both generators ask it, ends it. The best answer rate of kxdpgun's steps counts."""
    with servers(build)[key](rig):
        rig.prime()
        before, began = foreign_seconds(), time.monotonic()
        dnsperf = rig.dnsperf(seconds)
        steps = sweep(rig, seconds)
        foreign = foreign_share(before, foreign_seconds(), time.monotonic() - began)
    return {"dnsperf": dnsperf, "kxdpgun": max(steps, key=lambda step: step["queries_per_second"]), "steps": steps,
            "foreign_cores": round(foreign, 3), "disturbed": foreign > FOREIGN}


def rounds(rig: Wire, build: Build, keys: list[str], count: int, seconds: float, tell: Callable[[str], None]) -> dict[str, dict]:
    """Every server once a round, and once more where other programs had too much of the machine."""
    turns: dict[str, list[dict]] = {key: [] for key in keys}
    with rig.nsd():
        for number in range(1, count + 1):
            for key in keys:
                for _ in range(TRIES):
                    figures = turn(rig, build, key, seconds)
                    turns[key].append(figures | {"round": number})
                    tell(f"round {number} of {count}: {TITLES[key]}: {figures['kxdpgun']['queries_per_second']:,.0f} answers/s to kxdpgun, "
                         f"{figures['dnsperf']['queries_per_second']:,.0f} to dnsperf{', disturbed' if figures['disturbed'] else ''}")
                    if not figures["disturbed"]:
                        break
    return {key: {"title": TITLES[key], "turns": list_, "median": _median(list_)} for key, list_ in turns.items()}


def _median(turns: list[dict]) -> dict[str, float]:
    """Of the undisturbed turns, of all where there are none."""
    quiet = [t for t in turns if not t["disturbed"]]

    def of(generator: str, figure: str) -> float:
        return statistics.median(t[generator][figure] for t in quiet or turns)
    return {
        "queries_per_second": of("kxdpgun", "queries_per_second"), "lost_share": of("kxdpgun", "lost_share"),
        "offered_per_second": of("kxdpgun", "sent_per_second"), "dnsperf_queries_per_second": of("dnsperf", "queries_per_second"),
        "quiet_turns": len(quiet), "turns": len(turns),
        "dnsperf_lost_share": of("dnsperf", "lost_share"), "dnsperf_latency_us": of("dnsperf", "latency_us"),
    }
