"""Upstreams over TCP and TLS (RFC 7766, RFC 7858): real servers, and scripted ones that do what they should not."""
import json
import os
import threading
import time

import dns.edns
import dns.flags
import pytest

from client import Stream, addresses, ask, extended_errors, query, rcode
from netns import eventually
from rig import DEFAULT_SERVER, RIGHT_OUT, SERVER, SERVER2, SERVER3, Rig, upstream
from servers import Nsd, ScriptedServer
from streams import Authority, StreamServer, TlsNsd, TlsUnbound, echo

LARGE = "\n".join(f'large 60 TXT "{i:03} {"x" * 200}"' for i in range(40))
ZONE = f"@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n* 60 A 192.0.2.53\n{LARGE}\n"
RULES = ["script.test forward script", "pair.test forward pair", "unbound.test forward unbound", "nsd.test forward nsd",
         "tcp.test forward tcp", "udp.test forward udp"]


def tls(name, *targets, ca, tls_name="dns.test", **keys):
    return upstream(name, *targets, protocol='"tls"', tls_name=f'"{tls_name}"', tls_ca=f'"{ca.certificate}"', **keys)


class Gateway(Rig):
    """A rig with an authority, real servers, and a scripted one."""

    def bring_up(self):
        self.ca = Authority(self.folder / "ca")
        self.other_ca = Authority(self.folder / "other", "other")
        self.pair = self.ca.sign("server")
        self.script = self.add(StreamServer(self.right, SERVER2, pair=self.pair))
        self.second = self.add(StreamServer(self.right, SERVER3, pair=self.pair))
        unbound_zone = ("unbound.test.", ["a.unbound.test. 60 A 192.0.2.7"])
        self.unbound = self.add(TlsUnbound(self.right, self.folder / "unbound", [DEFAULT_SERVER], unbound_zone, self.pair))
        self.nsd = self.add(TlsNsd(self.right, self.folder / "nsd", [SERVER], ("test.", ZONE), self.pair))
        self.nsd.wait_ready("test.")
        self.unbound.wait_ready("unbound.test.")
        return self.start(self.text())

    def text(self, **script):
        keys = {"ca": self.ca, "timeout_ms": 400, "ttl": "{ failure = 1 }", **script}
        return self.config(rules=RULES, default="nsd", upstreams="".join([
            tls("script", SERVER2, **keys), tls("pair", SERVER2, SERVER3, policy='"ordered"', **keys),
            tls("unbound", DEFAULT_SERVER, ca=self.ca), tls("nsd", SERVER, ca=self.ca),
            upstream("tcp", SERVER, protocol='"tcp"'), upstream("udp", SERVER)]))

    def target(self, name="script"):
        return next(u for u in self.shuntd.json("upstreams")["upstreams"] if u["name"] == name)["targets"][0]


@pytest.fixture(scope="module")
def gateway():
    rig = Gateway()
    try:
        yield rig.bring_up()
    finally:
        rig.close()


def forget(gateway):
    """Targets without a past: no connection, no backoff, no session."""
    gateway.reload(gateway.text(tls_name="other.test"))
    gateway.reload(gateway.text())


@pytest.fixture(autouse=True)
def as_it_was(gateway):
    """Each test finds the scripted servers good, and targets without a past."""
    for server in (gateway.script, gateway.second):
        server.handler = echo
        server.present(gateway.pair)
    forget(gateway)
    gateway.shuntd.ctl("cache", "flush")
    for server in (gateway.script, gateway.second):
        server.asked.clear()
        server.handshakes.clear()
        server.accepted = 0


def told(gateway):
    """What clients asked. Targets that share the server's address are probed, each over a connection of its own, whenever they were idle."""
    return [asked for asked in gateway.script.queries() if asked.text != ""]


def answered(gateway, name, **options):
    response = ask(gateway.left, name, **options)
    assert response is not None and rcode(response) == "NOERROR", response
    return response


def test_real_servers_are_asked_over_tls(gateway):
    before = gateway.counter("handshakes_full", "upstream streams")
    assert addresses(answered(gateway, "a.unbound.test")) == ["192.0.2.7"]
    assert addresses(answered(gateway, "a.nsd.test")) == ["192.0.2.53"]
    assert gateway.counter("handshakes_full", "upstream streams") == before + 2
    for i in range(20):
        answered(gateway, f"n{i}.nsd.test")
    assert gateway.counter("handshakes_full", "upstream streams") == before + 2, "a connection that works is kept"


def test_a_real_server_is_asked_over_tcp(gateway):
    before = gateway.counter("connections_opened")
    for i in range(10):
        assert addresses(answered(gateway, f"n{i}.tcp.test")) == ["192.0.2.53"]
    assert before + 1 <= gateway.counter("connections_opened") <= before + 2, "another upstream's probe may open one, too"


