"""Floods of TCP connections (RFC 7766 section 6.1, RFC 9210 section 4): limits in all and for each client, less patience under pressure, and
UDP that doesn't notice."""
import struct
import time

import pytest

from client import Dnsperf, Stream, addresses, query
from netns import eventually
from rig import CLIENT, CLIENT2, SERVER, Rig, upstream
from servers import ScriptedServer

CLIENTS = (CLIENT2, "10.10.0.12", "10.10.0.53")  # who flood
IN_ALL, EACH = 40, 15


@pytest.fixture
def gateway():
    rig = Rig()
    try:
        rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1")))
        rig.start(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER),
                             limits=f"tcp_idle_ms = 20000\ntcp_connections_per_client = {EACH}\ntcp_connections = {IN_ALL}"))
        rig.wait_up("main")
        rig.open = []
        yield rig
        for stream in rig.open:
            stream.socket.close()
    finally:
        rig.close()


def flood(rig, count, octets=b""):
    """So many connections, by all who flood in turn, each of which says `octets` and then no more."""
    for i in range(count):
        stream = Stream(rig.left, source=CLIENTS[i % len(CLIENTS)])
        rig.open.append(stream)
        if octets:
            stream.socket.sendall(octets)


def connections(rig):
    return int(next(line for line in rig.shuntd.ctl("metrics").stdout.splitlines() if line.startswith("shunt_tcp_connections "))
               .split()[1])


@pytest.mark.parametrize("octets", [b"", struct.pack("!H", 30) + b"half a query"], ids=["idle", "slow sender"])
def test_a_flood_of_connections_is_let_go_sooner_than_a_few(gateway, octets):
    """Without pressure the patience is 5 s for half a query and, as configured, 20 s for silence."""
    flood(gateway, 20, octets)
    time.sleep(2.5)
    assert connections(gateway) == 20, "a few are borne with"
    flood(gateway, 15, octets)  # more than three quarters of what may be
    start = time.monotonic()
    eventually(lambda: connections(gateway) <= IN_ALL * 3 // 4, 4, "connections to be closed")
    assert time.monotonic() - start < 3
    assert gateway.counter("closed_idle", "TCP") + gateway.counter("closed_slow_sender", "TCP") >= 5
    with Stream(gateway.left, source=CLIENT) as other:
        other.send(query("other.test"))
        assert addresses(other.receive()) == ["192.0.2.1"]


def test_a_flood_of_connections_has_a_limit_in_all_and_udp_is_unaffected(gateway):
    load = Dnsperf(gateway.left, [f"n{i}.test A" for i in range(200)], seconds=4, rate=2000)
    flood(gateway, 3 * EACH)
    eventually(lambda: gateway.counter("connections_full", "TCP") == 3 * EACH - IN_ALL, 3, "connections above the limit to be counted")
    assert gateway.counter("connections_client_limit", "TCP") == 0
    result = load.finish()
    assert (result["lost"], set(result["rcodes"])) == (0, {"NOERROR"}), result["output"]
    # A client who waits for his turn gets it: who says nothing is let go within a second or so.
    def served():
        with Stream(gateway.left, source=CLIENT) as stream:
            try:
                stream.send(query("turn.test"))
                return addresses(stream.receive() or query("none")) == ["192.0.2.1"]
            except OSError:
                return False
    eventually(served, 5, "room for a connection that asks")
