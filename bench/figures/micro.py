"""The Google Benchmark programs: single structures, and two workers against one."""
from __future__ import annotations

import json
import pathlib
import re
import statistics
from collections.abc import Callable

from processes import BenchError, output

MIN_SECONDS = 0.05
PATIENCE = 120.0   # for each program
BURST = 32
WORKERS, MAIN_LOAD = "worker_bench", "cached/names:100000"
YARDSTICK = "arithmetic"   # what two cores can do against one where nothing is shared but the machine
# No figures of the tables, and minutes long: building the sets, and the alternatives at ten million rules.
LEFT_OUT = {"rules_bench": "-rules/build|rules/.+/.+/10000000|rules/unordered_map/10000000"}
# What the bar asks for, by program: these are repeated.
RULES, ANSWERS = "rules_bench", "cache_bench"
REPEATED = {RULES: "^rules/burst/10*0000$", ANSWERS: "^BM_InsertFull/256$"}
_OWN_KEYS = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads",
             "iterations", "real_time", "cpu_time", "time_unit", "aggregate_name", "aggregate_unit"}


def _run(program: pathlib.Path, folder: pathlib.Path, repetitions: int, names: str = "") -> list[dict]:
    """One program's benchmarks: name, nanoseconds of a turn, counters; medians of the repetitions."""
    out = folder / f"{program.name}.json"
    command = [program, f"--benchmark_out={out}", "--benchmark_out_format=json", f"--benchmark_min_time={MIN_SECONDS}",
               f"--benchmark_repetitions={repetitions}", f"--benchmark_filter={names or '.'}"]
    output(command, PATIENCE)
    rows = json.loads(out.read_text(encoding="utf-8"))["benchmarks"]
    rows = [row for row in rows if not row.get("error_occurred")]
    if repetitions > 1:
        rows = [row for row in rows if row.get("aggregate_name") == "median"]
    scale = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    return [{"name": row["run_name"], "nanoseconds": row["real_time"] * scale[row["time_unit"]],
             "counters": {k: v for k, v in row.items() if k not in _OWN_KEYS and isinstance(v, (int, float))}} for row in rows]


def suite(programs: pathlib.Path, folder: pathlib.Path, notes: list[str], tell: Callable[[str], None]) -> dict[str, list[dict]]:
    """All programs of the build but worker_bench, once each. What takes too long is left out, and noted."""
    found = sorted(p for p in programs.glob("*_bench") if p.is_file() and p.name != WORKERS)
    if not found:
        raise BenchError(f"no benchmarks in {programs}: scripts/build bench compiles them")
    results = {}
    for program in found:
        tell(f"Google Benchmark: {program.name}")
        try:
            results[program.name] = _run(program, folder, 1, LEFT_OUT.get(program.name, ""))
        except BenchError as error:
            notes.append(f"NOT MEASURED: {program.name}: {str(error).splitlines()[0]}")
    return results


def headlines(programs: pathlib.Path, folder: pathlib.Path, repetitions: int) -> dict[str, float | None]:
    """The few figures that the bar asks for, medians of the repetitions; None where there is no such benchmark."""
    rows = {row["name"]: row for name, names in REPEATED.items() for row in _run(programs / name, folder, repetitions, names)}

    def lookup(count: int) -> float | None:
        row = rows.get(f"rules/burst/{count}")
        return row["nanoseconds"] / BURST if row else None

    def octets(name: str, key: str) -> float | None:
        return rows.get(name, {"counters": {}})["counters"].get(key)

    whole, name = (octets("rules/burst/1000000", key) for key in ("octets/rule", "of name"))
    return {
        "rule_lookup_1m_ns": lookup(1_000_000),
        "rule_lookup_10m_ns": lookup(10_000_000),
        "octets_per_rule": whole - name if whole is not None and name is not None else None,
        "octets_per_answer": octets("BM_InsertFull/256", "octets_each"),
    }


def workers(programs: pathlib.Path, folder: pathlib.Path, rounds: int, tell: Callable[[str], None]) -> dict | None:
    """Queries a second of one worker and of two in one process, in turns, for each load that the program knows, and their multiplications;
    None where it wasn't compiled. The ratio is the median of the rounds' ratios, for the load in MAIN_LOAD."""
    program = programs / WORKERS
    if not program.exists():
        return None
    names = [line for line in output([program, "--benchmark_list_tests"], PATIENCE).splitlines() if re.search(r"/workers:[12]\b", line)]
    loads: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for one in (n for n in names if "workers:1" in n):
            two = one.replace("workers:1", "workers:2")
            if two in names:
                load = one.partition("/workers")[0]
                counter = "multiplications_per_second" if load == YARDSTICK else "queries_per_second"
                rates = [_run(program, folder, 1, f"^{re.escape(n)}$")[0]["counters"][counter] for n in (one, two)]
                loads.setdefault(load, []).append({"one": rates[0], "two": rates[1], "ratio": rates[1] / rates[0]})
                tell(f"{load}: {rates[0] / 1e6:.2f} M {counter.partition('_')[0]}/s by one worker, {rates[1] / 1e6:.2f} by two")
    if not loads:
        raise BenchError(f"{WORKERS} knows no load for workers:1 and workers:2")
    medians = {load: {key: statistics.median(turn[key] for turn in turns) for key in turns[0]} for load, turns in loads.items()}
    yardstick = medians.pop(YARDSTICK, None)
    return {"loads": medians, "rounds": loads, "yardstick": yardstick, **medians.get(MAIN_LOAD, next(iter(medians.values())))}
