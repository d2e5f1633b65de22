"""Rule sets from a thousand to ten million rules: how long a reload takes, what they take in memory, and what a lookup costs; and whether
memory stays flat over many reloads. The daemon has a port that nothing comes from; its rules are read from files that a person can read."""
from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import re
import statistics
import string
import time
from collections.abc import Iterator

from gateway import Build, Gateway, gateway
from processes import BenchError, output

SIZES = (1000, 10_000, 100_000, 1_000_000, 10_000_000)
LONGEST_SECONDS = 120.0     # of one reload
FLAT_SECONDS = 600.0        # the many reloads end by then
LINK, FILES = "scale.rules", ("scale-a.rules", "scale-b.rules")
BATCH = 65536


def _write(folder: pathlib.Path, count: int) -> None:
    """Two files of so many rules, half of them forwarded and half blocked, that differ in one of a thousand. Names are two labels, one in
    eight has a third, below one of 300 top-level names: as in bench/rule_names.h, but with a number in them, so that none comes twice."""
    draw = random.Random(1)
    tops = [f"{a}{b}x" for a in string.ascii_lowercase for b in string.ascii_lowercase][:300]
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 8))) for _ in range(4096)]
    with contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(open(folder / name, "w", encoding="ascii")) for name in FILES)
        for first in range(0, count, BATCH):
            lines, changed = [], []
            for number in range(first, min(count, first + BATCH)):
                bits = draw.getrandbits(40)
                third = words[bits & 4095] + "." if bits >> 12 & 7 == 0 else ""
                top = "aax" if bits >> 15 & 1 else tops[(bits >> 16) % 300]
                name = f"{third}{words[bits >> 28]}{number:x}.{top}"
                lines.append(f"{name} {'forward servers' if number & 1 else 'block nxdomain'}\n")
                changed.append(lines[-1] if number % 1000 else f"{name} block nodata\n")
            one.write("".join(lines))
            other.write("".join(changed))


def _turn_to(folder: pathlib.Path, number: int) -> None:
    """The daemon's file is now the first or the second, and its stamp is new: a generation that is kept has no part in it."""
    name = FILES[number % 2]
    os.utime(folder / name)
    with contextlib.suppress(FileNotFoundError):
        (folder / LINK).unlink()
    (folder / LINK).symlink_to(name)


def _config(folder: pathlib.Path, worker_core: int, control_core: int) -> str:
    return f"""
[dataplane]
workers = [{worker_core}]
control_core = {control_core}
memory = "128MiB"
cache = "16MiB"
pending = 8192
hugepages = false
rules_memory = "8GiB"

[control]
socket = "{folder}/control.sock"

[[port]]
name = "nowhere"
device = "net_null0,no-rx=1"
addresses = ["10.9.0.2/16"]
mirror = ""

[[inbound]]
name = "in"
addresses = ["10.9.0.2"]
allow = ["10.9.0.0/16"]

[[upstream]]
name = "servers"
targets = ["10.9.0.53"]

[[rules]]
name = "main"
file = "{LINK}"

[[network]]
name = "clients"
clients = ["10.9.0.0/16"]
rules = ["main"]
default = "servers"
"""


