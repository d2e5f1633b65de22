"""Private zones: the same zone files in shunt and in NSD give the same answers; aliases go on through the rules; reloads."""
import socket
import time

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from client import Stream, addresses, ask, extended_errors, query, rcode
from netns import eventually, run
from rig import CLIENT, CLIENT2, DEFAULT_SERVER, LEFT_IN, RIGHT_CLIENT, SERVER, SERVER2, SHUNTCTL, Rig, upstream
from servers import Nsd, ScriptedServer

COMPUTE = """\
$ORIGIN compute.internal.
$TTL 300
@ 3600 IN SOA ns1 hostmaster ( 2024010101 ; serial
        3600 600 86400 60 )
@           NS    ns1
            NS    ns2.compute.internal.
@           MX    10 mail
ns1         A     10.1.0.1
ns2         AAAA  fd00::2
mail        A     10.1.0.3
            AAAA  fd00::3
WWW         CNAME Web            ; the case of names is kept
web     60  A     10.1.0.4
web     60  A     10.1.0.5
text        TXT   "a(b;c" "\\"quoted\\"" "second"
a.b.c       A     10.1.0.6       ; b.c and c are empty
*.wild      A     10.1.0.7
*.wild      TXT   "wild"
x.wild      MX    5 mail
*.alias     CNAME web
*.deep.er   TXT   "deep"
gone        CNAME nowhere
empty       CNAME b.c
chain1      CNAME chain2
chain2      CNAME chain3
chain3      CNAME web
loop1       CNAME loop2
loop2       CNAME loop1
self        CNAME self
old         DNAME web
x.web       A     10.1.0.8
sub         NS    ns.sub
            NS    ns1
            DS    12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ns.sub      A     10.1.0.9
into        CNAME www.sub
srv._tcp    SRV   1 2 53 ns1
caa         CAA   0 issue "ca.example"
raw         TYPE65280 \\# 3 010203
\\*.star     A     10.1.0.10
zero     0  A     10.1.0.11
dot\\.ted    A     10.1.0.12
"""
# RFC 4592 section 2.2.1
EXAMPLE = """\
$ORIGIN example.
example.                 3600 IN  SOA   ns.example.com. hostmaster.example. 1 3600 600 86400 7200
example.                 3600     NS    ns.example.com.
example.                 3600     NS    ns.example.net.
*.example.               3600     TXT   "this is a wildcard"
*.example.               3600     MX    10 host1.example.
sub.*.example.           3600     TXT   "this is not a wildcard"
host1.example.           3600     A     192.0.2.1
_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. 3600     SRV   0 0 22 host2.example.
subdel.example.          3600     NS    ns.example.com.
subdel.example.          3600     NS    ns.example.net.
"""
REVERSE = """\
$ORIGIN 1.10.in-addr.arpa.
@ 60 SOA ns1.compute.internal. hostmaster.compute.internal. 1 3600 600 86400 60
@ 60 NS  ns1.compute.internal.
4.0 60 PTR web.compute.internal.
"""
ALIASES = """\
$ORIGIN alias.internal.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
out     CNAME www.corp.test.
out2    CNAME out
nx      CNAME nx.corp.test.
fail    CNAME fail.corp.test.
silent  CNAME silent.corp.test.
blocked CNAME blocked.test.
dropped CNAME dropped.test.
refused CNAME refused.test.
default CNAME www.elsewhere.test.
local   CNAME localhost.
over    CNAME web.compute.internal.
*.many  CNAME www.corp.test.
far     DNAME corp.test.
big     CNAME big.corp.test.
ruled.inner A 192.0.2.66
inner   CNAME ruled.inner
"""
LARGE = "$ORIGIN large.internal.\n@ 60 SOA ns host 1 2 3 4 5\n@ 60 NS ns\n" + \
    "".join(f"many 60 A 10.9.{i // 250}.{i % 250}\n" for i in range(2000)) + \
    "".join(f'some 60 TXT "{i:0100}"\n' for i in range(8)) + "alias 60 CNAME many\n"
RULES = ["corp.test forward corp", "blocked.test block nxdomain", "dropped.test block drop", "refused.test block refused",
         "ruled.inner.alias.internal answer A 192.0.2.67", "=rule.compute.internal answer A 192.0.2.68",
         "system.compute.internal system", "text.example block nodata"]