def test_questions_that_leave_together_are_all_read_by_a_real_server(gateway):
    """NSD reads one message of a TLS record, and waits for the next record then."""
    def sums():
        target = gateway.target("nsd")
        return target["timeouts"], target["answered"]

    answered(gateway, "first.nsd.test")
    timeouts, before = sums()
    with gateway.left.socket(address="10.10.0.10") as sock:
        for burst in range(5):
            for i in range(40):
                sock.sendto(query(f"burst{burst}-{i}.nsd.test").to_wire(), ("10.10.0.2", 53))
            sock.settimeout(0.7)  # less than the time for one try
            for _ in range(40):
                sock.recv(4096)
    assert sums()[0] == timeouts and sums()[1] >= before + 200


def test_the_default_upstream_may_be_one(gateway):
    assert addresses(answered(gateway, "a.nowhere.test")) == ["192.0.2.53"]


def test_explain_names_protocol_and_certificate(gateway):
    upstream_of = gateway.shuntd.json("explain", "a.script.test", "--client", "10.10.0.10")["upstream"]
    assert upstream_of["protocol"] == "tls" and upstream_of["tls_name"] == "dns.test"
    assert "over TLS, as dns.test" in gateway.shuntd.ctl("explain", "a.script.test", "--client", "10.10.0.10").stdout


def test_answers_are_cached_and_equal_questions_share_one(gateway):
    release = threading.Event()

    def handler(connection):
        while asked := connection.read():
            release.wait(3)
            connection.send(asked.answer("300 A 192.0.2.1"))

    gateway.script.handler = handler
    threads = [threading.Thread(target=answered, args=(gateway, "same.script.test")) for _ in range(5)]
    for thread in threads:
        thread.start()
    eventually(lambda: gateway.script.queries("same.script.test"), 3)
    time.sleep(0.1)
    release.set()
    for thread in threads:
        thread.join()
    answered(gateway, "same.script.test")
    assert len(gateway.script.queries("same.script.test")) == 1


def test_questions_are_padded_and_padding_stays_on_its_hop(gateway):
    """To 128 octets over TLS (RFC 8467 section 4.1), never over TCP; and what a target sends of the kind is ours alone."""
    def handler(connection):
        while asked := connection.read():
            answer = asked.answer("300 A 192.0.2.1")
            answer.use_edns(0, options=[dns.edns.GenericOption(11, b"\0\x64"), dns.edns.GenericOption(12, bytes(100))])
            connection.send(answer)

    gateway.script.handler = handler
    padded = dns.edns.GenericOption(12, bytes(9))
    for name in ("a.script.test", "a-somewhat-longer-name.script.test"):
        for options in ({"use_edns": 0}, {"use_edns": 0, "options": [padded]}, {}):
            assert not answered(gateway, name, **options).options
    seen = gateway.script.queries()
    assert len(seen) == 2
    for asked in seen:
        assert len(asked.wire) % 128 == 0
        assert 12 in [int(o.otype) for o in asked.message.options]
        assert not any(any(o.data) for o in asked.message.options if o.otype == 12), "zeros (RFC 7830 section 3)"


def test_questions_over_tcp_are_not_padded(gateway):
    server = gateway.add(ScriptedServer(gateway.right, "10.20.0.10", lambda a: a.answer("300 A 192.0.2.1"), stream=True))
    gateway.reload(gateway.text().replace(f'name = "tcp"\ntargets = ["{SERVER}"]', 'name = "tcp"\ntargets = ["10.20.0.10"]'))
    gateway.wait_path("a.tcp.test", "10.10.0.10")
    answered(gateway, "a.tcp.test", use_edns=0, options=[dns.edns.GenericOption(12, bytes(20))])
    seen = server.queries("a.tcp.test")
    assert seen and all(a.stream and 12 not in [int(o.otype) for o in a.message.options] for a in seen)
    gateway.reload(gateway.text())
    gateway.things.remove(server)
    server.close()


def test_a_large_answer_over_tls(gateway):
    cut = ask(gateway.left, "large.test", "TXT", use_edns=0, payload=1232)
    assert cut.flags & dns.flags.TC and not cut.answer
    with Stream(gateway.left) as stream:
        stream.send(query("large.test", "TXT"))
        whole = stream.receive()
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 40


