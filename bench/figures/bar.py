"""What the figures have to reach."""
from __future__ import annotations

import dataclasses

MET, SHORT, UNKNOWN, DISTURBED = "met", "short", "not measured", "disturbed"


@dataclasses.dataclass(frozen=True)
class Verdict:
    what: str
    target: str
    measured: str
    verdict: str


def _dig(result: dict, *path: str):
    for key in path:
        result = (result or {}).get(key)
    return result


def _judge(what: str, target: str, checks: list[tuple[float | None, str, bool]], *medians: dict | None) -> Verdict:
    """`checks`: value, its text, whether it reaches the target. `medians`: what they were taken from."""
    if any(value is None for value, _, _ in checks):
        return Verdict(what, target, "", UNKNOWN)
    if any(median and not median["quiet_turns"] for median in medians):
        return Verdict(what, target, ", ".join(text for _, text, _ in checks), DISTURBED)
    return Verdict(what, target, ", ".join(text for _, text, _ in checks), MET if all(good for _, _, good in checks) else SHORT)


def _at_least(value: float | None, least: float, form: str) -> tuple[float | None, str, bool]:
    return (None, "", False) if value is None else (value, form.format(value), value >= least)


def _at_most(value: float | None, most: float, form: str) -> tuple[float | None, str, bool]:
    return (None, "", False) if value is None else (value, form.format(value), value <= most)


def _quotient(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _rate(result: dict, case: str, millions: float, ratio: float) -> Verdict:
    median = _dig(result, "memif", case, "median")
    rate = _dig(median, "queries_per_second")
    checks = [_at_least(None if rate is None else rate / 1e6, millions, "{:.2f} M/s"),
              _at_least(_dig(median, "ratio"), ratio, "{:.3f} of 5tswap")]
    if median and (median["wrong"] or median["errors"]):
        checks.append((1, f"{median['wrong']} wrong and {median['errors']} failed answers", False))
    title = {"cached-100k": "cached, 100,000 names", "cached-1m": "cached, 1,000,000 names", "forwarded": "forwarded, no cache",
             "blocked": "blocked names"}[case]
    return _judge(title, f"{millions:g} M/s and {ratio:g} of 5tswap", checks, median)


def _latency(result: dict, case: str, millions: int, p99: int) -> Verdict:
    median = _dig(result, "memif", case, "median")
    rate = _dig(median, "queries_per_second")
    return _judge(f"latency at {millions} M/s, cached", f"p50 4 us, p99 {p99} us", [
        _at_most(_dig(median, "p50_us"), 4, "p50 {:.1f} us"), _at_most(_dig(median, "p99_us"), p99, "p99 {:.1f} us"),
        _at_least(None if rate is None else rate / 1e6, millions * 0.99, "at {:.2f} M/s")], median)


def verdicts(result: dict) -> list[Verdict]:
    """One line for each target, whether it was measured or not."""
    def median(part: str, key: str) -> dict | None:
        return _dig(result, part, key, "median")

    def times(above: dict | None, below: dict | None, least: float, form: str = "{:.2f} times") -> list[tuple[float | None, str, bool]]:
        return [_at_least(_quotient(_dig(above, "queries_per_second"), _dig(below, "queries_per_second")), least, form)]

    micro = _dig(result, "micro", "headlines") or {}
    shunt, knot, cached = (median("peers", key) for key in ("shunt-cached", "knot-xdp", "dnsdist-cached"))
    misses, uncached = median("memif", "misses"), median("peers", "dnsdist-forwarded")
    if uncached:
        # To whichever generator it answered more.
        uncached = uncached | {"queries_per_second": max(uncached["queries_per_second"], uncached["dnsperf_queries_per_second"])}
    yardstick = _dig(result, "workers", "yardstick", "ratio")
    bare_cores = f" (multiplications alone: {yardstick:.2f})" if yardstick else ""
    return [
        _rate(result, "cached-100k", 12, 0.45),
        _rate(result, "cached-1m", 10, 0.38),
        _rate(result, "forwarded", 5, 0.19),
        _judge("below no rule, over memif, against dnsdist without cache", "5 times", times(misses, uncached, 5, "{:.1f} times"), misses,
               uncached),
        _rate(result, "blocked", 12, 0.45),
        _latency(result, "latency-3m", 3, 15),
        _latency(result, "latency-6m", 6, 30),
        _judge("two workers against one, synthetic ports", "1.95 times",
               [_at_least(_dig(result, "workers", "ratio"), 1.95, "{:.2f} times" + bare_cores)]),
        _judge("AF_XDP on veth against Knot's XDP mode", "above it", times(shunt, knot, 1), shunt, knot),
        _judge("AF_XDP on veth against dnsdist with packet cache", "2 times", times(shunt, cached, 2), shunt, cached),
        _judge("rule lookup in a burst of 32, 1,000,000 rules", "60 ns", [_at_most(micro.get("rule_lookup_1m_ns"), 60, "{:.1f} ns")]),
        _judge("rule lookup in a burst of 32, 10,000,000 rules", "80 ns", [_at_most(micro.get("rule_lookup_10m_ns"), 80, "{:.1f} ns")]),
        _judge("memory of a rule, its name aside", "48 octets", [_at_most(micro.get("octets_per_rule"), 48, "{:.1f} octets")]),
        _judge("memory of a cached answer with one record", "256 octets",
               [_at_most(micro.get("octets_per_answer"), 256, "{:.0f} octets")]),
    ]