TYPES = ["A", "AAAA", "NS", "SOA", "CNAME", "DNAME", "MX", "TXT", "SRV", "PTR", "DS", "CAA", "TYPE65280"]
FILES = {"compute.internal": COMPUTE, "example": EXAMPLE, "1.10.in-addr.arpa": REVERSE}


def zone_tables(*files, network="clients"):
    return "".join(f'[[zone]]\nfile = "{file}.zone"\nnetworks = ["{network}"]\n' for file in files)


class NsdZones(Nsd):
    """Authoritative for several zones."""

    def configure(self, zone):
        super().configure((next(iter(zone)), next(iter(zone.values()))))
        conf = self.folder / "nsd.conf"
        text = conf.read_text(encoding="ascii").split("zone:\n")[0].replace("server:\n", "server:\n  minimal-responses: yes\n", 1)
        for apex, content in zone.items():
            (self.folder / apex).write_text(content, encoding="ascii")
            text += f"zone:\n  name: {apex}\n  zonefile: {apex}\n"
        conf.write_text(text, encoding="ascii")


def corp(asked):
    """The server behind the rule `corp.test`."""
    if asked.text == "nx.corp.test":
        return asked.answer(rcode=dns.rcode.NXDOMAIN, authority=["corp.test. 30 SOA ns.corp.test. host.corp.test. 1 2 3 4 5"])
    if asked.text == "fail.corp.test":
        return asked.answer(rcode=dns.rcode.SERVFAIL)
    if asked.text == "silent.corp.test":
        return None
    if asked.text == "big.corp.test":
        if not asked.stream:
            response = asked.answer()
            response.flags |= dns.flags.TC
            return response
        return asked.answer(*[f"50 A 198.51.{i // 250}.{i % 250}" for i in range(500)])
    return asked.answer("20 A 198.51.100.7")


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.corp = rig.add(ScriptedServer(rig.right, SERVER, corp, stream=True))
        rig.default = rig.add(ScriptedServer(rig.right, DEFAULT_SERVER, lambda a: a.answer("300 A 192.0.2.60")))
        rig.nsd = rig.add(NsdZones(rig.right, rig.folder / "nsd", [SERVER2], FILES))
        for file, text in (FILES | {"alias.internal": ALIASES, "large.internal": LARGE}).items():
            (rig.folder / f"{file}.zone").write_text(text, encoding="ascii")
        (rig.folder / "other.zone").write_text(EXAMPLE.replace("192.0.2.1", "192.0.2.200"), encoding="ascii")
        networks = """
[[network]]
name = "other"
clients = ["10.10.0.11/32"]
default = "default"
[[network]]
name = "without"
clients = ["10.10.0.12/32"]
default = "default"
"""
        tail = zone_tables(*FILES, "alias.internal", "large.internal") + zone_tables("other", network="other")
        rig.start(rig.config(rules=RULES, upstreams=upstream("corp", SERVER) + upstream("default", DEFAULT_SERVER), default="default",
                             networks=networks, tail=tail))
        rig.wait_up("corp", "default")
        rig.nsd.wait_ready("example")
        yield rig
    finally:
        rig.close()


class Asker:
    """One socket for many questions, one after the other."""

    def __init__(self, namespace, source, server):
        self.socket = namespace.socket(socket.SOCK_DGRAM, source)
        self.socket.connect((server, 53))
        self.socket.settimeout(5)

    def ask(self, name, rdtype):
        message = query(name, rdtype, use_edns=0, payload=1232)
        self.socket.send(message.to_wire())
        response = dns.message.from_wire(self.socket.recv(65535))
        assert response.id == message.id
        return response


def section(rrsets):
    return {(rrset.name, rrset.rdtype, rrset.ttl, rdata.to_text().lower()) for rrset in rrsets for rdata in rrset}


def essence(response):
    return {"rcode": rcode(response), "aa": bool(response.flags & dns.flags.AA), "tc": bool(response.flags & dns.flags.TC),
            "answer": section(response.answer), "authority": section(response.authority)}


