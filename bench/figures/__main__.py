"""The command line of scripts/bench; it prepares the machine and starts this as root."""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests" / "e2e")]

# pylint: disable=wrong-import-position
import chart  # noqa: E402
import memif  # noqa: E402
import micro  # noqa: E402
import peers  # noqa: E402
import readme  # noqa: E402
import reloads  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
import stalls  # noqa: E402
from gateway import RULES, Build, write_rules  # noqa: E402
from netns import Namespace, remove_leftovers  # noqa: E402
from processes import ROOT, BenchError, foreign_seconds, foreign_share, machine  # noqa: E402
from wire import Wire  # noqa: E402

GENERATOR_CORE = 0
CASES = {case.key: case for case in memif.CASES}
GROUPS = {"memif": list(CASES), "peers": list(peers.TITLES)}
SINGLES = ("workers", "micro", "rules", "reload")
# The whole run ends by then, whatever hangs; what it waits for the machine comes on top.
DEADLINE_SECONDS = 3600


class Interrupted(BaseException):
    """A signal asked to end."""


def _interrupt(number: int, _frame: object) -> None:
    # What is left must be taken away in peace.
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(sig, signal.SIG_IGN)
    raise Interrupted("out of time" if number == signal.SIGALRM else "interrupted")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures the link's limit, shunt and its peers in one run.")
    parser.add_argument("--quick", action="store_true", help="two rounds of two seconds a turn, one of the peers: a few minutes")
    parser.add_argument("--only", metavar="PART,...", default="", help="some parts or cases, see --list")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each case (5); the peers get half as many")
    parser.add_argument("--seconds", type=int, metavar="N", help="how long each turn measures (3), at least 2")
    parser.add_argument("--patience", type=int, metavar="MINUTES",
                        help="how long the memif cases may wait in all for a machine that has become slow, and repeat turns (10)")
    parser.add_argument("--json", metavar="FILE", help="where the raw figures go (build-bench/results/TIME.json)")
    parser.add_argument("--readme", action="store_true", help="write the figures into README.md, bench/README.md and docs/figures.svg")
    parser.add_argument("--from", metavar="FILE", dest="source", help="measure nothing, take a run's raw figures")
    parser.add_argument("--list", action="store_true", help="list parts and cases, and end")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (2 if options.quick else 3)
    if options.patience is None:
        options.patience = 0 if options.quick else 10
    if options.rounds < 1 or options.seconds < 2 or options.patience < 0:
        parser.error("--rounds wants 1 or more, --seconds 2 or more, --patience 0 or more")
    known = {*GROUPS, *CASES, *peers.TITLES, *SINGLES}
    wanted = [word for word in options.only.split(",") if word] or [*GROUPS, *SINGLES]
    if unknown := [word for word in wanted if word not in known]:
        parser.error(f"unknown part {unknown[0]}; --list lists them")
    options.parts = {key for word in wanted for key in GROUPS.get(word, [word])}
    return options


def _list() -> None:
    print("memif: all of")
    for case in memif.CASES:
        print(f"  {case.key:<20}{case.title}")
    print("peers: all of")
    for key, title in peers.TITLES.items():
        print(f"  {key:<20}{title}")
    print("workers: two workers against one\nmicro: the Google Benchmark programs\nrules: rule sets of a thousand to ten million\n"
          "reload: reloads of a million rules under full load")


def tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def _measure(options: argparse.Namespace, result: dict) -> None:
    build = Build(pathlib.Path(os.environ.get("SHUNT_BUILD", ROOT / "build")), ROOT / "build-bench")
    with tempfile.TemporaryDirectory(prefix="shunt-bench-") as name:
        folder = pathlib.Path(name)
        write_rules(folder, RULES)
        for part in (_memif, _peers, _workers, _suite, _rules, _reload):
            before, began = foreign_seconds(), time.monotonic()
            try:
                part(options, build, folder, result)
            except (BenchError, RuntimeError, AssertionError, OSError) as error:
                # The other parts' figures are worth keeping.
                result["notes"].append(f"FAILED: {part.__name__[1:]}: {error}")
                tell(result["notes"][-1])
            result["foreign_cores"][part.__name__[1:]] = round(
                foreign_share(before, foreign_seconds(), time.monotonic() - began), 3)
    result["notes"] += [f"{part}: other programs had {share:.2f} cores meanwhile" for part, share in result["foreign_cores"].items()
                        if share > peers.FOREIGN]
    result["notes"] += [f"{entry['title']}: no turn of {entry['median']['turns']} was undisturbed"
                        for part in ("memif", "peers") for entry in result.get(part, {}).values() if not entry["median"]["quiet_turns"]]


