"""What upstreams do wrong, fault by fault, and what clients and operators see of it.

    fault                           test
    silent target                   here: test_a_silent_target_…; test_forward.py: test_a_silent_target_makes_the_next_one_be_asked,
                                    test_all_targets_silent_is_servfail_before_the_client_gives_up
    slow tail                       here: test_a_slow_target_…; test_forward.py: test_a_late_answer_is_dropped_and_lands_nowhere
    wrong id, question, type        test_forward.py: test_a_wrong_answer_is_counted_and_the_true_one_still_wins
    wrong source address, port      test_forward.py: test_an_answer_from_another_address_is_not_believed
    wrong destination               here: test_an_answer_to_another_of_our_ports_or_addresses_is_not_believed
    a flood of forgeries            test_forward.py: test_many_forgeries_do_not_displace_the_true_answer
    QDCOUNT 0, malformed, empty     here: test_nothing_but_malformed_answers_is_servfail; test_forward.py as for wrong ids
    truncated answer                here: test_a_truncated_answer_of_a_real_server; test_forward.py: test_a_truncated_answer_is_passed_on_and_not_kept,
                                    test_a_tcp_clients_question_is_asked_over_tcp_where_the_answer_is_truncated
    larger than the client's buffer test_forward.py: test_an_answer_larger_than_the_clients_buffer_is_truncated, from the cache too
    fragmented answer               test_forward.py: test_fragmented_answers_are_dropped; 1232: test_the_question_that_goes_upstream_is_our_own
    flapping target                 here: test_a_flapping_target_changes_its_state_seldom
    all targets down                here: test_all_targets_down_…
    forged ICMP unreachable         here: test_a_forged_icmp_unreachable_does_not_end_the_wait
    target leads back               here: test_a_target_that_leads_back_…, test_a_target_that_is_shunt_itself_is_refused_by_the_check
    one broken name                 here: test_one_broken_name_does_not_turn_its_target_red
    too much in flight              here: test_limits_in_flight_for_each_client_and_each_target
    connections that break          test_upstream_tls.py
"""
import socket
import statistics
import struct
import threading
import time

import dns.flags
import dns.rcode
import pytest

from client import Stream, addresses, ask, extended_errors, query, rcode
from netns import eventually
from rig import (CLIENT2, DEFAULT_SERVER, LEFT_IN, RIGHT_CLIENT, RIGHT_IN, RIGHT_OUT, SERVER, SERVER2, SERVER3, SHUNTD, Rig, upstream)
from servers import Bind, Nsd, ScriptedServer

BIND6 = "fd20::10"
HEALTH = "{ fall = 2, rise = 2, interval_ms = 200 }"
LARGE = "\n".join(f'large 60 TXT "{i:03} {"x" * 200}"' for i in range(20))
NSD_ZONE = f"@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n* 60 A 192.0.2.53\n{LARGE}\n"
CORP_ZONE = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.5\n"
RULES = ["test forward main", "pair.test forward pair", "nsd.test forward nsd", "servfail.test forward servfail",
         "stale.test forward stale", "default.test forward fallback", "corp forward bind", "loop.test forward bind",
         "tcp.test forward tcp", "host.test forward host"]


