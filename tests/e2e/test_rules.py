"""Rule lines from a client's view: every action, every form of a name, and who wins."""
import ipaddress

import dns.flags
import dns.rdatatype
import pytest

from client import Stream, addresses, ask, query, rcode
from rig import DEFAULT_SERVER, SERVER, Rig, upstream
from servers import ScriptedServer

RULES = [
    "test forward main",
    "nx.test block nxdomain", "nodata.test block nodata", "refused.test block refused", "drop.test block drop",
    "answer.test answer A 192.0.2.77", "answer.test answer A 192.0.2.78", "answer.test answer AAAA 2001:db8::77 ttl=5",
    'text.test answer TXT "two words" ttl=7',
    "*.star.test block refused", "=exact.test block refused", "under.exact.test forward main",
    "=both.test block nodata", "*.both.test block refused", "both.test block nxdomain",
    "system.test system", "deep.system.test forward main",
    "10.99.0.0/16 answer PTR host.test", "fd00:12::/30 answer PTR six.test",
    "mail.test answer MX 10 mx1.test", "mail.test answer MX 20 mx2.test", 'mail.test answer TXT "v=spf1 #all" second', "mail.test answer A 192.0.2.79",
    "=_sip._udp.test answer SRV 0 5 5060 sip.test.", "alias.test answer CNAME target.test ttl=9", "web.test answer HTTPS 1 . alpn=h2",
]


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1")))
        rig.default = rig.add(ScriptedServer(rig.right, DEFAULT_SERVER, lambda a: a.answer("300 A 192.0.2.60")))
        rig.start(rig.config(rules=RULES, upstreams=upstream("main", SERVER) + upstream("default", DEFAULT_SERVER),
                             default="default"))
        rig.wait_up("main", "default")
        yield rig
    finally:
        rig.close()


@pytest.mark.parametrize("name,code", [("nx.test", "NXDOMAIN"), ("a.b.nx.test", "NXDOMAIN"), ("nodata.test", "NOERROR")])
def test_blocked_names_carry_a_soa_to_be_cached_by(gateway, name, code):
    response = ask(gateway.left, name)
    assert rcode(response) == code
    assert not response.answer
    assert [(r.rdtype, r.ttl, r[0].minimum) for r in response.authority] == [(dns.rdatatype.SOA, 60, 60)]


def test_block_refused(gateway):
    response = ask(gateway.left, "refused.test")
    assert rcode(response) == "REFUSED"
    assert not response.answer and not response.authority


def test_block_drop_is_silent_and_counted(gateway):
    before = gateway.counter("blocked", "dropped queries")
    assert ask(gateway.left, "drop.test", timeout=0.5) is None
    assert gateway.counter("blocked", "dropped queries") == before + 1


def test_answer_lines_of_a_name_add_up(gateway):
    response = ask(gateway.left, "answer.test")
    assert addresses(response) == ["192.0.2.77", "192.0.2.78"]
    assert response.answer[0].ttl == 60
    response = ask(gateway.left, "below.answer.test", "AAAA")
    assert addresses(response) == ["2001:db8::77"]
    assert response.answer[0].ttl == 5
    assert addresses(ask(gateway.left, "text.test", "TXT")) == ['"two words"']


def test_other_types_of_an_answered_name_are_nodata(gateway):
    response = ask(gateway.left, "answer.test", "MX")
    assert rcode(response) == "NOERROR"
    assert not response.answer
    assert response.authority[0].rdtype == dns.rdatatype.SOA


@pytest.mark.parametrize("name,rdtype,records", [
    ("mail.test", "MX", ["10 mx1.test.", "20 mx2.test."]),
    ("mail.test", "TXT", ['"v=spf1 #all" "second"']),
    ("mail.test", "A", ["192.0.2.79"]),
    ("_sip._udp.test", "SRV", ["0 5 5060 sip.test."]),
    ("web.test", "HTTPS", ['1 . alpn="h2"']),
    ("alias.test", "CNAME", ["target.test."]),
    ("alias.test", "A", ["target.test."]),            # a CNAME stands for every type
    ("below.alias.test", "AAAA", ["target.test."]),
])
def test_answers_of_every_type(gateway, name, rdtype, records):
    for _ in range(2):  # from the rule, and from the cache
        response = ask(gateway.left, name, rdtype)
        assert addresses(response) == records
        assert response.answer[0].name.to_text() == f"{name}."
        assert response.answer[0].ttl == (9 if "alias" in name else 60)


def test_any_of_an_answered_name_is_one_of_its_types(gateway):
    """RFC 8482 section 4.1."""
    for _ in range(2):
        assert addresses(ask(gateway.left, "mail.test", "ANY")) == ["10 mx1.test.", "20 mx2.test."]
    assert addresses(ask(gateway.left, "alias.test", "ANY")) == ["target.test."]
    assert rcode(ask(gateway.left, "nx.test", "ANY")) == "NXDOMAIN"


