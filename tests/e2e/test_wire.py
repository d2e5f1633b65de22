"""DNS messages at the edge of the standard and beyond: what each gets for an answer, what it is counted as, and that nothing of it
reaches an upstream or another client.

    malformed queries, opcodes, classes       test_no_answer..., test_format_errors, test_other_opcodes..., test_types..., test_classes...
    names of any size and octets              test_the_longest_names..., test_127_labels..., test_any_octet...
    OPT by hop, 1232 upstream (RFC 6891)      test_opt_is_made_anew..., test_edns_versions..., test_absurd_edns_sizes..., test_extended_rcodes...
    padding, cookie, keepalive by hop         test_options_between_two_hops..., test_options_of_an_answer..., test_what_is_asked_again...;
      (RFC 7830, 7873, 7828)                  test_upstream_tls.py: test_questions_are_padded...
    unknown options (RFC 5625)                test_unknown_options...
    unknown types (RFC 3597)                  test_unknown_types...
    answers cut to the client's size          test_forward.py: test_an_answer_larger...; test_tcp.py: test_answers_over_tcp_are_not_cut
"""
import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest

from client import Stream, addresses, ask, ask_wire, extended_errors, query, rcode
from netns import eventually
from rig import SERVER, Rig, upstream
from servers import ScriptedServer

ID = b"\x12\x34"
RD = b"\x01\x00"
ONE = b"\0\1\0\0\0\0\0\0"
NAME = b"\4wire\4test\0"
A_IN = b"\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
GOOD = ID + RD + ONE + NAME + A_IN


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1"), stream=True))
        rig.start(rig.config(rules=[". forward main"], upstreams=upstream("main", SERVER)))
        rig.wait_up("main")
        yield rig
    finally:
        rig.close()


def long_name(octets):
    """A wire name of that many octets, root included, in labels as long as can be."""
    wire, left = b"", octets - 1
    while left:
        size = min(63, left - 1)
        if left - 1 - size == 1:
            size -= 1
        wire += bytes([size]) + b"a" * size
        left -= size + 1
    return wire + b"\0"


SILENT = {
    "nothing": (b"", "short_header"),
    "one octet": (b"\x12", "short_header"),
    "eleven octets": (GOOD[:11], "short_header"),
    "a response": (ID + b"\x81\x80" + ONE + NAME + A_IN, "response"),
    "a response that is malformed": (ID + b"\xff\xff" + b"\xff" * 8, "response"),
}

FORMERR = {
    "header alone": GOOD[:12],
    "no question": ID + RD + bytes(8),
    "no question but a name": ID + RD + bytes(8) + NAME + A_IN,
    "two questions": ID + RD + b"\0\2\0\0\0\0\0\0" + (NAME + A_IN) * 2,
    "65535 questions": ID + RD + b"\xff\xff\0\0\0\0\0\0" + NAME + A_IN,
    "question cut in its name": GOOD[:18],
    "question cut in its type": GOOD[:-3],
    "compressed name": ID + RD + ONE + b"\4wire\xc0\x0c" + A_IN,
    "pointer to itself": ID + RD + ONE + b"\xc0\x0c" + A_IN,
    "label type 0x40": ID + RD + ONE + b"\x41\x01x\0" + A_IN,
    "label type 0x80": ID + RD + ONE + b"\x84wire\0" + A_IN,
    "name of 256 octets": ID + RD + ONE + long_name(256) + A_IN,
    "name of 128 labels": ID + RD + ONE + b"\1a" * 128 + b"\0" + A_IN,
    "an answer record": ID + RD + b"\0\1\0\1\0\0\0\0" + NAME + A_IN + NAME + A_IN + b"\0\0\1\x2c\0\4\1\2\3\4",
    "an authority record": ID + RD + b"\0\1\0\0\0\1\0\0" + NAME + A_IN + NAME + A_IN + b"\0\0\1\x2c\0\4\1\2\3\4",
    "an additional record that is no OPT": ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN + NAME + A_IN + b"\0\0\1\x2c\0\4\1\2\3\4",
    "counts without records": ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN,
    "trailing octet": GOOD + b"\0",
    "trailing query": GOOD + GOOD,
    "two OPT": ID + RD + b"\0\1\0\0\0\0\0\2" + NAME + A_IN + OPT * 2,
    "OPT with an owner": ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN + b"\1x" + OPT,
    "OPT cut": ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN + OPT[:-3],
    "option longer than OPT": ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN + OPT[:-2] + b"\0\4\0\x0a\0\x20",
    "octets behind OPT": ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN + OPT + b"\0",
}