def names_in_and_around():
    """Every name of the zone files, what lies between it and the apex, and names beside and below."""
    names = set()
    for apex, text in FILES.items():
        origin, owner = dns.name.from_text(apex), None
        for line in text.splitlines():
            if line.startswith("$") or line[:1] in " \t":
                continue
            owner = dns.name.from_text(line.split()[0], origin)
            while owner != origin.parent():
                names.add(owner)
                owner = owner.parent()
    for name in list(names):
        for label in ("a", "zz-9", "*", "ns"):
            names.add(dns.name.from_text(label, name))
        names.add(dns.name.from_text("x.y", name))
        names.add(dns.name.Name((name.labels[0] + b"0",) + name.labels[1:]))
    return sorted(n for n in names if any(n.is_subdomain(dns.name.from_text(apex)) for apex in FILES)
                  and not n.is_subdomain(dns.name.from_text("rule.compute.internal"))
                  and not n.is_subdomain(dns.name.from_text("text.example"))
                  and not n.is_subdomain(dns.name.from_text("system.compute.internal")))


def test_answers_are_those_of_nsd_and_so_from_the_cache(gateway):
    nsd = Asker(gateway.right, RIGHT_CLIENT, SERVER2)
    shunt = Asker(gateway.left, CLIENT, LEFT_IN)
    names = names_in_and_around()
    assert len(names) > 250
    hits, zone = gateway.counter("cache_hits"), gateway.counter("answered_zone")
    differences, asked = [], 0
    for name in names:
        for rdtype in TYPES:
            expected = essence(nsd.ask(name, rdtype))
            for turn in ("first", "second"):
                got = essence(shunt.ask(name, rdtype))
                asked += 1
                if got != expected:
                    differences.append(f"{name} {rdtype} ({turn}): {[(k, got[k], expected[k]) for k in got if got[k] != expected[k]]}")
    assert not differences, f"{len(differences)} of {asked}:\n" + "\n".join(differences[:20])
    # Names differ from each other but for case, so that each second answer came from the cache.
    assert gateway.counter("answered_zone") - zone == asked
    assert gateway.counter("cache_hits") - hits >= asked // 2


def test_answers_over_tcp_are_those_of_nsd(gateway):
    with Stream(gateway.left) as shunt, Stream(gateway.right, server=SERVER2, source=RIGHT_CLIENT) as nsd:
        for name in ("www.compute.internal", "nowhere.compute.internal", "www.sub.compute.internal", "x.y.example", "example"):
            for rdtype in ("A", "MX", "TXT", "SOA"):
                both = []
                for stream in (shunt, nsd):
                    stream.send(query(name, rdtype))
                    both.append(essence(stream.receive()))
                assert both[0] == both[1], (name, rdtype)


def test_referrals_have_glue(gateway):
    for _ in range(2):
        response = ask(gateway.left, "www.sub.compute.internal")
        assert not response.flags & dns.flags.AA
        assert section(response.additional) >= {(dns.name.from_text("ns.sub.compute.internal"), dns.rdatatype.A, 300, "10.1.0.9")}


def test_ttls_do_not_age(gateway):
    first = ask(gateway.left, "web.compute.internal").answer[0].ttl
    assert first == 60
    time.sleep(1.2)
    hits = gateway.counter("cache_hits")
    assert ask(gateway.left, "web.compute.internal").answer[0].ttl == 60
    assert gateway.counter("cache_hits") == hits + 1


def test_dig_finds_what_is_there(gateway):
    output = gateway.left.run("dig", f"@{LEFT_IN}", "-b", CLIENT, "+short", "www.compute.internal").stdout
    assert output.split() in (["web.compute.internal.", "10.1.0.4", "10.1.0.5"], ["Web.compute.internal.", "10.1.0.4", "10.1.0.5"])
    output = gateway.left.run("dig", f"@{LEFT_IN}", "-b", CLIENT, "-x", "10.1.0.4", "+short").stdout
    assert output.split() == ["web.compute.internal."]


def test_a_zone_wins_over_a_built_in_name_and_loses_to_a_rule(gateway):
    assert addresses(ask(gateway.left, "4.0.1.10.in-addr.arpa", "PTR")) == ["web.compute.internal."]
    assert rcode(ask(gateway.left, "1.2.10.in-addr.arpa", "PTR")) == "NXDOMAIN"
    assert addresses(ask(gateway.left, "rule.compute.internal")) == ["192.0.2.68"]
    assert section(ask(gateway.left, "text.example", "TXT").answer) == set()


def test_system_leaves_a_name_to_its_zone(gateway):
    response = ask(gateway.left, "system.compute.internal")
    assert rcode(response) == "NXDOMAIN" and response.flags & dns.flags.AA


