"""What one host with 100 GbE would do, reckoned from the measured cost of a query. No figure here is measured on such a host; each
assumption has a name below and a line in bench/README.md."""
from __future__ import annotations

import dataclasses
import math

CORES = (16, 32)
CASES = ("cached-1m", "mixed", "forwarded")
CONTROL_CORES = 1
LINE = 64                        # octets
WIRE_OCTETS = 100e9 / 8          # a second and direction
WIRE_OVERHEAD = 24               # frame check sequence, preamble, gap
PCIE_OCTETS = 31.5e9             # a second and direction: generation 4, 16 lanes
PCIE_HEADER = 24                 # of each transaction
DESCRIPTOR = 64                  # of each frame, with its transaction
MEMORY_OCTETS = 8 * 38.4e9 * 0.7  # eight channels of DDR5-4800, at what is left of the peak for random lines
RULE_LINES = 4                   # of the rule trie, one a label and the root
PENDING_LINES = 12               # a pending query: written when it is sent, read when its answer comes
MBUF_LINES = 2


@dataclasses.dataclass(frozen=True)
class Estimate:
    case: str
    cores: int
    cycles: float                # of a query
    octets_memory: float         # of a query
    by_limit: dict[str, float]   # queries a second that each limit allows

    @property
    def bottleneck(self) -> str:
        return min(self.by_limit, key=lambda limit: self.by_limit[limit])

    @property
    def queries_per_second(self) -> float:
        return min(self.by_limit.values())

    @property
    def next_bottleneck(self) -> str:
        rest = {name: rate for name, rate in self.by_limit.items() if name != self.bottleneck}
        return min(rest, key=lambda limit: rest[limit])


def _lines(octets: float) -> float:
    return math.ceil(octets / LINE) * LINE


def _frames(case: str, query: float, answer: float, missing: float) -> tuple[list[float], list[float]]:
    """Octets of the frames that come in and go out for one query; `missing` of them also go to an upstream and come back."""
    upstream = {"forwarded": 1.0, "mixed": missing}.get(case, 0.0)
    return [query, answer * upstream], [answer, query * upstream]


def _memory(case: str, incoming: list[float], outgoing: list[float], answer_octets: float, upstream: float) -> float:
    """Octets between cores and memory for one query, were nothing of it found in a cache: a frame that comes in is written and read, one that
    goes out is written (which reads it first) and read."""
    octets = sum(_lines(f) * 2 for f in incoming) + sum(_lines(f) * 3 for f in outgoing)
    octets += 2 * (1 + upstream) * (MBUF_LINES + 1) * LINE + RULE_LINES * LINE
    if case != "forwarded":
        octets += LINE + _lines(answer_octets)
    return octets + upstream * PENDING_LINES * LINE


def estimate(result: dict, case: str, cores: int, missing: float = 0.1) -> Estimate | None:
    """None where the case wasn't measured."""
    median = ((result.get("memif") or {}).get(case) or {}).get("median")
    hz = (result.get("machine") or {}).get("tsc_hz")
    if not median or not median["cycles_per_query"] or not hz:
        return None
    workers = cores - CONTROL_CORES
    upstream = {"forwarded": 1.0, "mixed": missing}.get(case, 0.0)
    incoming, outgoing = _frames(case, median["query_octets"], median["answer_octets"], missing)
    counts_in = counts_out = 1 + upstream
    memory = _memory(case, incoming, outgoing, headline(result, "octets_per_answer") or 256, upstream)
    return Estimate(case, cores, median["cycles_per_query"], memory, {
        "cores": workers * efficiency(result, workers) * hz / median["cycles_per_query"],
        "wire": WIRE_OCTETS / max(sum(incoming) + counts_in * WIRE_OVERHEAD, sum(outgoing) + counts_out * WIRE_OVERHEAD),
        # Towards memory: frames that came in, their completions, and the requests to read those that go out.
        "PCIe": PCIE_OCTETS / max(sum(incoming) + counts_in * (PCIE_HEADER + DESCRIPTOR) + counts_out * PCIE_HEADER,
                                  sum(outgoing) + counts_out * (PCIE_HEADER + DESCRIPTOR)),
        "memory": MEMORY_OCTETS / memory,
    })


def headline(result: dict, key: str) -> float | None:
    return ((result.get("micro") or {}).get("headlines") or {}).get(key)


def efficiency(result: dict, workers: int) -> float:
    """What is left of each worker: every doubling of their number costs what the first one was measured to cost."""
    ratio = (result.get("workers") or {}).get("ratio")
    return min(1.0, ratio / 2) ** math.log2(workers) if ratio else 1.0


def estimates(result: dict) -> list[Estimate]:
    found = (estimate(result, case, cores) for case in CASES for cores in CORES)
    return [e for e in found if e]
