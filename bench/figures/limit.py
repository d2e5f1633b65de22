"""The limit of a memif link: dpdk-testpmd flowgen on the generator's core against dpdk-testpmd 5tswap on the worker's. 5tswap exchanges
MACs, addresses and ports and sends every frame back: no answer can be faster than that.

Both live for the whole measurement but are paused (SIGSTOP) while shunt has the cores, so that a turn of the limit takes two seconds and stands
right before and right after each turn of shunt's.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import socket
import time
from collections.abc import Iterator

from processes import BenchError, Program, program, seconds_run

START_SECONDS = 20.0
SETTLE_SECONDS = 0.2
MEMORY_MB = 256
RING = "rsize=12,socket-abstract=no"


class Telemetry:
    """DPDK's telemetry socket, for the frames that a program's port 0 has received so far."""

    def __init__(self, path: pathlib.Path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.socket.recv(16384)  # its greeting

    @classmethod
    def of(cls, path: pathlib.Path) -> Telemetry | None:
        """None as long as nobody listens there."""
        try:
            return cls(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def received(self) -> int:
        self.socket.send(b"/ethdev/stats,0")
        return int(json.loads(self.socket.recv(16384))["/ethdev/stats"]["ipackets"])

    def close(self) -> None:
        self.socket.close()


@dataclasses.dataclass
class Turn:
    """Frames a second that came back to the sender, and the share of its core that the less lucky end had."""
    rate: float
    core_share: float


@dataclasses.dataclass
class Limit:
    """The pair, paused; `measure` lets it run for a turn."""
    sender: Program
    swapper: Program
    telemetry: Telemetry

    def pause(self) -> None:
        self.sender.pause()
        self.swapper.pause()

    def measure(self, seconds: float) -> Turn:
        """Lets the pair run."""
        self.swapper.resume()
        self.sender.resume()
        try:
            time.sleep(SETTLE_SECONDS)
            began, before, ran = time.monotonic(), self.telemetry.received(), self._ran()
            time.sleep(seconds)
            ended, after, run = time.monotonic(), self.telemetry.received(), self._ran()
        except OSError as error:
            raise BenchError(f"testpmd does not tell its counters: {error}\n{self.sender.tail()}") from None
        finally:
            self.pause()
        if after == before:
            raise BenchError(f"no frame comes back from testpmd:\n{self.sender.tail()}")
        took = ended - began
        return Turn((after - before) / took, min((b - a) / took for a, b in zip(ran, run)))

    def _ran(self) -> list[float]:
        return [sum(seconds_run(end.pid).values()) for end in (self.sender, self.swapper)]


def _testpmd(folder: pathlib.Path, mode: str, core: int, role: str, frame_octets: int):
    return program(["dpdk-testpmd", "--lcores", f"0@{core},1@{core}", "-m", MEMORY_MB, "--in-memory", "--no-pci",
                    "--file-prefix", mode, "--vdev", f"net_memif0,role={role},socket={folder}/limit.sock,{RING}", "--",
                    f"--forward-mode={mode}", f"--txpkts={frame_octets}", "--nb-cores=1", "--total-num-mbufs=32768",
                    "--stats-period", 1, "--no-flush-rx"],  # without a period it would end with its standard input
                   folder / f"testpmd-{mode}.log", environment={"RUNTIME_DIRECTORY": str(folder)})


@contextlib.contextmanager
def limit(folder: pathlib.Path, generator_core: int, worker_core: int, frame_octets: int) -> Iterator[Limit]:
    """The pair, for frames of one size."""
    link, counters = folder / "limit.sock", folder / "dpdk" / "flowgen" / "dpdk_telemetry.v2"
    link.unlink(missing_ok=True)
    with _testpmd(folder, "5tswap", worker_core, "server", frame_octets) as swapper:
        swapper.expect(link.exists, START_SECONDS, "its link's socket was there")
        with _testpmd(folder, "flowgen", generator_core, "client", frame_octets) as sender:
            with contextlib.closing(sender.expect(lambda: Telemetry.of(counters), START_SECONDS, "it told its counters")) as telemetry:
                sender.expect(lambda: telemetry.received() > 0, START_SECONDS, "frames came back")
                pair = Limit(sender, swapper, telemetry)
                pair.pause()
                yield pair