class Gateway(Rig):
    """A rig with two scripted targets, and real servers beside them."""

    def bring_up(self):
        self.main = self.add(ScriptedServer(self.right, SERVER, good, stream=True))
        self.second = self.add(ScriptedServer(self.right, SERVER2, good))
        self.internet = self.add(ScriptedServer(self.right, DEFAULT_SERVER, good))
        self.host = self.add(ScriptedServer(self.gw, "127.0.0.9", good))
        self.nsd = self.add(Nsd(self.right, self.folder / "nsd", [SERVER3], ("nsd.test.", NSD_ZONE)))
        self.bind = self.add(Bind(self.right, self.folder / "bind", [RIGHT_CLIENT, BIND6], ("corp", CORP_ZONE), ("loop.test", [RIGHT_IN])))
        self.nsd.wait_ready("nsd.test.")
        self.bind.wait_ready("corp")
        self.start(self.text())
        self.wait_up("main", "pair", "nsd", "servfail", "bind", "tcp", "host", "internet")
        return self

    def text(self, limits=""):
        keys = {"timeout_ms": 250, "health": HEALTH, "ttl": "{ failure = 1 }"}
        return self.config(rules=RULES, default="internet", limits=limits, upstreams="".join([
            upstream("main", SERVER, probe='"alive.main A"', **keys), upstream("pair", SERVER, SERVER2, policy='"fastest"', **keys), upstream("nsd", SERVER3),
            upstream("servfail", SERVER2, on_all_down='"servfail"', **keys), upstream("stale", SERVER2, on_all_down='"stale"', **keys),
            upstream("fallback", SERVER2, on_all_down='"default"', **keys), upstream("bind", RIGHT_CLIENT, **keys),
            upstream("tcp", SERVER, protocol='"tcp"', **keys), upstream("host", "127.0.0.9", outbound=None, **keys),
            upstream("internet", DEFAULT_SERVER)]))

    def target(self, name="main", index=0):
        return next(u for u in self.shuntd.json("upstreams")["upstreams"] if u["name"] == name)["targets"][index]

    def wait_state(self, name, state, timeout=8):
        return eventually(lambda: (t := self.target(name))["state"] == state and t, timeout, f"{name} to be {state}")


def good(asked):
    return asked.answer("300 A 192.0.2.1")


def silent(_asked):
    return None


@pytest.fixture(scope="module")
def gateway():
    rig = Gateway()
    try:
        yield rig.bring_up()
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def as_it_was(gateway):
    """Each test finds the scripted servers good and their targets up."""
    for server in (gateway.main, gateway.second, gateway.internet, gateway.host):
        server.handler = good
    gateway.wait_up("main", "pair", "servfail", "stale", "fallback", "tcp", "host", "internet")


def ask_until_down(gateway, name, zone):
    """New names, as clients ask them, until the target is down."""
    for i in range(40):
        ask(gateway.left, f"n{i}-{time.monotonic_ns()}.{zone}")
        if gateway.target(name)["state"] == "down":
            return
    raise AssertionError(f"{name} is not down: {gateway.target(name)}")


# --- silence and slowness


def test_a_silent_target_goes_down_is_probed_with_backoff_and_comes_back_within_seconds(gateway):
    probes = []

    def handler(asked):
        if asked.text == "alive.main":  # others have this target, too
            probes.append(time.monotonic())

    gateway.main.handler = handler
    start = time.monotonic()
    response = ask(gateway.left, "silent.test", use_edns=0)
    assert time.monotonic() - start < 4
    assert rcode(response) == "SERVFAIL" and extended_errors(response)[0] in (22, 23)
    ask_until_down(gateway, "main", "test")
    shown = gateway.target()
    assert "unanswered" in shown["why"] and shown["since_seconds"] < 4
    asked = len(gateway.main.asked)
    start = time.monotonic()
    assert rcode(ask(gateway.left, "down.test")) == "SERVFAIL"
    assert time.monotonic() - start < 0.2, "nobody waits for a target that is down"
    probes.clear()
    time.sleep(4)  # backoff is about time
    assert not [a for a in gateway.main.asked[asked:] if a.text.endswith(".test")], "a target that is down gets probes alone"
    gaps = [b - a for a, b in zip(probes, probes[1:])]
    # Four intervals, off by a quarter, and the wait for each probe: 0.6 to 1.25 s, and what the tick adds.
    assert 2 <= len(probes) <= 9 and max(gaps) > 0.6, probes
    gateway.main.handler = good
    gateway.wait_state("main", "up", 5)
    assert addresses(ask(gateway.left, "back.test")) == ["192.0.2.1"]


