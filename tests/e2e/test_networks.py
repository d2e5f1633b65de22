"""Networks: who belongs to which, and what they share. A network has its own view of the cache wherever its rules differ from another's, and
the same where they don't."""
import pytest

from client import addresses, ask, rcode
from rig import CLIENT, CLIENT2, CLIENT6, DEFAULT_SERVER, LEFT_IN6, LEFT_OUT, SERVER, SERVER2, Rig, upstream
from servers import ScriptedServer

# For clients of both networks, and what differs for those of the second.
MAIN = ["test forward one", "block.test block nxdomain"]
OTHER = ["split.test forward two", "=made.test answer A 192.0.2.99", "nx.test block nxdomain", "block.test forward two", "system.test system"]
OTHERS_CLIENT, OTHERS_CLIENT6 = CLIENT2, "fd10::11"
NETWORKS = f"""
[[rules]]
name = "other"
list = {OTHER}

[[network]]
name = "other"
clients = ["{OTHERS_CLIENT}/32", "{OTHERS_CLIENT6}/128"]
rules = ["other", "main"]
default = "default"

[[inbound]]
name = "of-the-other"
addresses = ["{LEFT_OUT}"]
allow = ["10.10.0.0/25"]
network = "other"
"""
ONE, TWO, DEFAULT = "192.0.2.1", "192.0.2.2", "192.0.2.60"


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.one = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer(f"300 A {ONE}")))
        rig.two = rig.add(ScriptedServer(rig.right, SERVER2, lambda a: a.answer(f"300 A {TWO}")))
        rig.default = rig.add(ScriptedServer(rig.right, DEFAULT_SERVER, lambda a: a.answer(f"300 A {DEFAULT}")))
        rig.text = rig.config(rules=MAIN, upstreams=upstream("one", SERVER) + upstream("two", SERVER2) + upstream("default", DEFAULT_SERVER),
                              default="default", networks=NETWORKS)
        rig.start(rig.text)
        rig.wait_up("one", "two", "default")
        yield rig
    finally:
        rig.close()


def got(gateway, name, source, **options):
    response = ask(gateway.left, name, source=source, **options)
    return addresses(response) or [rcode(response)]


@pytest.mark.parametrize("first", [CLIENT, OTHERS_CLIENT])
def test_what_one_network_asked_is_there_for_another_with_the_same_upstream(gateway, first):
    second = OTHERS_CLIENT if first == CLIENT else CLIENT
    for name, server, answer in ((f"n{first[-1]}.shared.test", gateway.one, ONE), (f"n{first[-1]}.example", gateway.default, DEFAULT)):
        hits = gateway.counter("cache_hits")
        for client in (first, second, second, first):
            assert got(gateway, name, client) == [answer]
        assert len(server.queries(name)) == 1
        assert gateway.counter("cache_hits") >= hits + 3


@pytest.mark.parametrize("name,answers", [
    ("split.test", ([ONE], [TWO])),             # other upstreams
    ("made.test", ([ONE], ["192.0.2.99"])),     # an upstream, and an answer made here
    ("nx.test", ([ONE], ["NXDOMAIN"])),         # an upstream, and a name that is blocked
    ("block.test", (["NXDOMAIN"], [TWO])),      # the same the other way round
    ("system.test", ([ONE], [DEFAULT])),        # an upstream of a rule, and the default one
])
@pytest.mark.parametrize("first", [0, 1])
def test_where_rules_differ_no_network_sees_the_others_answers(gateway, name, answers, first):
    name = name if name == "made.test" else f"n{first}.{name}"
    clients = ((CLIENT, 0), (OTHERS_CLIENT, 1))
    for _ in range(3):
        for client, network in (clients if first == 0 else reversed(clients)):
            assert got(gateway, name, client) == answers[network], client


def test_networks_with_equal_rules_share_what_rules_answer(gateway):
    text = gateway.text + '[[network]]\nname = "twin"\nclients = ["10.10.0.12/32"]\nrules = ["main"]\ndefault = "default"\n'
    try:
        gateway.reload(text)
        hits = gateway.counter("cache_hits")
        assert got(gateway, "twin.block.test", CLIENT) == ["NXDOMAIN"]
        assert gateway.counter("cache_hits") == hits
        assert got(gateway, "twin.block.test", "10.10.0.12") == ["NXDOMAIN"]
        assert gateway.counter("cache_hits") == hits + 1
    finally:
        gateway.reload(gateway.text)


def test_the_longest_prefix_says_whose_a_client_is(gateway):
    for source, answer in ((CLIENT, ONE), (OTHERS_CLIENT, TWO)):
        assert got(gateway, "v4.split.test", source) == [answer]
    for source, answer in ((CLIENT6, ONE), (OTHERS_CLIENT6, TWO)):
        assert got(gateway, "v6.split.test", source, server=LEFT_IN6) == [answer]


def test_an_endpoint_can_name_the_network(gateway):
    for source in (CLIENT, OTHERS_CLIENT):
        assert got(gateway, "endpoint.split.test", source, server=LEFT_OUT) == [TWO]
    explained = gateway.shuntd.json("explain", "endpoint.split.test", "--client", CLIENT, "--endpoint", "of-the-other")
    assert explained["network"] == "other"
    assert "network_by" not in explained


def test_thousands_of_prefixes(gateway):
    """Prefixes on all sides of the clients', and two among 5000 for single ones."""
    many = [f"10.{a}.{b}.0/24" for a in (9, 11) for b in range(256)] + [f"172.{16 + i // 256}.{i % 256}.128/25" for i in range(4000)]
    many += [f"fd10:{i:x}::/32" for i in range(1, 500)] + ["10.10.0.12/32", "fd10::12/128", "10.10.0.0/28", "10.0.0.0/8", "fd00::/8"]
    text = gateway.text + f'[[network]]\nname = "many"\nclients = {many}\nrules = ["other"]\ndefault = "one"\n'
    try:
        gateway.reload(text)
        for source, answer in ((CLIENT, ONE), (OTHERS_CLIENT, DEFAULT), ("10.10.0.12", ONE), ("10.10.0.53", DEFAULT)):
            assert got(gateway, "many.example", source) == [answer], source
        for source, answer in ((CLIENT6, DEFAULT), (OTHERS_CLIENT6, DEFAULT), ("fd10::12", ONE)):
            assert got(gateway, "many.example", source, server=LEFT_IN6) == [answer], source
        explained = gateway.shuntd.json("explain", "many.example", "--client", CLIENT)
        assert (explained["network"], explained["network_by"]) == ("many", "10.10.0.0/28")
        explained = gateway.shuntd.json("explain", "many.example", "--client", "10.10.0.53")
        assert (explained["network"], explained["network_by"]) == ("clients", "10.10.0.0/26")
    finally:
        gateway.reload(gateway.text)