def check_alive(gateway):
    assert addresses(ask(gateway.left, "wire.test")) == ["192.0.2.1"]


@pytest.mark.parametrize("what", SILENT)
def test_no_answer_at_all(gateway, what):
    wire, counter = SILENT[what]
    before = gateway.counter(counter, "dropped queries")
    assert ask_wire(gateway.left, wire, timeout=0.3) is None
    assert gateway.counter(counter, "dropped queries") == before + 1
    check_alive(gateway)


@pytest.mark.parametrize("what", FORMERR)
def test_format_errors(gateway, what):
    before, asked = gateway.counter("errors_formerr"), len(gateway.main.queries("wire.test"))
    answer = ask_wire(gateway.left, FORMERR[what], timeout=2)
    assert answer is not None
    assert answer[:2] == ID
    assert answer[2] & 0x80 and answer[3] & 0x0f == dns.rcode.FORMERR
    assert answer[6:10] == bytes(4), "no record of the query may come back"
    dns.message.from_wire(answer)  # well-formed itself
    assert gateway.counter("errors_formerr") == before + 1
    check_alive(gateway)
    assert len(gateway.main.queries("wire.test")) - asked <= 1


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_other_opcodes_are_not_implemented(gateway, opcode):
    before = gateway.counter("errors_notimp")
    answer = ask_wire(gateway.left, ID + bytes([opcode << 3 | 0x07, 0x70]) + ONE + NAME + A_IN, timeout=2)
    assert answer[:2] == ID
    assert answer[2] >> 3 & 15 == opcode
    assert answer[3] & 15 == dns.rcode.NOTIMP
    assert not answer[2] & 0x06 and not answer[3] & 0x70, "AA, TC, Z, AD and CD are clean (RFC 8906)"
    assert gateway.counter("errors_notimp") == before + 1


@pytest.mark.parametrize("version", [1, 7, 255])
def test_edns_versions_above_0_are_badvers(gateway, version):
    before = gateway.counter("errors_badvers")
    opt = OPT[:6] + bytes([version]) + OPT[7:]
    response = dns.message.from_wire(ask_wire(gateway.left, ID + RD + b"\0\1\0\0\0\0\0\1" + NAME + A_IN + opt, timeout=2))
    assert rcode(response) == "BADVERS"
    assert response.edns == 0
    assert not response.answer
    assert gateway.counter("errors_badvers") == before + 1


@pytest.mark.parametrize("rdtype,code", [("AXFR", "REFUSED"), ("IXFR", "FORMERR|REFUSED"), ("TKEY", "NOTIMP"), ("MAILB", "NOTIMP")])
def test_types_that_are_not_for_a_forwarder(gateway, rdtype, code):
    wire = bytearray(query("wire.test", "A").to_wire())
    wire[-4:-2] = struct.pack("!H", int(dns.rdatatype.from_text(rdtype)) if rdtype != "MAILB" else 253)
    asked = len(gateway.main.queries("wire.test"))
    answer = dns.message.from_wire(ask_wire(gateway.left, bytes(wire), timeout=2))
    assert rcode(answer) in code.split("|")
    assert len(gateway.main.queries("wire.test")) == asked


