"""The same answers through the gateway and straight from its upstream, but for TTL and OPT (in the manner of CZ.NIC's respdiff): 5,000
questions of every kind for a signed zone, with and without EDNS and DO, in mixed case; forwarded and then from the cache; over UDP, and
over TCP where an answer is truncated. NSD is asked as an authority, Unbound as a recursive server that validates."""
import random
import select
import socket
import time

import dns.flags
import dns.message
import dns.name
import pytest

from client import Stream
from diff_zone import APEX, Zone
from netns import eventually
from rig import CLIENT, LEFT_IN, RIGHT_CLIENT, SERVER, SERVER2, Rig, upstream
from servers import Nsd, RealServer

QUESTIONS = 5000
# What a recursive server can't answer here: there is nobody to ask.
NOT_RECURSIVE = ("delegation", "alias to elsewhere", "outside the zone's reach")
# RA, and CD as it was asked, are for a resolver to set (RFC 4035 section 3.2.2), and not for an authority.
COMPARED = {"nsd": dns.flags.QR | dns.flags.AA | dns.flags.TC | dns.flags.RD | dns.flags.AD}
COMPARED["unbound"] = COMPARED["nsd"] | dns.flags.RA | dns.flags.CD


class Recursive(RealServer):
    """Unbound, which asks NSD for the zone and validates what that says; `zone` is the authority's address and the trust anchor."""

    def configure(self, zone):
        authority, anchor = zone
        (self.folder / "anchor").write_text(anchor, encoding="ascii")
        conf = self.folder / "unbound.conf"
        conf.write_text(f"""
server:
  interface: {self.address[0]}
  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  directory: "{self.folder}"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  module-config: "validator iterator"
  trust-anchor-file: "{self.folder}/anchor"
  minimal-responses: no
  rrset-roundrobin: no
  outgoing-range: 1000
  num-queries-per-thread: 1000
stub-zone:
  name: {APEX}
  stub-addr: {authority}
remote-control:
  control-enable: no
""", encoding="ascii")
        self.command = ("/usr/sbin/unbound", "-d", "-c", str(conf))

    def wait_ready(self, name):
        ask = ("dig", "+time=2", "+tries=1", "+dnssec", f"@{self.address[0]}", name, "SOA")
        eventually(lambda: " ad;" in self.namespace.run(*ask, check=False).stdout, 15, f"validated answers, see {self.folder}/log")
        return self


class Gateway(Rig):
    """Rules send the zone to NSD, or to Unbound."""

    def bring_up(self):
        self.zone = Zone()
        text, anchor = self.zone.signed(self.folder / "keys")
        self.nsd = self.add(Nsd(self.right, self.folder / "nsd", [SERVER], (APEX, text)))
        self.nsd.wait_ready(APEX)
        self.unbound = self.add(Recursive(self.right, self.folder / "unbound", [SERVER2], (SERVER, anchor)))
        self.unbound.wait_ready(APEX)
        self.start(self.text("nsd"))
        self.wait_up("nsd", "unbound")
        return self

    def text(self, name):
        probe = f'"{APEX} SOA"'
        return self.config(rules=[f"{APEX} forward {name}"], upstreams=upstream("nsd", SERVER, probe=probe)
                           + upstream("unbound", SERVER2, probe=probe, timeout_ms=2000))


@pytest.fixture(scope="module")
def gateway():
    rig = Gateway()
    try:
        yield rig.bring_up()
    finally:
        rig.close()


def mixed_case(wire, rng):
    """A wire name with chance's case."""
    return bytes(c ^ 0x20 if (65 <= c <= 90 or 97 <= c <= 122) and rng.random() < 0.5 else c for c in wire)


class Query:
    """One question, and its forms on the wire."""

    def __init__(self, number, name, rdtype, rng):
        self.number, self.rng = number, rng
        self.name = dns.name.from_text(name)
        flags = dns.flags.RD | rng.choice([0, 0, dns.flags.AD, dns.flags.CD])
        kind = rng.choice(["plain", "edns", "do"])
        options = {"plain": {"use_edns": False}, "edns": {"use_edns": 0, "payload": rng.choice([512, 1232])},
                   "do": {"use_edns": 0, "payload": 1232, "want_dnssec": True}}[kind]
        self.message = dns.message.make_query(self.name, rdtype, flags=flags, id=number, **options)
        self.wire = self.message.to_wire()
        self.end = 12 + len(self.name.to_wire()) + 4
        self.text = f"{name} {rdtype} {kind} {dns.flags.to_text(flags)}"

    def mixed(self):
        return self.wire[:12] + mixed_case(self.wire[12:self.end - 4], self.rng) + self.wire[self.end - 4:]


def ask_all(namespace, source, server, wires, window=100):
    """Asks all of {id: octets} over UDP, at most `window` at a time, lost ones again; returns the answers by id."""
    answers, left, tries = {}, list(wires), 0
    with namespace.socket(socket.SOCK_DGRAM, source) as sock:
        sock.connect((server, 53))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        while left and tries < 4:
            tries += 1
            for begin in range(0, len(left), window):
                batch = set(left[begin:begin + window])
                for number in batch:
                    sock.send(wires[number])
                deadline = time.monotonic() + 3
                while batch and select.select([sock], [], [], max(0, deadline - time.monotonic()))[0]:
                    answer = sock.recv(65535)
                    number = int.from_bytes(answer[:2], "big")
                    answers.setdefault(number, answer)
                    batch.discard(number)
            left = [number for number in left if number not in answers]
    assert not left, f"{len(left)} queries have no answer from {server}"
    return answers