def test_a_silent_targets_failure_is_remembered_and_not_for_long(gateway):
    gateway.main.handler = lambda asked: None if asked.text == "remembered.test" else good(asked)
    ask(gateway.left, "remembered.test")
    asked = len(gateway.main.queries("remembered.test"))
    for _ in range(5):
        response = ask(gateway.left, "remembered.test", use_edns=0)
        assert rcode(response) == "SERVFAIL" and extended_errors(response) == [13]
    assert len(gateway.main.queries("remembered.test")) == asked
    gateway.main.handler = good
    eventually(lambda: rcode(ask(gateway.left, "remembered.test")) == "NOERROR", 5, "the failure to be forgotten")


def test_a_slow_target_is_left_for_the_fast_one_and_found_again(gateway):
    def slow(asked):
        if asked.text.endswith(".pair.test"):
            time.sleep(0.03)
        return good(asked)

    def share_of_second(label, count):
        before = len(gateway.second.asked)
        for i in range(count):
            ask(gateway.left, f"{label}{i}-{time.monotonic_ns()}.pair.test")
        return len([a for a in gateway.second.asked[before:] if a.text.startswith(label)]) / count

    gateway.main.handler = slow
    share_of_second("warm", 60)
    eventually(lambda: share_of_second("fast", 30) > 0.9, 10, "the second target to be preferred")
    gateway.main.handler, gateway.second.handler = good, slow
    share_of_second("turn", 30)
    eventually(lambda: share_of_second("back", 30) < 0.2, 10, "the first target to be preferred")


def test_a_flapping_target_changes_its_state_seldom(gateway):
    log = gateway.shuntd.log_path
    before = log.read_text(encoding="utf-8").count("upstream main: target")
    flips = 20
    for i in range(flips):
        gateway.main.handler = good if i % 2 else silent
        for j in range(3):
            with gateway.left.socket(address=CLIENT2) as sock:
                sock.sendto(query(f"f{i}-{j}.test").to_wire(), (LEFT_IN, 53))
            time.sleep(0.12)
    gateway.main.handler = good
    changes = log.read_text(encoding="utf-8").count("upstream main: target") - before
    # Each flip could bring two: on trial, and up or down.
    assert changes <= flips, f"{changes} changes of state for {flips} flips"
    gateway.wait_state("main", "up", 8)


# --- answers that are none


def test_an_answer_to_another_of_our_ports_or_addresses_is_not_believed(gateway):
    def forge(asked):
        false = asked.answer("300 A 203.0.113.66").to_wire()
        for port in (asked.source[1] ^ 1, asked.source[1] ^ 2):
            gateway.main.socket.sendto(false, (RIGHT_OUT, port))
        gateway.main.socket.sendto(false, (RIGHT_IN, asked.source[1]))
        time.sleep(0.03)  # the forgeries are to arrive first
        return good(asked)

    gateway.main.handler = lambda asked: forge(asked) if asked.text == "elsewhere.test" else good(asked)
    before = gateway.counter("unknown", "dropped answers") + gateway.counter("udp_port")
    assert addresses(ask(gateway.left, "elsewhere.test")) == ["192.0.2.1"]
    assert gateway.counter("unknown", "dropped answers") + gateway.counter("udp_port") >= before + 3


@pytest.mark.parametrize("fault", ["no question", "garbage", "empty", "header alone"])
def test_nothing_but_malformed_answers_is_servfail(gateway, fault):
    name = f"{fault.replace(' ', '-')}.malformed.test"

    def handler(asked):
        if asked.text != name:
            return good(asked)
        header = asked.wire[:2] + b"\x81\x80"
        return {"no question": header + bytes(8), "garbage": header + b"\0\1\0\1\0\0\0\0" + b"\xff" * 40, "empty": b"",
                "header alone": header + b"\0\1" + bytes(6)}[fault]

    gateway.main.handler = handler
    dropped = sum(gateway.counter(c, "dropped answers") for c in ("malformed", "short_header"))
    start = time.monotonic()
    response = ask(gateway.left, name, use_edns=0)
    assert rcode(response) == "SERVFAIL" and extended_errors(response)[0] in (22, 23)
    assert time.monotonic() - start < 4
    assert sum(gateway.counter(c, "dropped answers") for c in ("malformed", "short_header")) > dropped
    assert len(gateway.main.queries(name)) >= 2, "the wait went on, and it was asked again"


