"""The servers that take turns on the wire: dnsdist with and without packet cache, Knot DNS by AF_XDP, shunt by AF_XDP."""
from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from gateway import Build, configuration, gateway
from processes import Program, program
from wire import BEHIND, FRONT, OUTBOUND, SERVER, UPSTREAM, ZONE, Wire

Server = Callable[[Wire], contextlib.AbstractContextManager[Program]]


@contextlib.contextmanager
def dnsdist(rig: Wire, cache: bool) -> Iterator[Program]:
    """Debian's dnsdist as a forwarder to NSD. The cache, if any, holds all names many times over."""
    conf = rig.folder / "dnsdist.conf"
    conf.write_text(f"""
setLocal('{SERVER}:53')
setACL('0.0.0.0/0')
setSecurityPollSuffix('')
setMaxUDPOutstanding(65535)
newServer({{address='{UPSTREAM}:53', checkName='ns.{ZONE}.'}})
""" + ("getPool(''):setCache(newPacketCache(100000, {maxTTL=86400}))\n" if cache else ""), encoding="ascii")
    with rig.kernel_addresses(), \
            program([*rig.inside(rig.gw, rig.server_core), "dnsdist", "-C", conf, "--supervised", "--disable-syslog"],
                    rig.folder / "dnsdist.log", ending=signal.SIGTERM) as server:
        rig.wait_answer(server, rig.ask, SERVER)
        yield server


@contextlib.contextmanager
def knot(rig: Wire) -> Iterator[Program]:
    """Debian's Knot DNS, authoritative for the zone, with its XDP mode on the interface."""
    conf = rig.folder / "knot.conf"
    storage = rig.folder / "knot"
    storage.mkdir(exist_ok=True)
    conf.write_text(f"""
server:
  rundir: "{storage}"
  user: root
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  listen: 127.0.0.1@5353
xdp:
  listen: {FRONT}@53
database:
  storage: "{storage}"
log:
  - target: stderr
    any: warning
zone:
  - domain: {ZONE}
    file: "{rig.zone}"
    zonefile-sync: -1
    journal-content: none
""", encoding="ascii")
    with rig.kernel_addresses(), \
            program([*rig.inside(rig.gw, rig.server_core), "/usr/sbin/knotd", "-c", conf], rig.folder / "knot.log", ending=signal.SIGTERM) as server:
        rig.wait_answer(server, rig.ask, SERVER)
        yield server


@contextlib.contextmanager
def shunt(rig: Wire, build: Build, cache: str) -> Iterator[Program]:
    """shunt with a port of one queue on each of the two interfaces, and a million rules like everywhere else."""
    ports = "\n".join(f'[[port]]\nname = "{name}"\ndevice = "net_af_xdp{n},iface={name}"\naddresses = ["{address}/16"]'
                      for n, (name, address) in enumerate(((FRONT, SERVER), (BEHIND, OUTBOUND))))
    config = configuration(rig.folder, rig.server_core, rig.generator_core, ports, SERVER, "10.8.0.0/16", OUTBOUND, UPSTREAM, cache,
                           rig.mirror.name)
    for interface in (FRONT, BEHIND):  # Knot leaves its program behind
        rig.gw.ip("link", "set", "dev", interface, "xdp", "off")
    with gateway(build, rig.folder, config, prefix=["ip", "netns", "exec", rig.gw.name]) as server:
        server.wait_ready()
        rig.wait_answer(server.process, rig.ask, SERVER)
        yield server.process


def servers(build: Build) -> dict[str, Server]:
    return {
        "dnsdist-cached": lambda rig: dnsdist(rig, cache=True),
        "knot-xdp": knot,
        "shunt-cached": lambda rig: shunt(rig, build, cache="64MiB"),
        "dnsdist-forwarded": lambda rig: dnsdist(rig, cache=False),
        "shunt-forwarded": lambda rig: shunt(rig, build, cache="0"),
    }


