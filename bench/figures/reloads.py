"""Reloads of a million rules under the highest load that the machine takes: over memif, with one generator that never stops. The rates before,
during and after; what was lost; and whether what is asked after a reload has returned is answered by the new rules."""
from __future__ import annotations

import contextlib
import os
import pathlib
import re
import socket
import statistics
import struct
import time

import memif
import scale
from gateway import RULE_FILE, RULE_NAME, RULES, gateway
from processes import BenchError, Program

CASES = ("cached-100k", "forwarded")
FILES = ("flip-0.rules", "flip-1.rules")
PROBE = "probe.filler.test"
PAUSE_US = 50.0  # what a swap may cost a worker that keeps its core
CLIENT, SERVER = "10.9.0.3", "10.9.0.2"
_LINE = re.compile(r"^\s*(\d+) s  sent (\d+)/s  answered (\d+)/s  lost (\d+)  wrong (\d+)", re.MULTILINE)


def write_rules(folder: pathlib.Path) -> None:
    """Two files: the probe's answer is another one, and one in a hundred rules says something else."""
    for number, name in enumerate(FILES):
        with open(folder / name, "w", encoding="ascii") as file:
            file.write(f"{PROBE} answer A 192.0.2.{number} ttl=0\n")
            for rule in range(RULES):
                word = "nodata" if number and rule % 100 == 99 else "nxdomain"
                file.write(f"{RULE_NAME.format(rule)} block {word}\n")


def _turn_to(folder: pathlib.Path, number: int) -> None:
    os.utime(folder / FILES[number % 2])
    link = folder / "flip.rules"
    with contextlib.suppress(FileNotFoundError):
        link.unlink()
    link.symlink_to(FILES[number % 2])


