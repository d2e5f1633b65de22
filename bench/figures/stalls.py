"""What the cores themselves do to latency: oslat (rt-tests) reads the clock in a loop on both, and tells how long each turn of the loop took. Timer
ticks, hypervisor exits and other programs show as longer turns. No percentile of a latency can be below what they take of it."""
from __future__ import annotations

import json
import pathlib

from processes import output

SECONDS = 5
LONG_US = 15  # what counts as a stall: the bar for the 99th percentile
_BUCKETS = 1024


def measure(folder: pathlib.Path, cores: list[int]) -> dict[str, dict[str, float]]:
    """By core: stalls a second, the share of its time that they take, and the longest. They hit both ends of the link, so their shares add up."""
    path = folder / "oslat.json"
    output(["oslat", "-c", ",".join(map(str, cores)), "-C", cores[0], "-D", SECONDS, "-b", _BUCKETS, "-q", f"--json={path}"], SECONDS + 30)
    found = {}
    for thread in json.loads(path.read_text(encoding="utf-8"))["thread"].values():
        # The last bucket holds all that is longer, too: its share is the least that it can be.
        stalls = {int(us): count for us, count in thread["histogram"].items() if int(us) >= LONG_US}
        found[str(thread["cpu"])] = {"per_second": sum(stalls.values()) / thread["duration"],
                                     "share": sum(us * count for us, count in stalls.items()) / thread["duration"] / 1e6,
                                     "longest_us": thread["max"]}
    return found


def sentence(stalls: dict[str, dict[str, float]]) -> str:
    cores = "; ".join(f"core {core}: {s['per_second']:,.0f} a second, {100 * s['share']:.2f} % of its time, {s['longest_us']:,.0f} us the longest"
                      for core, s in sorted(stalls.items()))
    total = sum(s["share"] for s in stalls.values())
    verdict = ("so no 99th percentile of a latency below that can be seen here, whatever is measured" if total >= 0.01 else
               "less than the hundredth that a 99th percentile would show")
    return (f"Stalls of {LONG_US} us or more of a loop that only reads the clock (oslat), measured before the link, with nothing else "
            f"running: {cores}. Together {100 * total:.2f} %: {verdict}")