@pytest.mark.parametrize("rdclass", ["CH", "HS", "NONE", "ANY"])
def test_classes_other_than_in_are_refused(gateway, rdclass):
    wire = query("version.bind", "TXT", rdclass=rdclass).to_wire()
    answer = dns.message.from_wire(ask_wire(gateway.left, wire, timeout=2))
    assert rcode(answer) == "REFUSED"
    assert not gateway.main.queries("version.bind")


def test_any_is_answered(gateway):
    assert ask(gateway.left, "any.test", "ANY") is not None


def test_refusals_explain_themselves(gateway):
    wire = query("version.bind", "TXT", rdclass="CH", use_edns=0).to_wire()
    assert extended_errors(dns.message.from_wire(ask_wire(gateway.left, wire))) == [21]


@pytest.mark.parametrize("octets", [253, 254, 255])
def test_the_longest_names_are_served(gateway, octets):
    wire = ID + RD + ONE + long_name(octets) + A_IN
    for _ in range(2):
        answer = ask_wire(gateway.left, wire, timeout=2)
        assert answer[12:12 + octets] == long_name(octets)
        assert addresses(dns.message.from_wire(answer)) == ["192.0.2.1"]


def test_127_labels_are_served(gateway):
    name = b"\1a" * 127 + b"\0"
    answer = ask_wire(gateway.left, ID + RD + ONE + name + A_IN, timeout=2)
    assert addresses(dns.message.from_wire(answer)) == ["192.0.2.1"]


@pytest.mark.parametrize("label", [b"\0", b".", b"a.b", b"\xff\x80", b" ", b"@\\\"", bytes(range(33, 64)), b"\0" * 63])
def test_any_octet_may_stand_in_a_label(gateway, label):
    name = dns.name.Name([label, b"odd", b"test", b""])
    answer = ask(gateway.left, name)
    assert addresses(answer) == ["192.0.2.1"]
    assert gateway.main.asked[-1].name == name or any(a.name == name for a in gateway.main.asked)


def test_unknown_options_travel_on_and_their_answers_are_not_shared(gateway):
    def handler(asked):
        given = [o.data for o in asked.message.options if o.otype == 65001]
        response = asked.answer(f"300 A 192.0.2.{given[0][0] if given else 1}")
        if given:
            response.use_edns(0, options=[dns.edns.GenericOption(65001, b"back" + given[0])])
        return response

    gateway.main.handler = handler
    try:
        for value in (7, 8, 7):
            response = ask(gateway.left, "option.test", use_edns=0, options=[dns.edns.GenericOption(65001, bytes([value]))])
            assert addresses(response) == [f"192.0.2.{value}"]
            assert [o.data for o in response.options if o.otype == 65001] == [b"back" + bytes([value])]
        assert addresses(ask(gateway.left, "option.test")) == ["192.0.2.1"]
        assert len(gateway.main.queries("option.test")) == 4
    finally:
        gateway.main.handler = lambda a: a.answer("300 A 192.0.2.1")


@pytest.mark.parametrize("code", [3, 10, 11, 12, 15])
def test_options_between_two_hops_stay_there(gateway, code):
    data = {10: b"12345678", 15: b"\0\x16"}.get(code, b"")
    name = f"hop{code}.test"
    for _ in range(2):
        response = ask(gateway.left, name, use_edns=0, options=[dns.edns.GenericOption(code, data)])
        assert addresses(response) == ["192.0.2.1"]
    assert [len(a.message.options) for a in gateway.main.queries(name)] == [0], "neither passed on nor in the way of sharing"


BETWEEN_HOPS = [dns.edns.GenericOption(code, data) for code, data in
                ((3, b"server-1"), (10, b"12345678abcdefgh"), (11, b"\0\x64"), (12, bytes(16)), (15, b"\0\x16text"))]
FAR = dns.edns.GenericOption(65001, b"far")


