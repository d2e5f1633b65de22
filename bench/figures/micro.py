"""The Google Benchmark programs: single structures, and two workers against one."""
from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable

from processes import BenchError, output

MIN_SECONDS = 0.05
PATIENCE = 240.0
WORKERS = "worker_bench"
# Building ten million rules is a matter of `scripts/test`-like patience, and no figure of the tables.
LEFT_OUT = {"rules_bench": "-rules/build"}
_OWN_KEYS = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads",
             "iterations", "real_time", "cpu_time", "time_unit", "aggregate_name", "aggregate_unit"}


def _run(program: pathlib.Path, folder: pathlib.Path, repetitions: int, names: str = "") -> list[dict]:
    """One program's benchmarks: name, nanoseconds of a turn, counters; medians of the repetitions."""
    out = folder / f"{program.name}.json"
    command = [program, f"--benchmark_out={out}", "--benchmark_out_format=json", f"--benchmark_min_time={MIN_SECONDS}",
               f"--benchmark_repetitions={repetitions}", f"--benchmark_filter={names or '.'}"]
    output(command, PATIENCE)
    rows = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    if repetitions > 1:
        rows = [row for row in rows if row.get("aggregate_name") == "median"]
    scale = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    return [{"name": row["run_name"], "nanoseconds": row["real_time"] * scale[row["time_unit"]],
             "counters": {k: v for k, v in row.items() if k not in _OWN_KEYS and isinstance(v, (int, float))}} for row in rows]


def suite(programs: pathlib.Path, folder: pathlib.Path, repetitions: int, tell: Callable[[str], None]) -> dict[str, list[dict]]:
    """All programs of the build but worker_bench."""
    found = sorted(p for p in programs.glob("*_bench") if p.is_file() and p.name != WORKERS)
    if not found:
        raise BenchError(f"no benchmarks in {programs}: scripts/build bench compiles them")
    results = {}
    for program in found:
        tell(f"Google Benchmark: {program.name}")
        results[program.name] = _run(program, folder, repetitions, LEFT_OUT.get(program.name, ""))
    return results


def counter(results: dict[str, list[dict]], program: str, name: str, key: str) -> float | None:
    """A counter of the benchmark whose name is `name`; None where it wasn't measured."""
    for row in results.get(program, []):
        if row["name"] == name:
            return row["counters"].get(key)
    return None


def headlines(results: dict[str, list[dict]]) -> dict[str, float | None]:
    """The few figures that the bar asks for."""
    def rules(count: int, key: str) -> float | None:
        return counter(results, "rules_bench", f"rules/burst/{count}", key)
    whole, name = rules(1_000_000, "octets/rule"), rules(1_000_000, "of name")
    return {
        "rule_lookup_1m_ns": rules(1_000_000, "ns/name"),
        "rule_lookup_10m_ns": rules(10_000_000, "ns/name"),
        "octets_per_rule": whole - name if whole is not None and name is not None else None,
        "octets_per_answer": counter(results, "cache_bench", "BM_InsertFull/256", "octets_each"),
    }


def workers(programs: pathlib.Path, folder: pathlib.Path, repetitions: int) -> dict[str, float] | None:
    """Queries a second of one worker and of two in one process; None where the program wasn't compiled."""
    program = programs / WORKERS
    if not program.exists():
        return None
    rates = {}
    for row in _run(program, folder, repetitions):
        found = re.search(r"workers:(\d+)\b", row["name"])
        if found and "queries_per_second" in row["counters"]:
            rates.setdefault(int(found.group(1)), row["counters"]["queries_per_second"])
    if not {1, 2} <= rates.keys():
        raise BenchError(f"{WORKERS} told no queries_per_second for workers:1 and workers:2")
    return {"one": rates[1], "two": rates[2], "ratio": rates[2] / rates[1]}