def test_a_truncated_answer_of_a_real_server(gateway):
    for _ in range(2):
        start = time.monotonic()
        cut = ask(gateway.left, "large.nsd.test", "TXT", use_edns=0, payload=4096)
        assert cut.flags & dns.flags.TC and not cut.answer
        assert time.monotonic() - start < 0.5
    with Stream(gateway.left) as stream:
        stream.send(query("large.nsd.test", "TXT"))
        whole = stream.receive()
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 20


# --- all of them down


@pytest.mark.parametrize("policy", ["servfail", "stale", "default"])
def test_all_targets_down_is_as_on_all_down_says_and_other_rules_keep_their_latency(gateway, policy):
    name, zone = ("fallback" if policy == "default" else policy), f"{policy}.test"
    gateway.second.handler = lambda asked: asked.answer("1 A 192.0.2.7")
    assert addresses(ask(gateway.left, f"known.{zone}")) == ["192.0.2.7"]
    time.sleep(1.1)  # the answer is to expire
    gateway.second.handler = silent
    asked_at_default = len(gateway.internet.asked)
    ask_until_down(gateway, name, zone)
    response = ask(gateway.left, f"known.{zone}", use_edns=0)
    if policy == "servfail":
        assert rcode(response) == "SERVFAIL" and extended_errors(response)[0] in (13, 22)
    elif policy == "stale":
        assert addresses(response) == ["192.0.2.7"] and extended_errors(response) == [3]
    else:
        assert addresses(response) == ["192.0.2.1"]
    leaked = [a.text for a in gateway.internet.asked[asked_at_default:] if a.text.endswith(".test")]
    assert bool(leaked) == (policy == "default"), leaked
    latencies = []
    for i in range(30):
        ask(gateway.left, f"more{i}.{zone}", timeout=0.01)
        start = time.monotonic()
        assert addresses(ask(gateway.left, f"n{policy}{i}.nsd.test")) == ["192.0.2.53"]
        latencies.append(time.monotonic() - start)
    assert statistics.median(latencies) < 0.05 and max(latencies) < 0.25, latencies


def test_one_broken_name_does_not_turn_its_target_red(gateway):
    def handler(asked):
        if asked.text == "silent-name.test":
            return None
        return asked.answer(rcode=dns.rcode.SERVFAIL) if asked.text.startswith("broken") else good(asked)

    gateway.main.handler = handler
    end = time.monotonic() + 4
    states = set()
    i = 0
    while time.monotonic() < end:
        i += 1
        assert rcode(ask(gateway.left, f"broken{i % 3}.test")) == "SERVFAIL"
        ask(gateway.left, "silent-name.test", timeout=0.05)
        states.add(gateway.target()["state"])
        time.sleep(0.05)
    assert states == {"up"}
    assert addresses(ask(gateway.left, "whole.test")) == ["192.0.2.1"]


