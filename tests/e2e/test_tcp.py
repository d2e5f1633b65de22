"""DNS over TCP (RFC 7766, RFC 9210) at an endpoint: pipelining, order, lengths that lie, slow and idle clients, limits, transfers."""
import socket
import struct
import threading
import time

import dns.message
import dns.rdatatype
import pytest

from client import Stream, addresses, ask, extended_errors, query, rcode
from netns import eventually
from rig import CLIENT2, LEFT_IN, LEFT_IN6, SERVER, Rig, upstream
from servers import ScriptedServer


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1"), stream=True))
        rig.start(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER),
                             limits="tcp_idle_ms = 1500\ntcp_connections_per_client = 5\ntcp_connections = 40\n"
                                    "tcp_queries_per_connection = 20"))
        rig.wait_up("main")
        yield rig
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def plain_handler(gateway):
    gateway.main.handler = lambda a: a.answer("300 A 192.0.2.1")


def frame(message):
    wire = message.to_wire()
    return struct.pack("!H", len(wire)) + wire


@pytest.mark.parametrize("server", [LEFT_IN, LEFT_IN6])
def test_many_queries_on_one_connection(gateway, server):
    with Stream(gateway.left, server) as stream:
        for i in range(50):
            message = query(f"one{i}.test")
            stream.send(message)
            response = stream.receive()
            assert response.id == message.id and addresses(response) == ["192.0.2.1"]


def test_pipelined_queries_are_all_answered(gateway):
    messages = {m.id: m for m in (query(f"pipe{i}.test") for i in range(100))}
    with Stream(gateway.left) as stream:
        stream.socket.sendall(b"".join(frame(m) for m in messages.values()))
        for _ in range(len(messages)):
            response = stream.receive()
            message = messages.pop(response.id)
            assert response.question == message.question
            assert addresses(response) == ["192.0.2.1"]
    assert not messages


def test_a_slow_answer_does_not_hold_up_the_next(gateway):
    hold = threading.Event()

    def handler(asked):
        if asked.text == "slow.test":
            threading.Thread(target=lambda: hold.wait(3) and gateway.main.socket.sendto(
                asked.answer("300 A 192.0.2.2").to_wire(), asked.source)).start()
            return None
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = handler
    with Stream(gateway.left) as stream:
        stream.send(query("slow.test"))
        stream.send(query("fast.test"))
        assert addresses(stream.receive()) == ["192.0.2.1"]
        hold.set()
        assert addresses(stream.receive()) == ["192.0.2.2"]


def test_a_query_may_come_octet_by_octet(gateway):
    with Stream(gateway.left) as stream:
        stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in frame(query("octets.test")):
            stream.socket.sendall(bytes([octet]))
            time.sleep(0.002)  # so that each octet is a segment
        assert addresses(stream.receive()) == ["192.0.2.1"]


@pytest.mark.parametrize("head", [b"\0\0", b"\0\x0b" + b"x" * 11, b"\xff\xff" + b"x" * 100])
def test_a_length_that_no_query_has_closes_the_connection(gateway, head):
    before = gateway.counter("closed_bad_length")
    with Stream(gateway.left) as stream:
        stream.socket.sendall(head)
        assert stream.closed_by_peer(3)
    eventually(lambda: gateway.counter("closed_bad_length") == before + 1, 3, "the connection to be counted")


def test_garbage_is_a_format_error(gateway):
    with Stream(gateway.left) as stream:
        stream.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\xff\xff\xff\xff")
        response = stream.receive()
        assert response.id == 0x1234
        assert rcode(response) == "FORMERR"


def test_an_idle_connection_is_closed(gateway):
    with Stream(gateway.left) as stream:
        start = time.monotonic()
        assert stream.closed_by_peer(6)
        assert 0.8 < time.monotonic() - start < 4
    assert gateway.counter("closed_idle", "TCP") >= 1


def test_a_client_that_never_finishes_its_query_is_closed(gateway):
    before = gateway.counter("closed_slow_sender") + gateway.counter("closed_idle", "TCP")
    with Stream(gateway.left) as stream:
        stream.socket.sendall(frame(query("half.test"))[:7])
        assert stream.closed_by_peer(9)
    assert gateway.counter("closed_slow_sender") + gateway.counter("closed_idle", "TCP") == before + 1


@pytest.mark.parametrize("rdtype", ["AXFR", "IXFR"])
def test_transfers_are_refused_at_once(gateway, rdtype):
    wire = bytearray(query("test", "A", use_edns=0).to_wire())
    end = 12 + len(b"\4test\0")
    wire[end:end + 2] = struct.pack("!H", dns.rdatatype.from_text(rdtype))
    with Stream(gateway.left) as stream:
        stream.send(bytes(wire))
        response = stream.receive()
        assert rcode(response) == "REFUSED"
        assert extended_errors(response) == [21]


def test_one_client_has_its_share_of_connections(gateway):
    before = gateway.counter("connections_client_limit")
    open_ones = [Stream(gateway.left) for _ in range(5)]
    try:
        with Stream(gateway.left) as sixth:
            assert sixth.closed_by_peer(3)
        assert gateway.counter("connections_client_limit") == before + 1
        with Stream(gateway.left, source=CLIENT2) as other:
            other.send(query("other.test"))
            assert addresses(other.receive()) == ["192.0.2.1"]
        assert addresses(ask(gateway.left, "udp.test")) == ["192.0.2.1"]
    finally:
        for stream in open_ones:
            stream.socket.close()


def test_a_reader_that_never_reads_pays_alone(gateway):
    gateway.main.handler = lambda a: a.answer(*[f"300 A 192.0.2.{i}" for i in range(60)])
    ask(gateway.left, "reader.test")
    pipelined = frame(query("reader.test")) * 500
    with Stream(gateway.left) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.socket.settimeout(0.5)
        try:
            for _ in range(40):
                stream.socket.sendall(pipelined)
        except (TimeoutError, ConnectionError):
            pass
        with Stream(gateway.left, source=CLIENT2) as other:
            other.send(query("patient.test"))
            assert len(addresses(other.receive())) == 60
        assert rcode(ask(gateway.left, "reader.test")) == "NOERROR"
        eventually(lambda: gateway.counter("closed_slow_reader") >= 1, 15, "the connection to be closed")


def test_a_connection_that_goes_leaves_its_answers_to_nobody(gateway):
    hold = threading.Event()

    def handler(asked):
        if asked.text == "gone.test":
            hold.wait(3)
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = handler
    asked = len(gateway.main.queries("gone.test"))
    with Stream(gateway.left) as stream:
        stream.send(query("gone.test"))
        eventually(lambda: len(gateway.main.queries("gone.test")) > asked, what="the question to be asked")
    hold.set()
    assert addresses(ask(gateway.left, "here.test")) == ["192.0.2.1"]


def test_answers_over_tcp_are_not_cut(gateway):
    gateway.main.handler = lambda a: a.answer(*[f"300 A 192.0.2.{i}" for i in range(80)])
    with Stream(gateway.left) as stream:
        stream.send(query("long.test"))
        assert len(addresses(stream.receive())) == 80
        stream.send(query("long.test"))  # from the cache
        assert len(addresses(stream.receive())) == 80