def _memif(options: argparse.Namespace, build: Build, folder: pathlib.Path, result: dict) -> None:
    cases = [case for case in memif.CASES if case.key in options.parts]
    if not cases:
        return
    if any(case.rate for case in cases):
        result["stalls"] = stalls.measure(folder, [GENERATOR_CORE, worker_core()])
        tell(stalls.sentence(result["stalls"]))
    mirror = Namespace("memif-mirror")
    try:
        rig = memif.Rig(build, folder, mirror, GENERATOR_CORE, worker_core())
        turns = memif.rounds(rig, cases, options.rounds, options.seconds, memif.Patience(options.patience * 60), tell)
    finally:
        mirror.close()
    result["memif"] = {case.key: {"title": case.title, "median": memif.summary(case, turns[case.key], result["machine"]["tsc_hz"]),
                                  "turns": turns[case.key]} for case in cases if turns[case.key]}


def _peers(options: argparse.Namespace, build: Build, folder: pathlib.Path, result: dict) -> None:
    keys = [key for key in peers.TITLES if key in options.parts]
    if not keys:
        return
    rig = Wire(folder, GENERATOR_CORE, worker_core())
    try:
        result["peers"] = peers.rounds(rig, build, keys, (options.rounds + 1) // 2, options.seconds, tell)
    finally:
        rig.close()


def _workers(options: argparse.Namespace, build: Build, folder: pathlib.Path, result: dict) -> None:
    if "workers" in options.parts:
        result["workers"] = micro.workers(build.benchmarks, folder, options.rounds, tell)
        if not result["workers"]:
            result["notes"].append(f"NOT MEASURED: two workers against one, as {micro.WORKERS} was not compiled")


def _suite(options: argparse.Namespace, build: Build, folder: pathlib.Path, result: dict) -> None:
    if "micro" in options.parts:
        found = micro.suite(build.benchmarks, folder, result["notes"], tell)
        tell("Google Benchmark: again, for the bar")
        result["micro"] = {"headlines": micro.headlines(build.benchmarks, folder, options.rounds), "suite": found}


def _rules(options: argparse.Namespace, build: Build, folder: pathlib.Path, result: dict) -> None:
    if "rules" in options.parts:
        result["rules"] = scale.measure(build, folder, (worker_core(), GENERATOR_CORE), options.quick, tell)


def _reload(options: argparse.Namespace, build: Build, folder: pathlib.Path, result: dict) -> None:
    if "reload" not in options.parts:
        return
    mirror = Namespace("reload-mirror")
    try:
        result["reload"] = reloads.measure(memif.Rig(build, folder, mirror, GENERATOR_CORE, worker_core()), options.quick, tell)
    finally:
        mirror.close()


def worker_core() -> int:
    return (os.cpu_count() or 1) - 1


def _keep(options: argparse.Namespace, result: dict) -> pathlib.Path:
    path = pathlib.Path(options.json) if options.json else ROOT / "build-bench" / "results" / time.strftime("%Y%m%d-%H%M%S.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".svg").write_text(chart.svg(chart.groups(result)), encoding="utf-8")
    return path


def _result(options: argparse.Namespace) -> dict:
    if options.source:
        return json.loads(pathlib.Path(options.source).read_text(encoding="utf-8"))
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(sig, _interrupt)
    signal.alarm(DEADLINE_SECONDS + options.patience * 60)
    remove_leftovers()
    result = {"machine": machine(), "options": {"rounds": options.rounds, "seconds": options.seconds, "parts": sorted(options.parts)},
              "notes": [], "foreign_cores": {}}
    began = time.monotonic()
    _measure(options, result)
    result["seconds"] = round(time.monotonic() - began)
    tell(f"kept: {_keep(options, result)}, with a chart beside it")
    return result


def main() -> int:
    options = _arguments()
    if options.list:
        _list()
        return 0
    try:
        result = _result(options)
        print(f"\n{report.terminal(result)}\n")
        if options.readme:
            print("written: " + ", ".join(readme.write(result)))
        return 1 if any(note.startswith("FAILED") for note in result["notes"]) else 0
    except (BenchError, RuntimeError, AssertionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"error: {error}", file=sys.stderr)
        return 130


sys.exit(main())
