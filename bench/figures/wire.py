"""The path that peers can use: one veth pair between a generator and a server, a second one to an upstream server behind it.

    ask                         gw                          back
    generator 10.8.0.10 ---- front 10.8.0.2 | 10.7.0.3 behind ---- 10.7.0.53 NSD

Each server takes its turn in `gw`. Those that live on the kernel's sockets get addresses on the interfaces; shunt gets none, as it is the
only one to answer there. Transmit checksum offload is off at all ends, or frames would arrive with checksums that nobody finished.
"""
from __future__ import annotations

import contextlib
import pathlib
import re
import signal
import time
from collections.abc import Iterator

from netns import Namespace, wire
from processes import BenchError, Program, output, program

CLIENT, SERVER, OUTBOUND, UPSTREAM = "10.8.0.10", "10.8.0.2", "10.7.0.3", "10.7.0.53"
ZONE = "example.com"
NAMES = 10_000
FRONT, BEHIND = "front", "behind"

_ZONE_TEXT = f"""$ORIGIN {ZONE}.
$TTL 86400
@ SOA ns admin 1 3600 600 86400 60
  NS ns
ns A {UPSTREAM}
* A 192.0.2.1
"""
BUSY_TRIES = 5  # kxdpgun may find the interface still taken by the one before


class Wire:
    """The three namespaces, the two pairs, and the files that servers and generators share."""

    def __init__(self, folder: pathlib.Path, generator_core: int, server_core: int):
        self.folder, self.generator_core, self.server_core = folder, generator_core, server_core
        self.zone = folder / "example.zone"
        self.zone.write_text(_ZONE_TEXT, encoding="ascii")
        self.queries = folder / "queries"
        self.queries.write_text("".join(f"n{i:06}.{ZONE} A\n" for i in range(NAMES)), encoding="ascii")
        self.namespaces = contextlib.ExitStack()
        try:
            self.ask, self.gw, self.back, self.mirror = (self._namespace(n) for n in ("ask", "gw", "back", "peers-mirror"))
            self.gw.sysctl("net.ipv6.conf.default.disable_ipv6=1")
            wire(self.ask, "eth0", self.gw, FRONT)
            wire(self.back, "eth0", self.gw, BEHIND)
            self.ask.ip("address", "add", f"{CLIENT}/16", "dev", "eth0")
            self.back.ip("address", "add", f"{UPSTREAM}/16", "dev", "eth0")
        except BaseException:
            self.close()
            raise

    def _namespace(self, label: str) -> Namespace:
        namespace = Namespace(label)
        self.namespaces.callback(namespace.close)
        return namespace

    def close(self) -> None:
        self.namespaces.close()

    @contextlib.contextmanager
    def kernel_addresses(self) -> Iterator[None]:
        """Server and outbound address on the gateway's interfaces, for servers that aren't shunt."""
        for address, interface in ((SERVER, FRONT), (OUTBOUND, BEHIND)):
            self.gw.ip("address", "add", f"{address}/16", "dev", interface)
        try:
            yield
        finally:
            for interface in (FRONT, BEHIND):
                self.gw.ip("address", "flush", "dev", interface)

    def inside(self, namespace: Namespace, core: int) -> list[object]:
        """The words in front of a command that is to run in a namespace, on a core."""
        return ["ip", "netns", "exec", namespace.name, "taskset", "-c", str(core)]

    @contextlib.contextmanager
    def nsd(self) -> Iterator[Program]:
        """The upstream server. It shares the generator's core: the gateway's is measured."""
        conf = self.folder / "nsd.conf"
        # Debian's default of 200 answers a second and netblock would be everyone's limit.
        conf.write_text(f"""
server:
  ip-address: {UPSTREAM}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{self.folder}"
  pidfile: "{self.folder}/nsd.pid"
  xfrdfile: "{self.folder}/nsd.xfrd"
  zonelistfile: "{self.folder}/nsd.list"
  xfrdir: "{self.folder}"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {ZONE}
  zonefile: {self.zone.name}
""", encoding="ascii")
        with program([*self.inside(self.back, self.generator_core), "/usr/sbin/nsd", "-d", "-c", conf], self.folder / "nsd.log",
                     ending=signal.SIGTERM) as nsd:
            self.wait_answer(nsd, self.back, UPSTREAM)
            yield nsd

    def wait_answer(self, server: Program, namespace: Namespace, address: str) -> None:
        """Until `address` answers for a name of the zone."""
        query = ["ip", "netns", "exec", namespace.name, "dig", "+time=1", "+tries=1", "+norecurse", f"@{address}", f"n000000.{ZONE}", "A"]
        server.expect(lambda: "192.0.2.1" in output(query, 10, allowed=(0, 9)), 30, f"it answered at {address}")

    # --- generators -----------------------------------------------------------------------------------------------

    def prime(self) -> None:
        """Asks for each name three times, slowly enough for any server: all are in the cache then, and the client knows the server's MAC."""
        self._dnsperf("-n", 3, "-c", 4, "-q", 50, "-t", 2, "-l", 30)

    def dnsperf(self, seconds: float) -> dict[str, float]:
        """As fast as answers come, with 400 queries under way: NOERROR answers a second, and the share without one."""
        text = self._dnsperf("-l", int(seconds), "-c", 8, "-q", 400, "-t", 1)
        sent, good = _number(r"Queries sent: +(\d+)", text), _number(r"NOERROR (\d+)", text)
        return {"queries_per_second": good / _number(r"Run time \(s\): +([\d.]+)", text), "lost_share": 1 - good / max(1.0, sent),
                "latency_us": _number(r"Average Latency \(s\): +([\d.]+)", text) * 1e6}

    def _dnsperf(self, *options: object) -> str:
        return output([*self.inside(self.ask, self.generator_core), "dnsperf", "-s", SERVER, "-d", self.queries, *options], 60)

    def kxdpgun(self, rate: int, seconds: float) -> dict[str, float]:
        """At a fixed rate, by AF_XDP on the client's end: NOERROR answers a second, and the share without one."""
        seconds = max(1, int(seconds))
        for _ in range(BUSY_TRIES):
            text = output([*self.inside(self.ask, self.generator_core), "kxdpgun", "-t", seconds, "-Q", rate, "-i", self.queries,
                           "-I", "eth0", SERVER], seconds + 30)
            if "resource is busy" not in text:
                break
            self.ask.ip("link", "set", "dev", "eth0", "xdp", "off")  # the run before is not quite gone
            time.sleep(1)
        sent, good = _number(r"total queries: +(\d+)", text), _number(r"responded NOERROR: +(\d+)", text)
        return {"wanted_per_second": rate, "sent_per_second": sent / seconds, "queries_per_second": good / seconds,
                "lost_share": 1 - good / max(1.0, sent)}


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise BenchError(f"no '{pattern}' in the generator's output:\n{text[-1500:]}")
    return float(found.group(1))
