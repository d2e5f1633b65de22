"""Floods of TLS and HTTPS: whatever a client does there, UDP is answered as before, the control plane goes on, a good client of TLS is
served, and memory stays what it is."""
import contextlib
import itertools
import ssl
import statistics
import struct
import threading
import time

import pytest

from client import addresses, ask, query
from netns import eventually
from rig import CLIENT2, LEFT_IN, SERVER, Rig
from servers import ScriptedServer
from tls import (CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Authority,
                 TlsStream, config, frame, post, post_fields)

LIMITS = "tcp_connections = 300"
FLOODERS = [f"10.10.0.{host}" for host in range(20, 28)]
SECONDS = 2.5


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.authority = Authority(rig.folder)
        rig.authority.issue("gw", 1001)
        for address in FLOODERS:
            rig.left.ip("address", "add", f"{address}/24", "dev", "eth0")
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer(*[f"300 A 192.0.2.{i}" for i in range(1, 60)]), stream=True))
        rig.start(config(rig, limits=LIMITS))
        rig.wait_up("main")
        assert len(addresses(ask(rig.left, "cached.test", use_edns=0))) == 59
        yield rig
    finally:
        rig.close()


def resident(gateway):
    """MiB."""
    with open(f"/proc/{gateway.shuntd.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


class Flood:
    """Runs `attack` (of one address) in a thread for each of `sources`, over and over, until `stop`."""

    def __init__(self, attack, sources):
        self.until = time.monotonic() + SECONDS
        self.rounds = itertools.count()
        self.done = 0
        self.threads = [threading.Thread(target=self._run, args=(attack, source)) for source in sources]

    def _run(self, attack, source):
        while time.monotonic() < self.until:
            with contextlib.suppress(OSError, ssl.SSLError):
                attack(source)
            self.done = next(self.rounds)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join(20)


def endure(gateway, attack, sources=FLOODERS, mebibytes=60):
    """The attack, and what all others see of it meanwhile."""
    before = resident(gateway)
    times, lost, served = [], 0, 0
    with Flood(attack, sources) as flood:
        while time.monotonic() < flood.until:
            for name in ("cached.test", f"fresh{time.monotonic_ns()}.test"):
                asked = time.monotonic()
                response = ask(gateway.left, name, source=CLIENT2, timeout=1, use_edns=0)
                lost += response is None
                times.append(time.monotonic() - asked)
                assert response is None or len(addresses(response)) == 59
            gateway.shuntd.ctl("status")
            with contextlib.suppress(OSError, ssl.SSLError), TlsStream(gateway, source=CLIENT2, timeout=3) as stream:
                stream.send(query("cached.test"))
                served += len(addresses(stream.receive())) == 59
    assert flood.done > 0
    # A wire that is full, and a machine whose cores the flood takes part of, lose a frame before shunt has it.
    assert lost <= 1 + len(times) // 50, f"{lost} of {len(times)} queries over UDP were lost"
    assert statistics.median(times) < 0.1, f"UDP took {statistics.median(times):.3f} s"
    assert served > 0, "no good client of TLS was served"
    with TlsStream(gateway, source=CLIENT2) as stream:
        stream.send(query("cached.test"))
        assert len(addresses(stream.receive())) == 59
    grown = resident(gateway) - before
    assert grown < mebibytes, f"{grown:.0f} MiB more than before"


def connection(gateway, source, port=853):
    return TlsStream(gateway, source=source, context=None, port=port, timeout=1)


def client_hello():
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["dot", "h2"])
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="dns.gw.test").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("octets", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half"])
def test_half_open_connections(gateway, octets):
    def attack(source):
        held = []
        try:
            for i in range(45):
                held.append(connection(gateway, source, (853, 443)[i % 2]))
                held[-1].socket.sendall(octets)
            time.sleep(0.5)
        finally:
            for stream in held:
                stream.socket.close()

    before = gateway.counter("closed_handshake_full", "TLS")
    endure(gateway, attack)
    assert gateway.counter("closed_handshake_full", "TLS") > before
    eventually(lambda: gateway.shuntd.json("status")["streams"][1]["connections"] <= 1, 5, "the connections to go")


def test_handshakes_without_end(gateway):
    hello = client_hello()

    def attack(source):
        held = []
        try:
            for _ in range(40):
                held.append(connection(gateway, source))
                held[-1].socket.sendall(hello)
        finally:
            for stream in held:
                stream.socket.close()

    endure(gateway, attack)


def test_slow_handshakes(gateway):
    hello = client_hello()

    def attack(source):
        with connection(gateway, source) as stream:
            for octet in hello:
                stream.socket.sendall(bytes([octet]))
                time.sleep(0.01)

    endure(gateway, attack)


def test_garbage(gateway):
    def attack(source):
        for garbage in (b"\xff" * 4000, b"\x16\x03\x03\xff\xff" + b"\x01" * 60000, b"GET / HTTP/1.1\r\n\r\n"):
            with connection(gateway, source) as stream:
                stream.socket.sendall(garbage)
                stream.socket.recv(100)

    before = gateway.counter("handshakes_failed", "TLS")
    endure(gateway, attack)
    assert gateway.counter("handshakes_failed", "TLS") > before + 20


def test_clients_that_never_read(gateway):
    wire = query("cached.test").to_wire()
    burst = (struct.pack("!H", len(wire)) + wire) * 400

    def attack(source):
        held = []
        try:
            for _ in range(10):
                held.append(TlsStream(gateway, source=source, timeout=0.3))
                held[-1].socket.sendall(burst)
            for stream in held * 20:
                stream.socket.sendall(burst)
        finally:
            for stream in held:
                stream.socket.close()

    endure(gateway, attack, FLOODERS[:4])


# --- HTTP/2 --------------------------------------------------------------------------------------------------------------

def closed(gateway):
    """Connections that were given up: nghttp2 may be first to lose patience, and to it that is an error."""
    return gateway.counter("closed_flood", "HTTPS") + gateway.counter("closed_error", "HTTPS")


def http_flood(gateway, frames, sources=FLOODERS[:4]):
    def attack(source):
        with TlsStream(gateway, source=source, port=443, timeout=1) as stream:
            stream.socket.sendall(PREFACE + frame(SETTINGS))
            for _ in range(200):
                stream.socket.sendall(frames)
            while stream.socket.recv(65536):
                pass

    before = closed(gateway)
    endure(gateway, attack, sources)
    assert closed(gateway) > before


def test_settings_without_end(gateway):
    http_flood(gateway, frame(SETTINGS, payload=struct.pack("!HI", 3, 100)) * 500)


def test_pings_without_end(gateway):
    http_flood(gateway, frame(PING, payload=b"12345678") * 500)


def test_continuations_without_end(gateway):
    http_flood(gateway, frame(HEADERS, 0, 1, post_fields()) + frame(CONTINUATION, 0, 1, b"") * 500)


def test_resets_without_end(gateway):
    wire = query("cached.test").to_wire()
    frames = b"".join(post(s, wire) + frame(RST_STREAM, 0, s, struct.pack("!I", 8)) for s in range(1, 1000, 2))
    http_flood(gateway, frames)


def test_streams_that_the_server_is_made_to_reset(gateway):
    wire = query("cached.test").to_wire()
    frames = b"".join(post(s, wire, end=False) + frame(WINDOW_UPDATE, 0, s, b"\0\0\0\0") for s in range(1, 1000, 2))
    http_flood(gateway, frames)


def test_data_without_end(gateway):
    http_flood(gateway, frame(HEADERS, END_HEADERS, 1, post_fields(b"/other")) + frame(DATA, 0, 1, b"x" * 100) * 500)


def test_headers_that_grow_in_the_table(gateway):
    # A field of 4,000 octets in the table, and requests of many references to it.
    large = b"\x40\x01a" + b"\x7f" + b"\xa1\x1e" + b"b" * 4000
    bomb = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, s, post_fields() + b"\xbe" * 8000) for s in range(3, 200, 2))
    http_flood(gateway, frame(HEADERS, END_HEADERS | END_STREAM, 1, post_fields() + large) + bomb)


def test_windows_that_never_open(gateway):
    wire = query("cached.test").to_wire()

    def attack(source):
        held = []
        try:
            for _ in range(10):
                held.append(TlsStream(gateway, source=source, port=443, timeout=0.5))
                closed_window = frame(SETTINGS, payload=struct.pack("!HI", 4, 0))
                held[-1].socket.sendall(PREFACE + closed_window + b"".join(post(s, wire) for s in range(1, 200, 2)))
            time.sleep(0.5)
        finally:
            for stream in held:
                stream.socket.close()

    endure(gateway, attack, FLOODERS[:4])
