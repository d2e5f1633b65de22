"""Forwarding as the other side sees it: where questions come from, what an answer must be like to be believed (RFC 5452), and what
happens when targets are silent, late, broken or too talkative."""
import collections
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import pytest

from client import Stream, addresses, ask, extended_errors, query, rcode
from datagrams import BATCH, Burst
from netns import eventually
from rig import (DEFAULT_SERVER, RIGHT_OUT, RIGHT_OUT6, SERVER, SERVER2, SERVER3, SERVER6, Rig, upstream)
from servers import ScriptedServer, echo_address, to_clients

SILENT, SILENT2 = "10.20.0.60", SERVER3


@pytest.fixture(scope="module")
def gateway():
    # Not AF_PACKET: there the kernel puts fragments together before the driver sees them.
    rig = Rig("af_xdp")
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, stream=True))
        rig.second = rig.add(ScriptedServer(rig.right, SERVER2))
        rig.v6 = rig.add(ScriptedServer(rig.right, SERVER6))
        rig.start(rig.config(
            rules=["test forward main", "patient.test forward patient", "both.test forward both", "six.test forward six"],
            upstreams=upstream("main", SERVER, timeout_ms=600) + upstream("patient", SERVER, timeout_ms=2000)
            + upstream("both", SERVER, SERVER2, policy='"ordered"', timeout_ms=400)
            + upstream("six", SERVER6)))
        rig.wait_up("main", "both", "six")
        yield rig
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def plain_handlers(gateway):
    gateway.main.handler = gateway.second.handler = echo_address


def in_background(function):
    result = {}

    def body():
        result["value"] = function()
    thread = threading.Thread(target=body)
    thread.start()

    def finish():
        thread.join(30)
        return result["value"]
    return finish


def test_questions_come_from_the_outbound_endpoint(gateway):
    ask(gateway.left, "source.test")
    assert gateway.main.queries("source.test")[0].source[0] == RIGHT_OUT
    ask(gateway.left, "source.six.test")
    assert gateway.v6.queries("source.six.test")[0].source[0] == RIGHT_OUT6


def test_the_question_that_goes_upstream_is_our_own(gateway):
    ask(gateway.left, "own.test", use_edns=0, payload=4096, options=[dns.edns.GenericOption(10, b"12345678")])
    message = gateway.main.queries("own.test")[0].message
    assert message.edns == 0
    assert message.payload == 1232
    assert not message.options, "a cookie concerns two hops only"
    assert message.flags & dns.flags.RD


