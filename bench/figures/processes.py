"""Programs that a measurement starts: pinned, logged to a file, paused and resumed, and ended whatever happens."""
from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

PR_SET_PDEATHSIG = 1
KERNEL_THREADS = 2  # their common parent
ROOT = pathlib.Path(__file__).resolve().parents[2]
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


class BenchError(Exception):
    """A measurement that cannot be made; the message says why."""


def until(condition: Callable[[], T], seconds: float, what: str, interval: float = 0.02) -> T:
    """Polls until `condition()` is true, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise BenchError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(interval)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A program in the background. Its standard output and error go to one log, unless `stdout` is a file of its own."""

    def __init__(self, command: Sequence[object], log: pathlib.Path, core: int | None = None, stdout: pathlib.Path | None = None,
                 ending: signal.Signals = signal.SIGINT, environment: dict[str, str] | None = None):
        words = [str(c) for c in command]
        self.name, self.log, self.ending = pathlib.Path(words[0]).name, log, ending
        self.paused = False
        if core is not None:
            words = ["taskset", "-c", str(core), *words]
        with open(log, "wb") as errors, contextlib.ExitStack() as files:
            out = files.enter_context(open(stdout, "wb")) if stdout else errors
            # pylint: disable-next=consider-using-with,subprocess-popen-preexec-fn  # no threads here; it must not outlive this process
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, preexec_fn=_die_with_parent,
                                            env={**os.environ, **(environment or {})})

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])

    def expect(self, condition: Callable[[], T], seconds: float, what: str) -> T:
        """Waits for `condition`, as long as the program runs."""
        def look() -> T:
            value = condition()
            if not value and not self.running() and not (value := condition()):
                raise BenchError(f"{self.name} ended with {self.process.returncode} before {what}:\n{self.tail()}")
            return value
        try:
            return until(look, seconds, what)
        except BenchError as error:
            raise BenchError(f"{error}\n{self.name}: {self.tail()}") from None

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def close(self) -> None:
        if self.running() and self.paused:
            self.resume()
        for sig, patience in ((self.ending, 8.0), (signal.SIGKILL, 5.0)):
            if not self.running():
                return
            self.process.send_signal(sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)


@contextlib.contextmanager
def program(command: Sequence[object], log: pathlib.Path, **options: Any) -> Iterator[Program]:
    """A Program for the length of a `with`."""
    started = Program(command, log, **options)
    try:
        yield started
    finally:
        started.close()


def output(command: Sequence[object], seconds: float, allowed: tuple[int, ...] = (0,)) -> str:
    """What a command prints, error output included; it has `seconds` to end."""
    words = [str(c) for c in command]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds, check=False, errors="replace")
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(words)}: not done after {seconds:g} s") from None
    except OSError as error:
        raise BenchError(f"{words[0]}: {error.strerror}") from None
    if done.returncode not in allowed:
        raise BenchError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


# --- shares of a core ---------------------------------------------------------------------------------------------

def seconds_run(pid: int) -> dict[int, float]:
    """Processor seconds that the threads of a process took so far, by the core each of them ran on last."""
    by_core: dict[int, float] = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            nanoseconds = int((task / "schedstat").read_text(encoding="ascii").split()[0])
            # After the name in parentheses, which may hold anything, come fields 3 and up; the core is field 39.
            core = int((task / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[36])
        except (OSError, IndexError, ValueError):
            continue  # a thread that has just ended
        by_core[core] = by_core.get(core, 0.0) + nanoseconds / 1e9
    return by_core


# Every process that was this one's parent, or a parent's: one that ends hands this one on, and those above it are strangers then.
_ancestors: set[int] = set()


def foreign_seconds() -> dict[int, float]:
    """Processor seconds, children that ended included, of each process that isn't this one, its parents or one that it started; the kernel's
    threads stay out, as they work for all. The first process takes in every orphan, with all that it ever ran: its children are left out."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                pid = int(entry.name)
                parents[pid] = int(fields[1])
                seconds[pid] = sum(map(int, fields[11:13 if pid == 1 else 15])) / os.sysconf("SC_CLK_TCK")

    def line(pid: int) -> set[int]:
        found = set()
        while pid in parents and pid not in found:
            found.add(pid)
            pid = parents[pid]
        return found

    _ancestors.update(line(os.getpid()))
    return {pid: s for pid, s in seconds.items() if pid not in _ancestors and not {os.getpid(), KERNEL_THREADS} & line(pid)}


def foreign_share(before: dict[int, float], after: dict[int, float], seconds: float) -> float:
    """Cores that others had between two looks."""
    return sum(max(0.0, s - before.get(pid, 0.0)) for pid, s in after.items()) / seconds


# --- the machine --------------------------------------------------------------------------------------------------

def _line_of(path: str, start: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(start)), "")


def version_of(command: Sequence[str], pattern: str) -> str:
    """The version that a program tells of itself, "" where there is no such program."""
    try:
        found = re.search(pattern, output(command, 10, allowed=(0, 1, 2)))
    except BenchError:
        return ""
    return found.group(1) if found else "?"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    with open("/proc/loadavg", encoding="ascii") as file:
        load = [float(x) for x in file.read().split()[:3]]
    return {
        "cpu": _line_of("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        # The kernel derives bogomips from the time stamp counter's frequency: two a cycle.
        "tsc_hz": float(_line_of("/proc/cpuinfo", "bogomips") or 0) * 1e6 / 2,
        "memory_gib": round(int(_line_of("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "l3": output(["lscpu"], 10).partition("L3 cache:")[2].split("\n")[0].strip(),
        "kernel": os.uname().release,
        "load_average": load,
        "commit": version_of(["git", "-c", "safe.directory=*", "-C", str(ROOT), "describe", "--always", "--dirty"], r"(\S+)"),
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "versions": {
            "dpdk": version_of(["pkg-config", "--modversion", "libdpdk"], r"(\S+)"),
            "dnsdist": version_of(["dnsdist", "--version"], r"dnsdist (\S+)"),
            "knot": version_of(["knotd", "--version"], r"version (\S+)"),
            "nsd": version_of(["nsd", "-v"], r"NSD version (\S+)"),
            "dnsperf": version_of(["dnsperf", "-h"], r"Version (\S+)"),
            "kxdpgun": version_of(["kxdpgun", "--version"], r"version (\S+)"),
        },
    }