def test_networks_have_zones_of_their_own(gateway):
    assert addresses(ask(gateway.left, "host1.example")) == ["192.0.2.1"]
    assert addresses(ask(gateway.left, "host1.example", source=CLIENT2)) == ["192.0.2.200"]
    assert addresses(ask(gateway.left, "host1.example", source="10.10.0.12")) == ["192.0.2.60"]
    assert addresses(ask(gateway.left, "www.compute.internal", source=CLIENT2)) == ["192.0.2.60"]
    for source, address in ((CLIENT, "192.0.2.1"), (CLIENT2, "192.0.2.200"), ("10.10.0.12", "192.0.2.60")):  # the cache, too
        assert addresses(ask(gateway.left, "host1.example", source=source)) == [address]


def test_aliases_go_on_through_the_rules(gateway):
    for _ in range(2):
        response = ask(gateway.left, "out2.alias.internal")
        assert rcode(response) == "NOERROR"
        assert response.flags & dns.flags.AA
        assert [(r.name.to_text(), r.rdtype) for r in response.answer] == [
            ("out2.alias.internal.", dns.rdatatype.CNAME), ("out.alias.internal.", dns.rdatatype.CNAME),
            ("www.corp.test.", dns.rdatatype.A)]
        assert response.answer[-1].ttl <= 20
    assert addresses(ask(gateway.left, "default.alias.internal")) == ["192.0.2.60", "www.elsewhere.test."]
    assert addresses(ask(gateway.left, "local.alias.internal")) == ["127.0.0.1", "localhost."]
    assert addresses(ask(gateway.left, "over.alias.internal")) == ["10.1.0.4", "10.1.0.5", "web.compute.internal."]
    assert addresses(ask(gateway.left, "inner.alias.internal")) == ["192.0.2.67", "ruled.inner.alias.internal."]
    response = ask(gateway.left, "a.far.alias.internal")
    assert section(response.answer) >= {(dns.name.from_text("a.corp.test"), dns.rdatatype.A, 20, "198.51.100.7")}


def test_the_joined_answer_ages_and_goes_with_its_least_ttl(gateway):
    assert ask(gateway.left, "ageing.many.alias.internal").answer[-1].ttl <= 20
    time.sleep(1.2)
    hits = gateway.counter("cache_hits")
    response = ask(gateway.left, "ageing.many.alias.internal")
    assert gateway.counter("cache_hits") == hits + 1
    assert response.answer[-1].ttl < 20
    assert response.answer[0].ttl < 300


def test_an_alias_is_denied_as_its_target(gateway):
    response = ask(gateway.left, "nx.alias.internal")
    assert rcode(response) == "NXDOMAIN"
    assert addresses(response) == ["nx.corp.test."]
    assert [r.name.to_text() for r in response.authority] == ["corp.test."]
    response = ask(gateway.left, "blocked.alias.internal")
    assert rcode(response) == "NXDOMAIN" and addresses(response) == ["blocked.test."]
    response = ask(gateway.left, "refused.alias.internal")
    assert rcode(response) == "REFUSED" and addresses(response) == ["refused.test."]


def test_an_alias_whose_target_fails_is_servfail(gateway):
    for name in ("fail.alias.internal", "dropped.alias.internal", "silent.alias.internal"):
        response = ask(gateway.left, name, use_edns=0)
        assert rcode(response) == "SERVFAIL", name
        assert not response.answer
        assert extended_errors(response) in ([22], [23]), name


def test_many_clients_of_one_target_ask_it_once(gateway):
    gateway.shuntd.ctl("cache", "flush")
    before = len(gateway.corp.queries("www.corp.test"))
    with Stream(gateway.left) as stream:
        for i in range(20):
            stream.send(query(f"n{i}.many.alias.internal"))
        for _ in range(20):
            assert addresses(stream.receive())[0] == "198.51.100.7"
    assert len(gateway.corp.queries("www.corp.test")) == before + 1