def test_a_large_answer_is_never_asked_for_in_the_clear(gateway):
    def handler(connection):
        while asked := connection.read():
            connection.send(asked.answer(*[f'300 TXT "{i:03} {"x" * 200}"' for i in range(40)]))

    gateway.script.handler = handler
    clear = gateway.add(StreamServer(gateway.right, SERVER2, port=53))
    with Stream(gateway.left) as stream:
        stream.send(query("large.script.test", "TXT"))
        assert len(stream.receive().answer[0]) == 40
    assert clear.accepted == 0
    assert len(gateway.script.queries("large.script.test")) == 2
    clear.close()


def test_truncated_udp_answers_are_asked_again_over_a_kept_connection(gateway):
    def truncated(asked):
        if asked.stream:
            return asked.answer("300 A 192.0.2.1", "300 A 192.0.2.2")
        answer = asked.answer()
        answer.flags |= dns.flags.TC
        return answer

    server = gateway.add(ScriptedServer(gateway.right, "10.20.0.10", truncated, stream=True))
    text = gateway.text().replace(f'name = "udp"\ntargets = ["{SERVER}"]', 'name = "udp"\ntargets = ["10.20.0.10"]')
    gateway.reload(text)
    gateway.wait_path("a.udp.test", "10.10.0.10")
    for i in range(5):
        with Stream(gateway.left) as stream:
            stream.send(query(f"n{i}.udp.test"))
            assert addresses(stream.receive()) == ["192.0.2.1", "192.0.2.2"]
    over_tcp = [asked for asked in server.asked if asked.stream]
    assert len(over_tcp) == 5 and len({asked.source for asked in over_tcp}) == 1


def expect_refusal(gateway, why):
    """No query is told to a server with the wrong certificate; the client and the operator learn of it."""
    response = ask(gateway.left, "a.script.test", use_edns=0)
    assert rcode(response) == "SERVFAIL" and extended_errors(response) == [22]
    assert not told(gateway)
    assert gateway.target()["last_failure"] == why
    for i in range(5):
        ask(gateway.left, f"n{i}.script.test")
    log = gateway.shuntd.log_path.read_text(encoding="utf-8")
    return log.count(f"upstream script: target {SERVER2}:853: {why}")


def test_a_certificate_for_another_name(gateway):
    gateway.reload(gateway.text(tls_name="other.test"))
    assert expect_refusal(gateway, 'certificate: not for "other.test"') == 1


def test_an_expired_certificate(gateway):
    gateway.script.present(gateway.ca.sign("expired", expired=True))
    forget(gateway)  # a probe may have found the server while it was good
    assert expect_refusal(gateway, "certificate: certificate has expired") == 1


def test_an_untrusted_authority(gateway):
    gateway.script.present(gateway.other_ca.sign("stranger"))
    forget(gateway)
    assert expect_refusal(gateway, "certificate: unable to get local issuer certificate") == 1


def test_a_server_without_tls(gateway):
    gateway.script.context = None
    gateway.script.handler = lambda connection: connection.send_octets(b"220 mail.test ESMTP\r\n")
    assert expect_refusal(gateway, "TLS: wrong version number") == 1


def test_a_server_that_closes_during_the_handshake(gateway):
    gateway.script.context = None
    gateway.script.handler = lambda connection: connection.socket.recv(10000)
    assert expect_refusal(gateway, "closed during the TLS handshake") == 1


def test_a_mended_certificate_brings_the_target_up_by_itself(gateway):
    gateway.script.present(gateway.ca.sign("broken", expired=True))
    eventually(lambda: ask(gateway.left, f"n{time.monotonic_ns()}.script.test") and gateway.target()["state"] == "down", 15,
               "the target to be down")
    gateway.script.present(gateway.pair)
    eventually(lambda: gateway.target()["state"] == "up", 15, "the target to be up")
    assert gateway.target()["last_failure"] == ""
    answered(gateway, "mended.script.test")


def test_a_server_that_closes_after_each_answer(gateway):
    def handler(connection):
        if asked := connection.read():
            connection.send(asked.answer("300 A 192.0.2.1"))

    gateway.script.handler = handler
    for i in range(10):
        answered(gateway, f"n{i}.script.test")
    results = []
    threads = [threading.Thread(target=lambda i=i: results.append(ask(gateway.left, f"m{i}.script.test"))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [rcode(r) for r in results] == ["NOERROR"] * 8


def test_answers_out_of_order(gateway):
    def handler(connection):
        first = connection.read()
        second = connection.read()
        for asked in (second, first):
            connection.send(asked.answer(f"300 A 192.0.2.{1 if asked.text.startswith('first') else 2}"))
        echo(connection)

    gateway.script.handler = handler
    results = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: addresses(answered(gateway, f"{n}.script.test"))}))
               for n in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"first": ["192.0.2.1"], "second": ["192.0.2.2"]}
    assert len({asked.source for asked in told(gateway)}) == 1, "one connection for both"