@pytest.fixture
def answers(gateway):
    """Sets the upstream's handler, for one test."""
    def set_handler(handler):
        gateway.main.handler = handler
    yield set_handler
    gateway.main.handler = lambda a: a.answer("300 A 192.0.2.1")


def codes(message):
    return sorted(int(o.otype) for o in message.options)


@pytest.mark.parametrize("options,do,size", [
    ({}, False, None), ({"use_edns": 0, "payload": 4096}, False, 1232), ({"use_edns": 0, "want_dnssec": True}, True, 1232),
    ({"use_edns": 0, "ednsflags": 0x7fff, "want_dnssec": True, "payload": 512}, True, 1232)])
def test_opt_is_made_anew_at_each_hop(gateway, answers, options, do, size):
    def handler(asked):
        response = asked.answer("300 A 192.0.2.1")
        response.use_edns(0, ednsflags=0x3fff, payload=4000)
        return response

    answers(handler)
    name = f"opt{sum(map(ord, repr(options)))}.test"
    for _ in range(2):  # relayed, then from the cache
        response = ask(gateway.left, name, **options)
        if size is None:
            assert response.edns == -1, "no OPT for who sent none"
        else:
            assert (response.edns, response.payload, response.ednsflags) == (0, size, 0x8000 if do else 0)
    assert len(gateway.main.queries(name)) == 1
    message = gateway.main.queries(name)[0].message
    assert (message.edns, message.payload, message.ednsflags) == (0, 1232, 0x8000 if do else 0)


def test_options_of_an_answer_between_two_hops_stay_there(gateway, answers):
    def handler(asked):
        response = asked.answer("300 A 192.0.2.1")
        response.use_edns(0, options=[*BETWEEN_HOPS, FAR])
        return response

    answers(handler)
    for _ in range(2):  # relayed, then from the cache
        assert codes(ask(gateway.left, "answer-hops.test", use_edns=0)) == []
    assert len(gateway.main.queries("answer-hops.test")) == 1
    for name in ("answer-hops.test", "answer-hops2.test"):
        assert codes(ask(gateway.left, name, use_edns=0, options=[*BETWEEN_HOPS[:1], FAR])) == [65001], \
            "for who sent options for the far end, its options alone"
        assert codes(gateway.main.queries(name)[-1].message) == [65001]


def truncated_over_udp(asked):
    """To a UDP question nothing but TC; over TCP too much for a datagram, with whatever a hop can have."""
    response = asked.answer(*[f"300 A 192.0.{i // 250}.{i % 250}" for i in range(200 if asked.stream else 0)])
    response.flags |= dns.flags.AD
    if not asked.stream:
        response.flags |= dns.flags.TC
    elif asked.message.edns == 0:
        response.use_edns(0, payload=4000, options=[*BETWEEN_HOPS, FAR])
    return response


@pytest.mark.parametrize("case,options,ad", [
    ("plain", {}, False), ("edns", {"use_edns": 0, "payload": 4096}, False),
    ("hop", {"use_edns": 0, "options": BETWEEN_HOPS[1:2]}, False),
    ("do", {"use_edns": 0, "want_dnssec": True}, True), ("far", {"use_edns": 0, "options": [*BETWEEN_HOPS[1:2], FAR]}, False)])
def test_what_is_asked_again_over_tcp_is_as_every_other_answer(gateway, answers, case, options, ad):
    answers(truncated_over_udp)
    name = f"Again-{case}.test"
    with Stream(gateway.left) as stream:
        asked = query(name, **options)
        stream.send(asked)
        response = stream.receive()
    assert len(addresses(response)) == 200
    assert response.id == asked.id and response.question[0].name.to_text() == name + "."
    assert bool(response.flags & dns.flags.AD) == ad
    assert response.flags & dns.flags.RA and not response.flags & dns.flags.TC
    far = [65001] if case == "far" else []
    assert codes(response) == far
    if "use_edns" in options:
        assert (response.edns, response.payload, response.ednsflags) == (0, 1232, 0x8000 if case == "do" else 0)
    else:
        assert response.edns == -1
    again = [a.message for a in gateway.main.queries(name.lower()) if a.stream]
    # Over TCP a keepalive of our own may stand beside the client's.
    assert [[c for c in codes(m) if c != 11] for m in again] == [far]