def test_answers_larger_than_a_datagram(gateway):
    response = ask(gateway.left, "some.large.internal", "TXT", use_edns=0, payload=1232)
    assert len(addresses(response)) == 8
    response = ask(gateway.left, "some.large.internal", "TXT")  # from the cache, cut for who takes 512 octets
    assert response.flags & dns.flags.TC and not response.answer
    response = ask(gateway.left, "many.large.internal", use_edns=0, payload=4096)
    assert response.flags & dns.flags.TC and not response.answer
    with Stream(gateway.left) as stream:
        for name, count in (("many.large.internal", 2000), ("alias.large.internal", 2001), ("big.alias.internal", 501)):
            message = query(name, use_edns=0)
            stream.send(message)
            response = stream.receive()
            assert response.id == message.id and response.question == message.question
            assert not response.flags & dns.flags.TC
            assert response.flags & dns.flags.RA
            assert response.edns == 0
            assert len(addresses(response)) == count, name


def test_explain_tells_of_zones(gateway):
    result = gateway.shuntd.json("explain", "www.compute.internal", "--client", CLIENT)
    assert result["outcome"] == "answered from the zone compute.internal."
    assert result["rule"]["set"] == "zone"
    assert result["rule"]["where"].endswith("compute.internal.zone:3")
    result = gateway.shuntd.json("explain", "rule.compute.internal", "--client", CLIENT)
    assert [o["set"] for o in result["others"]] == ["zone"]
    result = gateway.shuntd.json("explain", "a.system.compute.internal", "--client", CLIENT)
    assert result["outcome"] == "answered from the zone compute.internal."
    zones = gateway.shuntd.json("status")["zones"]
    assert {"name": "example.", "records": 11, "networks": ["other"]}.items() <= next(z for z in zones if z["networks"] == ["other"]).items()


def test_the_counters_add_up(gateway):
    def add_up():
        stats = gateway.stats()
        total = {name: n for (_, name), n in stats.items()}
        asked = total["queries_udp"] + total["queries_stream"]
        answered = sum(n for name, n in total.items() if name.startswith("answered_"))
        dropped = sum(n for (group, _), n in stats.items() if group == "dropped queries")
        return asked == answered + dropped
    eventually(add_up, what="queries to be all accounted for")


def test_a_reload_takes_up_a_zone_and_a_broken_one_changes_nothing(gateway):
    path = gateway.folder / "compute.internal.zone"
    try:
        assert addresses(ask(gateway.left, "mail.compute.internal")) == ["10.1.0.3"]
        path.write_text(COMPUTE.replace("10.1.0.3", "10.1.0.300"), encoding="ascii")
        result = gateway.shuntd.ctl("reload", check=False)
        assert result.returncode == 78
        line = COMPUTE[:COMPUTE.index("10.1.0.3")].count("\n") + 1
        assert f"compute.internal.zone:{line}:1: error: A record" in result.stderr
        assert addresses(ask(gateway.left, "mail.compute.internal")) == ["10.1.0.3"]
        assert addresses(ask(gateway.left, "mail.compute.internal", "AAAA")) == ["fd00::3"]
        path.write_text(COMPUTE.replace("10.1.0.3", "10.1.0.33") + "new A 10.1.0.34\n", encoding="ascii")
        assert rcode(ask(gateway.left, "new.compute.internal")) == "NXDOMAIN"
        gateway.shuntd.ctl("reload")
        assert addresses(ask(gateway.left, "mail.compute.internal")) == ["10.1.0.33"]
        assert addresses(ask(gateway.left, "new.compute.internal")) == ["10.1.0.34"]
    finally:
        path.write_text(COMPUTE, encoding="ascii")
        gateway.shuntd.ctl("reload")


def test_zones_can_be_taken_away(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    try:
        gateway.reload(text.replace(zone_tables("compute.internal"), ""))
        assert addresses(ask(gateway.left, "www.compute.internal")) == ["192.0.2.60"]
    finally:
        gateway.reload(text)
    assert rcode(ask(gateway.left, "nowhere.compute.internal")) == "NXDOMAIN"


def test_reloads_lose_no_alias(gateway):
    """Queries whose aliases are on their way while the generation changes."""
    with Stream(gateway.left) as stream:
        for turn in range(5):
            for i in range(15):
                stream.send(query(f"r{turn}-{i}.many.alias.internal"))
            gateway.shuntd.ctl("reload")
            for _ in range(15):
                assert addresses(stream.receive())[0] == "198.51.100.7"


def test_shuntctl_explains_from_the_file_too(gateway):
    output = run(SHUNTCTL, "explain", "www.compute.internal", "--client", CLIENT, "--config", gateway.folder / "shunt.toml")
    assert "answered from the zone compute.internal." in output.stdout