def ask_all_over_tcp(namespace, source, server, wires):
    answers = {}
    with Stream(namespace, server, source=source) as stream:
        numbers = list(wires)
        for begin in range(0, len(numbers), 20):
            for number in numbers[begin:begin + 20]:
                stream.send(wires[number])
            for _ in numbers[begin:begin + 20]:
                message = stream.receive()
                answers[message.id] = message
    return answers


def parse(wire):
    # A name in a truncated answer's half of a record is no error of the sender's.
    return dns.message.from_wire(wire, ignore_trailing=True)


def outline(message, flags):
    """All that is to be the same, in a form that compares: flags, RCODE, and each section's records without order and TTL."""
    sections = [sorted((rrset.name.canonicalize().to_text(), rrset.rdtype, rrset.rdclass, sorted(r.to_digestable() for r in rrset))
                       for rrset in section) for section in (message.answer, message.authority, message.additional)]
    return message.flags & flags, message.rcode(), sections


def show(name, direct, through):
    return f"{name}\n--- straight ---\n{direct}\n--- through the gateway ---\n{through}"


class Difference:
    """Collects what differs, and which questions are to be asked over TCP."""

    def __init__(self, queries, direct, flags):
        self.flags = flags
        self.queries = {q.number: q for q in queries}
        self.direct = {number: parse(wire) for number, wire in direct.items()}
        self.found, self.over_tcp, self.larger = [], set(), set()

    def equal(self, direct, through):
        return outline(direct, self.flags) == outline(through, self.flags)

    def compare_datagrams(self, asked, answers):
        for number, query in self.queries.items():
            wire, direct = answers[number], self.direct[number]
            if wire[12:query.end] != asked[number][12:query.end]:
                self.found.append(f"{query.text}: the question came back changed")
            through = parse(wire)
            truncated = bool(through.flags & dns.flags.TC)
            if (through.flags ^ query.message.flags) & dns.flags.CD or not through.flags & dns.flags.RA:
                self.found.append(show(query.text + ": CD or RA", direct, through))
            if bool(query.message.edns == 0) != bool(through.edns == 0):
                self.found.append(show(query.text + ": OPT", direct, through))
            if direct.flags & dns.flags.TC and not truncated:
                self.found.append(show(query.text + ": not truncated", direct, through))
            elif truncated:
                # A server may leave additional records out where there is no room for them; we cut the whole and say so.
                self.over_tcp.add(number)
                if not direct.flags & dns.flags.TC:
                    self.larger.add(number)
                if through.answer or through.authority or through.additional or through.rcode() != direct.rcode():
                    self.found.append(show(query.text + ": records beside TC", direct, through))
            elif not self.equal(direct, through):
                self.found.append(show(query.text, direct, through))

    def compare_streams(self, straight, through):
        for number in self.over_tcp:
            if not self.equal(straight[number], through[number]):
                self.found.append(show(self.queries[number].text + " over TCP", straight[number], through[number]))
            if number in self.larger:
                query = self.queries[number]
                limit = query.message.payload if query.message.edns == 0 else 512
                if len(through[number].to_wire(max_size=65535)) <= limit:
                    self.found.append(f"{query.text}: truncated though there was room")

    def check(self):
        assert not self.found, f"{len(self.found)} of {len(self.queries)} differ:\n" + "\n\n".join(self.found[:5])


@pytest.mark.parametrize("server", ["nsd", "unbound"])
def test_5000_answers_are_the_upstreams_own(gateway, server):
    address = {"nsd": SERVER, "unbound": SERVER2}[server]
    gateway.reload(gateway.text(server))
    rng = random.Random(server)
    chosen = gateway.zone.choose(QUESTIONS, NOT_RECURSIVE if server == "unbound" else ())
    queries = [Query(number, *question, rng) for number, question in enumerate(chosen)]
    wires = {q.number: q.wire for q in queries}
    if server == "unbound":
        # What a recursive server adds to an answer depends on what it happens to have: let it have all of it.
        ask_all(gateway.right, RIGHT_CLIENT, address, wires, window=50)
    difference = Difference(queries, ask_all(gateway.right, RIGHT_CLIENT, address, wires), COMPARED[server])
    cached, forwarded = gateway.counter("answered_cache"), gateway.counter("forwarded")
    for _ in range(2):  # forwarded, then from the cache
        asked = {q.number: q.mixed() for q in queries}
        difference.compare_datagrams(asked, ask_all(gateway.left, CLIENT, LEFT_IN, asked))
    difference.check()
    assert gateway.counter("forwarded") - forwarded >= QUESTIONS
    assert gateway.counter("answered_cache") - cached >= QUESTIONS * 0.8
    assert len(difference.over_tcp) > 50, "truncated ones are among them"
    over_tcp = {number: wires[number] for number in difference.over_tcp}
    difference.compare_streams(ask_all_over_tcp(gateway.right, RIGHT_CLIENT, address, over_tcp),
                               ask_all_over_tcp(gateway.left, CLIENT, LEFT_IN, over_tcp))
    difference.check()