def resident(pid: int) -> int:
    """Octets."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Rss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def reload(shunt: Gateway) -> dict:
    text = output([shunt.build.shuntctl, "--socket", shunt.folder / "control.sock", "--json", "reload"], LONGEST_SECONDS)
    return json.loads(text)


@contextlib.contextmanager
def _running(build: Build, folder: pathlib.Path, cores: tuple[int, int]) -> Iterator[Gateway]:
    with gateway(build, folder, _config(folder, *cores)) as shunt:
        shunt.wait_ready()
        yield shunt


def sizes(build: Build, folder: pathlib.Path, cores: tuple[int, int], counts: list[int], times: int, tell) -> list[dict]:
    rows = []
    for count in counts:
        _write(folder, count)
        _turn_to(folder, 0)
        with _running(build, folder, cores) as shunt:
            took, walls, result = [], [], {}
            for number in range(1, times + 1):
                _turn_to(folder, number)
                began = time.monotonic()
                result = reload(shunt)
                walls.append(time.monotonic() - began)
                took.append(result["milliseconds"])
                changed = result["changes"]["rules_changed"]
                if result["rules"] != count or changed != (count + 999) // 1000 or result["sets_built"] != 1:
                    raise BenchError(f"a reload of {count} rules told {result}")
            # The same again: nothing is built. A file that was written within the last seconds always is.
            time.sleep(2.5)
            reload(shunt)
            unchanged = reload(shunt)
            if unchanged["sets_built"]:
                raise BenchError(f"an unchanged file was read again: {unchanged}")
            time.sleep(0.3)
            rows.append({"rules": count, "reload_ms": statistics.median(took), "slowest_ms": max(took),
                         "command_ms": statistics.median(walls) * 1000, "unchanged_ms": unchanged["milliseconds"],
                         "file_octets": (folder / FILES[0]).stat().st_size, "octets_per_rule": result["rules_octets"] / count,
                         "resident_octets": resident(shunt.process.pid)})
        tell(f"{count:,} rules: reload {rows[-1]['reload_ms']:.0f} ms, {rows[-1]['octets_per_rule']:.1f} octets a rule")
    return rows


def lookups(build: Build, rows: list[dict], folder: pathlib.Path, tell) -> None:
    """Adds what one name of a burst costs, from the wire to its rule, at each size."""
    report = folder / "lookups.json"
    wanted = "|".join(str(row["rules"]) for row in rows)
    output([build.benchmarks / "rules_bench", f"--benchmark_filter=^rules/burst/({wanted})$", f"--benchmark_out={report}",
            "--benchmark_out_format=json"], 300)
    found = {int(b["name"].rsplit("/", 1)[1]): b["each"] * 1e9 for b in json.loads(report.read_text(encoding="utf-8"))["benchmarks"]}
    for row in rows:
        row["lookup_ns"] = found.get(row["rules"])
    tell("lookups: " + ", ".join(f"{row['rules']:,}: {row['lookup_ns']:.0f} ns" for row in rows if row["lookup_ns"]))


def flat(build: Build, folder: pathlib.Path, cores: tuple[int, int], count: int, times: int, tell) -> dict:
    """Reloads of `count` rules one after another. Memory is looked at ten times in the last half."""
    _write(folder, count)
    _turn_to(folder, 0)
    with _running(build, folder, cores) as shunt:
        seen, took, number, began = [], [], 0, time.monotonic()
        while number < times and time.monotonic() - began < FLAT_SECONDS:
            number += 1
            _turn_to(folder, number)
            took.append(reload(shunt)["milliseconds"])
            if number % max(1, times // 20) == 0:
                time.sleep(0.3)  # what a reload left over is freed behind it
                seen.append(resident(shunt.process.pid))
    last = seen[len(seen) // 2:] or [0]
    tell(f"{number} reloads of {count:,} rules: {min(last) / 2**20:.0f} to {max(last) / 2**20:.0f} MiB in the last half")
    return {"rules": count, "reloads": number, "wanted": times, "median_ms": statistics.median(took), "slowest_ms": max(took),
            "least_octets": min(last), "most_octets": max(last)}


def measure(build: Build, folder: pathlib.Path, cores: tuple[int, int], quick: bool, tell) -> dict:
    counts = [size for size in SIZES if size <= 1_000_000] if quick else list(SIZES)
    rows = sizes(build, folder, cores, counts, 3 if quick else 5, tell)
    lookups(build, rows, folder, tell)
    return {"rows": rows, "flat": flat(build, folder, cores, 100_000 if quick else 1_000_000, 20 if quick else 1000, tell)}