@pytest.mark.parametrize("fault", ["reset midway", "half an answer", "garbage", "garbage below TLS", "a length and no more",
                                   "silent after the handshake", "wrong ids", "a length of zero"])
def test_a_faulty_target_is_left_for_the_next(gateway, fault):
    def handler(connection):
        while asked := connection.read():
            wire = asked.answer("300 A 192.0.2.66").to_wire()
            framed = len(wire).to_bytes(2, "big") + wire
            if fault == "reset midway":
                connection.send_octets(framed[:20])
                return connection.reset()
            if fault == "half an answer":
                return connection.send_octets(framed[:-5])
            if fault == "garbage":
                connection.send_octets(b"\0\x40" + b"\xc0" * 64)
            elif fault == "garbage below TLS":
                os.write(connection.socket.fileno(), b"x" * 100)
            elif fault == "a length and no more":
                connection.send_octets(b"\xff\xff")
            elif fault == "wrong ids":
                connection.send_octets(framed[:2] + bytes([framed[2] ^ 1]) + framed[3:])
            elif fault == "a length of zero":
                connection.send_octets(b"\0\0")
        return None

    gateway.script.handler = handler
    start = time.monotonic()
    for i in range(3):
        assert addresses(answered(gateway, f"n{i}.pair.test")) == ["192.0.2.1"]
    assert time.monotonic() - start < 3
    assert gateway.second.queries("n0.pair.test")
    gateway.script.handler = echo
    eventually(lambda: ask(gateway.left, f"n{time.monotonic_ns()}.script.test") and gateway.target()["state"] == "up", 15,
               "the target to be up again")


def test_sessions_are_resumed(gateway):
    resumed = {}

    def handler(connection):
        if asked := connection.read():
            resumed[asked.text] = connection.socket.session_reused  # probes connect as well
            connection.send(asked.answer("300 A 192.0.2.1"))

    gateway.script.handler = handler
    for i in range(4):
        answered(gateway, f"n{i}.script.test")
        time.sleep(0.05)
    assert [resumed[f"n{i}.script.test"] for i in range(4)] == [False, True, True, True]
    assert gateway.counter("handshakes_resumed", "upstream streams") >= 3


def test_a_reload_keeps_connections(gateway):
    answered(gateway, "before.script.test")
    gateway.reload(gateway.text() + '\n[[rules]]\nname = "more"\nlist = ["x.example block nxdomain"]\n')
    answered(gateway, "after.script.test")
    before, after = told(gateway)
    assert before.source == after.source


def test_questions_come_from_the_outbound_address(gateway):
    sources = []

    def handler(connection):
        sources.append(connection.socket.getpeername()[0])
        echo(connection)

    gateway.script.handler = handler
    answered(gateway, "source.script.test")
    assert set(sources) == {RIGHT_OUT}


def test_an_upstream_without_outbound_is_asked_through_the_host(gateway):
    server = gateway.add(StreamServer(gateway.gw, "127.0.0.9", pair=gateway.pair))
    text = gateway.text().replace('"tcp.test forward tcp"', '"tcp.test forward tcp", "host.test forward host"')
    gateway.reload(text.replace('[[rules]]\nname = "main"',
                                tls("host", "127.0.0.9", ca=gateway.ca, outbound=None) + '\n[[rules]]\nname = "main"'))
    answered(gateway, "a.host.test")
    assert len(server.queries("a.host.test")) == 1


def test_the_servers_of_one_name_do_not_share_answers_with_another(gateway):
    """The TLS name is part of what an answer came from: one verified otherwise is not served."""
    answered(gateway, "origin.script.test")
    gateway.reload(gateway.text(tls_name="other.test"))
    assert rcode(ask(gateway.left, "origin.script.test")) == "SERVFAIL"


def test_a_reload_with_a_bad_trust_file_changes_nothing(gateway):
    bad = gateway.folder / "bad.pem"
    bad.write_text("no certificate\n", encoding="ascii")
    gateway.write(gateway.text().replace(str(gateway.ca.certificate), str(bad)))
    done = gateway.shuntd.ctl("reload", check=False)
    assert done.returncode == 78 and "holds no certificate in PEM form" in done.stderr
    answered(gateway, "still.script.test")


def test_stats_and_metrics_tell_of_streams(gateway):
    answered(gateway, "metrics.script.test")
    text = gateway.shuntd.ctl("metrics").stdout
    assert "shunt_stream_connections " in text and "shunt_stream_latency_seconds_bucket" in text
    assert json.dumps(gateway.shuntd.json("upstreams")).count("last_failure") >= 6