@pytest.mark.parametrize("rdtype", ["TYPE65534", "TYPE731", "TYPE0", "TYPE257", "TYPE64"])
def test_unknown_types_are_carried_as_they_are(gateway, answers, rdtype):
    """Their octets are nobody's to read: not a name, not a pointer, not upper or lower case (RFC 3597 section 4)."""
    data = b"\xc0\x0c\x04TeSt\xc0\xff\0" + bytes(range(256))
    number = int(rdtype[4:])

    def handler(asked):
        wire = bytearray(asked.answer().to_wire())
        del wire[12 + len(asked.name.to_wire()) + 4:]
        wire[6:12] = b"\0\1\0\0\0\0"
        return bytes(wire) + b"\xc0\x0c" + struct.pack("!HHIH", number, 1, 300, len(data)) + data

    answers(handler)
    name = f"{rdtype.lower()}.test"
    wire = ID + RD + ONE + dns.name.from_text(name).to_wire() + struct.pack("!HH", number, 1)
    for _ in range(2):  # relayed, then from the cache
        answer = ask_wire(gateway.left, wire, timeout=2)
        assert answer[3] & 15 == dns.rcode.NOERROR
        assert answer.endswith(struct.pack("!H", len(data)) + data)
    assert len([a for a in gateway.main.queries(name)]) == 1


def test_extended_rcodes_reach_who_can_read_them(gateway, answers):
    """BADCOOKIE (23) has its upper bits in the OPT; without one the lower bits would say something else."""
    def handler(asked):
        response = asked.answer()
        response.use_edns(0)
        response.set_rcode(23)
        return response

    answers(handler)
    assert ask(gateway.left, "extended.test", use_edns=0).rcode() == 23
    assert rcode(ask(gateway.left, "extended.test")) == "SERVFAIL"


@pytest.mark.parametrize("size,limit", [(0, 512), (511, 512), (65535, 1232)])
def test_absurd_edns_sizes_mean_the_nearest_sensible_one(gateway, size, limit):
    count = (limit - 12 - 40 - 11) // 16 + 3
    gateway.main.handler = lambda a: a.answer(*[f"300 A 192.0.2.{i}" for i in range(count)])
    try:
        response = ask(gateway.left, f"size{size}.test", use_edns=0, payload=size)
        assert response.flags & dns.flags.TC
    finally:
        gateway.main.handler = lambda a: a.answer("300 A 192.0.2.1")


def test_reserved_flags_do_not_come_back(gateway):
    answer = ask_wire(gateway.left, ID + b"\x07\x70" + ONE + NAME + A_IN, timeout=2)
    assert not answer[2] & 0x02 and not answer[3] & 0x40, "TC and Z"
    assert rcode(dns.message.from_wire(answer)) == "NOERROR"


def test_queries_of_one_datagram_size_after_another(gateway):
    """Every prefix of a good query: no answer but an error, no crash, nothing asked upstream."""
    asked = len(gateway.main.queries())
    probes = lambda: [a for a in gateway.main.queries()[asked:] if a.text not in ("", ".")]  # noqa: E731
    wire = query("prefix.test", use_edns=0, options=[dns.edns.GenericOption(10, b"12345678")]).to_wire()
    with gateway.left.socket(address="10.10.0.10") as sock:
        for length in range(12, len(wire)):
            sock.sendto(wire[:length], ("10.10.0.2", 53))
            assert sock.recv(4096)[3] & 15 == dns.rcode.FORMERR, length
    assert not probes()
    eventually(lambda: addresses(ask(gateway.left, "prefix.test")) == ["192.0.2.1"], 3, "service as before")