class Prober:
    """Asks for one name over TCP, through the kernel interface that mirrors the port: its queries reach the worker by ring, and go the
    way of all others from there on."""

    def __init__(self, namespace):
        self.socket = namespace.socket(socket.SOCK_STREAM, CLIENT)
        self.socket.settimeout(10)
        self.socket.connect((SERVER, 53))
        self.id = 0

    def ask(self) -> int:
        """The last octet of the address."""
        self.id = self.id % 65535 + 1
        name = b"".join(bytes([len(label)]) + label.encode() for label in PROBE.split(".")) + b"\0"
        message = struct.pack("!6H", self.id, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
        self.socket.sendall(struct.pack("!H", len(message)) + message)
        answer = self._read(struct.unpack("!H", self._read(2))[0])
        if answer[:2] != message[:2] or struct.unpack("!H", answer[6:8])[0] != 1:
            raise BenchError(f"no answer to the probe: {answer.hex()}")
        return answer[-1]

    def _read(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            more = self.socket.recv(count - len(octets))
            if not more:
                raise BenchError("the probe's connection was closed")
            octets += more
        return octets

    def close(self) -> None:
        self.socket.close()


def _seconds(perf: Program) -> list[tuple[int, ...]]:
    """What the generator told so far: (second, sent, answered, lost in all, wrong in all)."""
    return [tuple(map(int, line)) for line in _LINE.findall(perf.log.read_text(encoding="utf-8", errors="replace"))]


def _dropped(shunt) -> int:
    stats = shunt.json("stats") or {"groups": []}
    return sum(row["total"] for group in stats["groups"] if group["title"] in ("dropped frames", "dropped queries") for row in group["rows"])


def _preempted(pid: int, core: int) -> int:
    """How often the thread on that core had to leave it."""
    count = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            text = (task / "status").read_text(encoding="utf-8", errors="replace")
            if re.search(rf"^Cpus_allowed_list:\s+{core}$", text, re.MULTILINE):
                count += int(re.search(r"^nonvoluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1])
    return count


def _phase(rows: list[tuple[int, ...]], lost_before: int) -> dict:
    return {"seconds": len(rows), "sent_per_second": statistics.mean(r[1] for r in rows),
            "answered_per_second": statistics.mean(r[2] for r in rows), "lost": rows[-1][3] - lost_before, "wrong": rows[-1][4]}


def _turns(rig: memif.Rig, shunt, prober: Prober, count: int, seconds: float) -> dict:
    """The reloads, one after another."""
    took, pauses, stale = [], [], 0
    deadline = time.monotonic() + seconds
    before = _preempted(shunt.process.pid, rig.worker_core)
    for number in range(1, count + 1):
        if time.monotonic() > deadline:
            break
        _turn_to(rig.folder, number)
        result = scale.reload(shunt)
        stale += sum(prober.ask() != number % 2 for _ in range(3))
        took.append(result["milliseconds"])
        if result["sets_built"] != 1 or not result["changes"]["rules_changed"]:
            raise BenchError(f"a reload told {result}")
        pauses.append(shunt.json("status")["workers"][0]["last_swap_us"])
    pauses.sort()
    over = sum(pause > PAUSE_US for pause in pauses)
    return {"reloads": len(took), "wanted": count, "median_ms": statistics.median(took), "slowest_ms": max(took), "stale_answers": stale,
            "median_pause_us": statistics.median(pauses), "p90_pause_us": pauses[len(pauses) * 9 // 10], "longest_pause_us": pauses[-1],
            "pauses_over": over, "longest_pause_not_over_us": max(pauses[:len(pauses) - over], default=None),
            "preempted": _preempted(shunt.process.pid, rig.worker_core) - before}


def run(rig: memif.Rig, case: memif.Case, count: int, seconds: float, around: int) -> dict:
    link = rig.folder / "shunt.sock"
    link.unlink(missing_ok=True)
    _turn_to(rig.folder, 0)
    config = rig.config(case).replace(f'file = "{RULE_FILE}"', 'file = "flip.rules"')
    with rig.generator(case, seconds + 3 * around + 20) as perf:
        perf.expect(link.exists, 30, "its link's socket was there")
        with gateway(rig.build, rig.folder, config) as shunt:
            shunt.wait_ready()
            perf.expect(lambda: _seconds(perf), memif.PRIME_SECONDS + 60, "it began to measure")
            with contextlib.closing(Prober(rig.mirror)) as prober:
                if prober.ask() != 0:
                    raise BenchError("the first generation gives a wrong answer")
                began = len(_seconds(perf))
                perf.expect(lambda: len(_seconds(perf)) >= began + around, around + 10, "its measurement went on")
                first, dropped = len(_seconds(perf)), [_dropped(shunt)]
                turns = _turns(rig, shunt, prober, count, seconds)
                dropped.append(_dropped(shunt))
                last = len(_seconds(perf)) + 1  # the second under way belongs to the reloads
                perf.expect(lambda: len(_seconds(perf)) >= last + around, around + 10, "its measurement went on")
                rows = _seconds(perf)
                dropped.append(_dropped(shunt))
            if not shunt.process.running():
                raise BenchError(f"shuntd ended:\n{shunt.process.tail()}")
            perf.process.terminate()
            perf.process.wait(20)
    phases = {"before": _phase(rows[began:first], rows[began - 1][3]), "during": _phase(rows[first:last], rows[first - 1][3]),
              "after": _phase(rows[last:last + around], rows[last - 1][3])}
    return {"title": case.title, "phases": phases, "dropped_by_shunt": {"during": dropped[1] - dropped[0], "after": dropped[2] - dropped[1]},
            **turns}


def measure(rig: memif.Rig, quick: bool, tell) -> dict:
    write_rules(rig.folder)
    cases = {case.key: case for case in memif.CASES}
    found = {}
    for key in CASES:
        result = run(rig, cases[key], 10 if quick else 100, 15 if quick else 80, 3 if quick else 5)
        found[key] = result
        phases = result["phases"]
        tell(f"{result['reloads']} reloads, {result['title']}: " + ", ".join(
            f"{name} {phase['answered_per_second'] / 1e6:.2f} M/s, {phase['lost']} lost" for name, phase in phases.items()) +
            f"; {result['median_ms']:.0f} ms each, longest pause {result['longest_pause_us']:.1f} us, {result['stale_answers']} stale answers")
    return found