def icmp_unreachable(namespace, source, quoted_source, quoted_target):
    """A forged "port unreachable", as if the question had not been taken."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 17, 0, socket.inet_aton(quoted_source[0]), socket.inet_aton(quoted_target))
    udp = struct.pack("!HHHH", quoted_source[1], 53, 40, 0)
    message = bytearray(struct.pack("!BBHI", 3, 3, 0, 0) + ip + udp)
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xffff) + (total >> 16)
    message[2:4] = struct.pack("!H", ~(total + (total >> 16)) & 0xffff)
    sock = namespace.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    with sock:
        sock.bind((source, 0))
        for _ in range(3):
            sock.sendto(bytes(message), (quoted_source[0], 0))


@pytest.mark.parametrize("way", ["the worker", "the host"])
def test_a_forged_icmp_unreachable_does_not_end_the_wait(gateway, way):
    server, namespace, address, name = {"the worker": (gateway.main, gateway.right, SERVER, "icmp.test"),
                                        "the host": (gateway.host, gateway.gw, "127.0.0.9", "icmp.host.test")}[way]

    def handler(asked):
        if asked.text == name:
            icmp_unreachable(namespace, address, asked.source, address)
            time.sleep(0.05)  # it is to arrive first
        return good(asked)

    server.handler = handler
    asked = len(server.queries(name))
    assert addresses(ask(gateway.left, name)) == ["192.0.2.1"]
    assert len(server.queries(name)) == asked + 1, "nothing was asked again"


# --- loops


def test_a_target_that_leads_back_is_not_asked_for_what_goes_round(gateway):
    """BIND forwards a zone to us that a rule of ours forwards to BIND."""
    first = ask(gateway.left, "first.a.loop.test", use_edns=0)
    assert rcode(first) == "SERVFAIL"  # ours, or BIND's where it is the first to give up
    shown = gateway.wait_state("bind", "looping", 5)
    eventually(lambda: gateway.target("bind")["leads_back"] == ["loop.test."], 3, "the whole of what loops to be found")
    assert "leads back here" in gateway.shuntd.ctl("upstreams").stdout and shown["since_seconds"] < 6
    start = time.monotonic()
    for i in range(20):
        response = ask(gateway.left, f"n{i}.loop.test", use_edns=0)
        assert rcode(response) == "SERVFAIL" and extended_errors(response) == [22]
    assert time.monotonic() - start < 1, "nobody waits for what goes round"
    assert addresses(ask(gateway.left, "www.corp")) == ["192.0.2.5"], "what doesn't go round is still asked"
    assert "leads back here for this name" in gateway.shuntd.ctl("explain", "x.loop.test", "--client", "10.10.0.10").stdout
    assert "leads back" not in gateway.shuntd.ctl("explain", "www.corp", "--client", "10.10.0.10").stdout
    assert f'shunt_upstream_loops{{upstream="bind",target="{RIGHT_CLIENT}:53"}} 1' in gateway.shuntd.ctl("metrics").stdout
    assert gateway.counter("loop_probes_back") >= 2 and gateway.counter("loops_avoided") >= 20
    # Told once it is known that the parent doesn't come back.
    news = f"upstream bind: target {RIGHT_CLIENT}:53 leads back here: it isn't asked for loop.test. and below"
    eventually(lambda: news in gateway.shuntd.log_text(), 6, "the log to tell")


class Circle:
    """A handler that sends what is below `zone` to shunt again, each time from the next of some addresses, as forwarders in between do."""

    def __init__(self, gateway, server, zone):
        self.gateway, self.server, self.zone = gateway, server, zone
        self.turned = 0

    def __call__(self, asked):
        if not asked.text.endswith(self.zone):
            return good(asked)
        if asked.stream:
            return self._round(asked)
        threading.Thread(target=self._answer, args=(asked,), daemon=True).start()
        return None

    def _round(self, asked):
        self.turned += 1
        wire = bytearray(asked.wire)
        wire[0:2] = struct.pack("!H", self.turned)
        with self.gateway.right.socket(address=(RIGHT_CLIENT, DEFAULT_SERVER, SERVER2)[self.turned % 3]) as sock:
            sock.settimeout(1)
            sock.sendto(bytes(wire), (RIGHT_IN, 53))
            try:
                answer = sock.recv(4096)
            except TimeoutError:
                return None
        return asked.wire[:2] + answer[2:]

    def _answer(self, asked):
        if (answer := self._round(asked)) is not None:
            self.server.socket.sendto(answer, asked.source)


@pytest.mark.parametrize("zone,name", [("circle.test", "main"), ("circle.tcp.test", "tcp"), ("circle.host.test", "host")])
def test_a_target_that_leads_back_over_changing_addresses_is_found_and_used_again_once_mended(gateway, zone, name):
    """Over UDP, over TCP, and through the host's network."""
    server = gateway.host if name == "host" else gateway.main
    circle = Circle(gateway, server, zone)
    server.handler = circle
    assert rcode(ask(gateway.left, f"a.{zone}")) == "SERVFAIL"
    gateway.wait_state(name, "looping", 6)
    eventually(lambda: gateway.target(name)["leads_back"] == [f"{zone}."], 3, "the whole of what loops to be found")
    start = time.monotonic()
    for i in range(10):
        assert rcode(ask(gateway.left, f"n{i}.{zone}")) == "SERVFAIL"
    assert time.monotonic() - start < 0.5
    beside = zone.split(".", 1)[1]
    assert addresses(ask(gateway.left, f"beside.{beside}")) == ["192.0.2.1"]
    turned = circle.turned
    time.sleep(1)
    assert circle.turned - turned <= 12, "probes alone go round"
    assert gateway.target(name)["state"] == "looping"
    server.handler = good
    gateway.wait_state(name, "up", 5)
    eventually(lambda: rcode(ask(gateway.left, f"mended.{zone}")) == "NOERROR", 3, "the name to be answered")
    assert f"leads back here no more for {zone}." in gateway.shuntd.log_text()