def test_answers_say_that_recursion_is_there(gateway):
    for name in ("nx.test", "answer.test", "refused.test", "plain.test"):
        assert ask(gateway.left, name).flags & dns.flags.RA, name


@pytest.mark.parametrize("name,outcome", [
    ("star.test", "192.0.2.1"),        # *. leaves the name itself out
    ("a.star.test", "REFUSED"),
    ("a.b.star.test", "REFUSED"),
    ("exact.test", "REFUSED"),         # = takes the name alone
    ("a.exact.test", "192.0.2.1"),
    ("a.under.exact.test", "192.0.2.1"),
    ("both.test", "NODATA"),           # = before *. before the suffix
    ("a.both.test", "REFUSED"),
    ("xnx.test", "192.0.2.1"),         # suffixes end between labels
    ("nx.test.example", "192.0.2.60"),
    ("system.test", "192.0.2.60"),     # as if no rule matched
    ("a.system.test", "192.0.2.60"),
    ("deep.system.test", "192.0.2.1"),
    ("www.example.com", "192.0.2.60"),
])
def test_the_longest_match_wins(gateway, name, outcome):
    response = ask(gateway.left, name)
    if outcome == "NODATA":
        assert rcode(response) == "NOERROR" and not response.answer
    elif outcome[0].isdigit():
        assert addresses(response) == [outcome]
    else:
        assert rcode(response) == outcome


def test_labels_are_compared_never_text(gateway):
    """A dot inside a label is not a border between labels, and neither is a NUL an end."""
    assert addresses(ask(gateway.left, r"a\.nx.test")) == ["192.0.2.1"]
    assert addresses(ask(gateway.left, r"nx\000.test")) == ["192.0.2.1"]
    assert rcode(ask(gateway.left, r"a\.b\000.nx.test")) == "NXDOMAIN"


def test_a_prefix_stands_for_its_reverse_names(gateway):
    assert addresses(ask(gateway.left, "4.3.99.10.in-addr.arpa", "PTR")) == ["host.test."]
    assert rcode(ask(gateway.left, "4.3.98.10.in-addr.arpa", "PTR")) != "NOERROR"


def test_a_prefix_off_the_label_border_stands_for_its_zones_alone(gateway):
    """fd00:12::/30 is fd00:10:: to fd00:13:ffff::, four zones of eight labels."""
    for address, inside in (("fd00:10::1", True), ("fd00:13:ffff::1", True), ("fd00:f::1", False), ("fd00:14::1", False)):
        name = ipaddress.ip_address(address).reverse_pointer
        assert (addresses(ask(gateway.left, name, "PTR")) == ["six.test."]) == inside, address


def test_private_reverse_names_and_localhost_never_leave(gateway):
    for name, rdtype in (("1.0.168.192.in-addr.arpa", "PTR"), ("localhost", "A"), ("a.localhost", "AAAA")):
        before = len([a for a in gateway.default.asked if a.text])  # but for health probes
        response = ask(gateway.left, name, rdtype)
        assert rcode(response) in ("NXDOMAIN", "NOERROR")
        assert len([a for a in gateway.default.asked if a.text]) == before, name


def test_rules_hold_over_tcp_too(gateway):
    with Stream(gateway.left) as stream:
        stream.send(query("nx.test"))
        assert rcode(stream.receive()) == "NXDOMAIN"
        stream.send(query("drop.test"))
        stream.send(query("answer.test"))
        assert addresses(stream.receive()) == ["192.0.2.77", "192.0.2.78"]


def test_the_root_rule_takes_everything(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    try:
        gateway.reload(text.replace('"test forward main"', '". block refused", "test forward main"'))
        assert rcode(ask(gateway.left, "www.example.org")) == "REFUSED"
        assert rcode(ask(gateway.left, ".", "NS")) == "REFUSED"
        assert addresses(ask(gateway.left, "root.test")) == ["192.0.2.1"]
    finally:
        gateway.reload(text)


def test_rules_come_from_files_too(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    (gateway.folder / "block.rules").write_text("# names\nads.example block nxdomain\n0.0.0.0 tracker.example\nbare.example\n")
    lists = '\n[[rules]]\nname = "lists"\nfile = "block.rules"\nlist_action = "block nodata"\n'
    try:
        gateway.reload(text.replace('rules = ["main"]', 'rules = ["main", "lists"]') + lists)
        assert rcode(ask(gateway.left, "x.ads.example")) == "NXDOMAIN"
        for name, blocked in (("tracker.example", True), ("x.tracker.example", False), ("bare.example", True),
                              ("x.bare.example", True)):
            assert (addresses(ask(gateway.left, name)) == []) == blocked, name
    finally:
        gateway.reload(text)