def test_ids_and_ports_cannot_be_predicted(gateway):
    """600 queries: ids and ports spread over their whole ranges, and don't follow each other."""
    count = 600
    with gateway.left.socket(address="10.10.0.10") as sock:
        for batch in range(0, count, 30):
            for i in range(batch, batch + 30):
                sock.sendto(query(f"r{i}.random.test").to_wire(), ("10.10.0.2", 53))
            for _ in range(30):
                sock.recv(4096)
    seen = [a for a in gateway.main.asked if a.text.endswith(".random.test")]
    assert len(seen) == count
    for values, low, high in (([a.id for a in seen], 0, 65536), ([a.source[1] for a in seen], 1024, 65536)):
        assert len(set(values)) > count * 0.97, "values repeat more often than chance has them do"
        sixteenths = collections.Counter((v - low) * 16 // (high - low) for v in values)
        expected = count / 16
        # Chi-squared with 15 degrees of freedom: beyond 45 once in 13,000 runs.
        assert sum((sixteenths[i] - expected) ** 2 / expected for i in range(16)) < 45, sixteenths
        steps = collections.Counter((b - a) % 65536 for a, b in zip(values, values[1:]))
        assert steps.most_common(1)[0][1] <= 4, "values follow each other"
    assert len({(a.id, a.source[1]) for a in seen}) == count


@pytest.mark.parametrize("case,counter", [
    ("id", "unknown"), ("question", "wrong_question"), ("type", "wrong_question"), ("not_response", "not_response"),
    ("no_question", "malformed"), ("garbage", "malformed"), ("short", "short_header"), ("pointer_loop", "malformed"),
    ("count", "malformed")])
def test_a_wrong_answer_is_counted_and_the_true_one_still_wins(gateway, case, counter):
    name = f"{case.replace('_', '-')}.wrong.test"

    def forge(asked):
        true = asked.answer("300 A 192.0.2.1").to_wire()
        false = bytearray(asked.answer("300 A 203.0.113.66").to_wire())
        if case == "id":
            false[0:2] = struct.pack("!H", asked.id ^ 0x5555)
        elif case == "question":
            false[13] ^= 1
        elif case == "type":
            end = 12 + len(asked.name.to_wire())
            false[end:end + 2] = b"\0\x1c"
        elif case == "not_response":
            false[2] &= 0x7f
        elif case == "no_question":
            false = false[:12]
            false[4:12] = bytes(8)
        elif case == "garbage":
            false = false[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + b"\xff" * 40
        elif case == "short":
            false = false[:11]
        elif case == "pointer_loop":
            false = asked.answer().to_wire()[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked.wire[12:12 + len(asked.name.to_wire()) + 4]
            false += struct.pack("!HHHIH", 0xc000 | len(false), 1, 1, 300, 4) + b"\xcb\0\x71\x42"
        elif case == "count":
            false[6:8] = b"\0\7"
        return [bytes(false), true]

    gateway.main.handler = forge
    before = gateway.counter(counter, "dropped answers")
    assert addresses(ask(gateway.left, name)) == ["192.0.2.1"]
    assert gateway.counter(counter, "dropped answers") > before


def test_an_answer_from_another_address_is_not_believed(gateway):
    before = gateway.counter("wrong_source")

    def forge(asked):
        gateway.second.socket.sendto(asked.answer("300 A 203.0.113.66").to_wire(), asked.source)
        with gateway.right.socket(address=SERVER, port=5353) as other_port:
            other_port.sendto(asked.answer("300 A 203.0.113.66").to_wire(), asked.source)
        time.sleep(0.05)  # the forgeries are to arrive first
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = to_clients(forge)
    assert addresses(ask(gateway.left, "elsewhere.patient.test")) == ["192.0.2.1"]
    assert gateway.counter("wrong_source") == before + 2


def test_a_flood_of_forgeries_does_not_displace_the_true_answer(gateway):
    """A million, or as many as leave in 3 s, with the right addresses, ports and question, and any id but the right one."""
    sent, before = [], gateway.counter("unknown")

    def forge(asked):
        if sent:  # asked again, after 2 s
            return None
        end = time.monotonic() + 3
        burst = Burst(gateway.main.socket, asked.answer("300 A 203.0.113.66").to_wire(), asked.source)
        wrong = [struct.pack("!H", i) for i in range(65536) if i != asked.id]
        while time.monotonic() < end and sum(sent) < 1_000_000:
            first = len(sent) * BATCH
            for i, buffer in enumerate(burst.buffers):
                buffer[0:2] = wrong[(first + i) % len(wrong)]
            burst.send()
            sent.append(BATCH)
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = to_clients(forge)
    assert addresses(ask(gateway.left, "flood.patient.test")) == ["192.0.2.1"]
    # What the driver's ring had no room for is lost, as on any wire.
    assert 20_000 < gateway.counter("unknown") - before <= sum(sent)


def test_a_silent_target_makes_the_next_one_be_asked(gateway):
    gateway.main.handler = lambda asked: None
    gateway.second.handler = lambda asked: asked.answer("300 A 192.0.2.2")
    start = time.monotonic()
    assert addresses(ask(gateway.left, "first.both.test")) == ["192.0.2.2"]
    assert time.monotonic() - start < 2
    eventually(lambda: gateway.counter("retried") >= 1, what="the retry to be counted")


def test_all_targets_silent_is_servfail_before_the_client_gives_up(gateway):
    gateway.main.handler = lambda asked: None
    start = time.monotonic()
    response = ask(gateway.left, "silent.test", use_edns=0)
    assert time.monotonic() - start < 4
    assert rcode(response) == "SERVFAIL"
    assert extended_errors(response)[0] in (22, 23)
    # The failure is remembered, so that retries don't storm (RFC 9520).
    asked = len(gateway.main.queries("silent.test"))
    assert rcode(ask(gateway.left, "silent.test")) == "SERVFAIL"
    assert len(gateway.main.queries("silent.test")) == asked


def test_a_target_that_comes_back_is_used_again(gateway):
    gateway.main.handler = lambda asked: None
    for i in range(6):
        ask(gateway.left, f"down{i}.test")
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    eventually(lambda: gateway.target_up("main"), 15, "the target to be up again")
    assert addresses(ask(gateway.left, "back.test")) == ["192.0.2.1"]


def test_a_late_answer_is_dropped_and_lands_nowhere(gateway):
    late = []

    def handler(asked):
        if asked.text == "late.test":
            late.append(asked)
            return None
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = handler
    assert rcode(ask(gateway.left, "late.test")) == "SERVFAIL"
    before = gateway.counter("unknown", "dropped answers")
    for asked in late:
        gateway.main.socket.sendto(asked.answer("300 A 203.0.113.66").to_wire(), asked.source)
    eventually(lambda: gateway.counter("unknown", "dropped answers") == before + len(late),
               what="the late answers to be counted")
    eventually(lambda: gateway.target_up("main"), 15, "the target to be up")
    assert addresses(ask(gateway.left, "after.test")) == ["192.0.2.1"]


def test_a_repeated_answer_is_dropped(gateway):
    gateway.main.handler = to_clients(lambda asked: [asked.answer("300 A 192.0.2.1")] * 3)
    before = gateway.counter("unknown", "dropped answers")
    assert addresses(ask(gateway.left, "repeated.test")) == ["192.0.2.1"]
    eventually(lambda: gateway.counter("unknown", "dropped answers") == before + 2, what="the repetitions to be counted")


def test_equal_questions_share_one_wait(gateway):
    hold = threading.Event()

    def handler(asked):
        if asked.text == "shared.test":
            hold.wait(5)
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = handler
    before = gateway.counter("coalesced")
    waiting = [in_background(lambda n=n, k=k: ask(gateway.left, n, **k)) for n, k in
               (("shared.test", {}), ("ShArEd.test", {}), ("SHARED.TEST", {"use_edns": 0}), ("shared.test", {"source": "10.10.0.11"}))]
    eventually(lambda: gateway.counter("coalesced") == before + 3, what="the queries to be joined")
    hold.set()
    assert [addresses(finish()) for finish in waiting] == [["192.0.2.1"]] * 4  # ask() checks each one's spelling and id
    assert len(gateway.main.queries("shared.test")) == 1


def big_answer(asked, count):
    return asked.answer(*[f"300 A 192.0.{i // 250}.{i % 250}" for i in range(count)])


@pytest.mark.parametrize("options,fits", [
    ({}, 28), ({"use_edns": 0, "payload": 512}, 27), ({"use_edns": 0, "payload": 900}, 50), ({"use_edns": 0, "payload": 1232}, 70),
    ({"use_edns": 0, "payload": 4096}, 70)])
def test_an_answer_larger_than_the_clients_buffer_is_truncated(gateway, options, fits):
    """From the upstream and from the cache alike: TC set, question and OPT kept, no records."""
    gateway.main.handler = to_clients(lambda asked: big_answer(asked, int(asked.text.split(".")[0][1:])))
    for count, truncated in ((fits, False), (74, True)):
        if "payload" in options:
            name = f"n{count}.p{options['payload']}.test"
        else:
            name = f"n{count}.plain.test"
        for _ in range(2):
            response = ask(gateway.left, name, **options)
            assert bool(response.flags & dns.flags.TC) == (truncated and options.get("payload", 512) < 1232), (name, count)
            if response.flags & dns.flags.TC:
                assert not response.answer
                assert (response.edns == 0) == bool(options)
            else:
                assert len(addresses(response)) == count


def test_a_truncated_answer_is_passed_on_and_not_kept(gateway):
    def handler(asked):
        if asked.stream:
            return big_answer(asked, 150)
        response = asked.answer()
        response.flags |= dns.flags.TC
        return response

    gateway.main.handler = handler
    for _ in range(2):
        response = ask(gateway.left, "tc.test", use_edns=0)
        assert response.flags & dns.flags.TC
    assert len([a for a in gateway.main.queries("tc.test") if not a.stream]) == 2
    assert not [a for a in gateway.main.queries("tc.test") if a.stream], "a UDP client can't make us ask over TCP"


def test_a_tcp_clients_question_is_asked_over_tcp_where_the_answer_is_truncated(gateway):
    def handler(asked):
        if asked.stream:
            return big_answer(asked, 150)
        response = asked.answer()
        response.flags |= dns.flags.TC
        return response

    gateway.main.handler = handler
    with Stream(gateway.left) as stream:
        stream.send(query("big.test"))
        response = stream.receive()
    assert not response.flags & dns.flags.TC
    assert len(addresses(response)) == 150
    assert [a.source[0] for a in gateway.main.queries("big.test") if a.stream] == [RIGHT_OUT]


def test_fragmented_answers_are_dropped_and_the_first_fragment_counts_as_truncated(gateway):
    """An answer larger than the MTU comes in fragments. A client over UDP is told by TC at once, one over TCP gets the answer whole."""
    gateway.main.handler = to_clients(lambda asked: big_answer(asked, 150))
    dropped, taken = gateway.counter("ip_fragment"), gateway.counter("answers_fragmented")
    start = time.monotonic()
    for _ in range(2):  # it isn't kept
        response = ask(gateway.left, "fragments.test", use_edns=0)
        assert rcode(response) == "NOERROR" and response.flags & dns.flags.TC and not response.answer and response.edns == 0
    assert time.monotonic() - start < 0.5, "at once"
    assert gateway.counter("answers_fragmented") == taken + 2
    assert gateway.counter("ip_fragment") >= dropped + 2, "what comes behind the first"
    assert len(gateway.main.queries("fragments.test")) == 2
    with Stream(gateway.left) as stream:
        stream.send(query("fragments.test"))
        assert len(addresses(stream.receive())) == 150


def test_an_upstream_through_the_host_is_asked_by_the_control_plane(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    # The host of this gateway is its namespace; its loopback plays the VPN.
    with_host = upstream("host", "127.0.0.9", outbound=None)
    server = ScriptedServer(gateway.gw, "127.0.0.9", lambda a: a.answer("300 A 192.0.2.9"))
    try:
        gateway.reload(text.replace('"test forward main"', '"test forward main", "host.test forward host"')
                       .replace('[[rules]]\nname = "main"', with_host + '\n[[rules]]\nname = "main"'))
        for _ in range(2):
            assert addresses(ask(gateway.left, "a.host.test")) == ["192.0.2.9"]
        assert len(server.queries("a.host.test")) == 1
    finally:
        gateway.reload(text)
        server.close()