def test_a_target_that_is_shunt_itself_is_refused_by_the_check(gateway):
    path = gateway.folder / "itself.toml"
    path.write_text(gateway.text().replace(f'targets = ["{SERVER3}"]', f'targets = ["{RIGHT_IN}"]'), encoding="utf-8")
    done = gateway.gw.run(SHUNTD, "--config", path, "--check", check=False)
    assert done.returncode == 78
    assert f'{RIGHT_IN}:53 leads back here: it is inbound endpoint "from-right"' in done.stderr


# --- limits, and what operators see


def test_limits_in_flight_for_each_client_and_each_target(gateway):
    hold = threading.Event()

    def handler(asked):
        if asked.text.startswith("held"):
            threading.Thread(target=lambda: hold.wait(1) and gateway.main.socket.sendto(good(asked).to_wire(), asked.source)).start()
            return None
        return good(asked)

    gateway.main.handler = handler
    text = (gateway.folder / "shunt.toml").read_text(encoding="utf-8")
    gateway.reload(gateway.text("queries_per_client = 20\nqueries_per_target = 30\n").replace("timeout_ms = 250", "timeout_ms = 2000"))
    try:
        dropped = gateway.counter("client_limit")
        with gateway.left.socket(address="10.10.0.10") as one, gateway.left.socket(address=CLIENT2) as two:
            for i in range(25):
                one.sendto(query(f"held-a{i}.test", use_edns=0).to_wire(), (LEFT_IN, 53))
            eventually(lambda: gateway.counter("client_limit") == dropped + 5, 3, "the client's own limit")
            for i in range(20):
                two.sendto(query(f"held-b{i}.test", use_edns=0).to_wire(), (LEFT_IN, 53))
            two.settimeout(0.5)
            full = [dns.message.from_wire(two.recv(4096)) for _ in range(10)]
            assert [rcode(r) for r in full] == ["SERVFAIL"] * 10
            assert [extended_errors(r) for r in full] == [[23]] * 10
            assert gateway.target()["in_flight"] == 30
            assert addresses(ask(gateway.left, "still.nsd.test", source=CLIENT2)) == ["192.0.2.53"], "another rule's target isn't full"
            hold.set()
            assert {rcode(dns.message.from_wire(one.recv(4096))) for _ in range(20)} == {"NOERROR"}
        eventually(lambda: gateway.target()["in_flight"] == 0, 3, "nothing to be in flight")
    finally:
        hold.set()
        gateway.reload(text)


def test_upstreams_tells_state_since_when_why_latency_and_what_is_in_flight(gateway):
    for i in range(20):
        ask(gateway.left, f"seen{i}.test")
    shown = eventually(lambda: (t := gateway.target())["p50_ms"] > 0 and t, 3, "latencies to be told")
    assert shown["state"] == "up" and shown["in_flight"] == 0 and shown["p99_ms"] >= shown["p50_ms"]
    assert shown["answered"] >= 20 and shown["since_seconds"] > 0
    table = gateway.shuntd.ctl("upstreams").stdout.splitlines()
    assert table[0].split()[:8] == ["UPSTREAM", "TARGET", "STATE", "SINCE", "P50", "P99", "IN", "FLIGHT"]
    assert any(line.split()[:3] == ["main", f"{SERVER}:53", "up"] for line in table)
