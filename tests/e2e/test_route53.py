"""What the Route 53 Resolver's documentation says of rules, with its own examples, as it holds here: a VPC is a network, the VPC's own resolver
its default upstream, an autodefined rule a built-in one.

Each test asks by dig, and has `shuntctl explain` say the same.
"""
import pytest

from rig import CLIENT, DEFAULT_SERVER, LEFT_IN, SERVER, SERVER2, Rig, upstream
from servers import ScriptedServer

# The three who can answer; each says who it is, whatever it is asked.
WHO = {"onprem": SERVER, "partner": SERVER2, "resolver": DEFAULT_SERVER}
LOCAL = "local"  # answered here, nobody asked

CORP = [
    "example.com forward onprem",
    "acme.example.com system",
    "accounting.example.com forward partner",
    "www.example.com forward partner",
    "10.20.0.0/16 forward partner",  # 20.10.in-addr.arpa
]
NETWORKS = """
[[rules]]
name = "reverse"
list = ["10.in-addr.arpa forward onprem", "192.168.0.0/16 forward onprem", "172.in-addr.arpa forward onprem", "30.172.in-addr.arpa system"]

[[rules]]
name = "everything"
list = [". forward onprem", "amazonaws.com system", "compute.internal system"]

[[network]]
name = "vpc-b"
clients = ["10.10.0.11/32"]
rules = ["main", "reverse"]
default = "resolver"

[[network]]
name = "vpc-c"
clients = ["10.10.0.12/32"]
rules = ["everything"]
default = "resolver"

[[network]]
name = "vpc-d"
clients = ["10.10.0.53/32"]
rules = ["everything"]
default = "resolver"
autodefined = false
"""
VPC_A, VPC_B, VPC_C, VPC_D = CLIENT, "10.10.0.11", "10.10.0.12", "10.10.0.53"


def says(name):
    def handler(asked):
        types = {1: f"300 A {WHO[name]}", 12: f"300 PTR {name}.example."}
        return asked.answer(*(text for rdtype, text in types.items() if rdtype == asked.message.question[0].rdtype))
    return handler


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.servers = {name: rig.add(ScriptedServer(rig.right, address, says(name))) for name, address in WHO.items()}
        rig.start(rig.config(rules=CORP, upstreams="".join(upstream(name, address) for name, address in WHO.items()),
                             default="resolver", networks=NETWORKS))
        rig.wait_up(*WHO)
        yield rig
    finally:
        rig.close()


def asked(gateway, name):
    return {who for who, server in gateway.servers.items() if server.queries(name)}


def dig(gateway, name, rdtype, client):
    """Who answered: one of WHO, or LOCAL."""
    before = asked(gateway, name)
    output = gateway.left.run("dig", "+tries=1", "+time=3", "-b", client, f"@{LEFT_IN}", name, rdtype).stdout
    answers = [line.split()[-1] for line in output.splitlines() if line and line[0] != ";" and line.split()[3] == rdtype]
    for who, address in WHO.items():
        if answers in ([address], [f"{who}.example."]):
            return who
    assert "ANSWER: 0" in output or answers in (["127.0.0.1"], ["localhost."]), output
    assert asked(gateway, name) == before, f"{name} was forwarded"
    return LOCAL


def expect(gateway, client, name, who, rule=None, rdtype=None):
    """`name` is answered by `who` for that client, because of the rule that begins with `rule` (None: of none). Gives what explain says."""
    rdtype = rdtype or ("PTR" if name.endswith(".arpa") else "A")
    assert dig(gateway, name, rdtype, client) == who, name
    explained = gateway.shuntd.json("explain", name, rdtype, "--client", client)
    text = explained["rule"] and explained["rule"]["text"]
    assert text is None if rule is None else text.startswith(rule + " "), explained
    if who == LOCAL:
        assert explained["upstream"] is None, explained
        assert explained["outcome"].startswith(("blocked", "answered")), explained
    else:
        assert explained["upstream"]["name"] == who, explained
    return explained


def losers(explained):
    return [other["text"] for other in explained["others"]]


def test_domain_names_match_exactly_or_as_a_subdomain(gateway):
    for name in ("acme.example.com", "zenith.acme.example.com"):
        expect(gateway, VPC_A, name, "resolver", "acme.example.com")
    for name in ("example.com", "nadir.example.com"):
        expect(gateway, VPC_A, name, "onprem", "example.com")
    expect(gateway, VPC_A, "notexample.com", "resolver")


def test_the_most_specific_domain_name_routes_the_query(gateway):
    explained = expect(gateway, VPC_A, "www.example.com", "partner", "www.example.com")
    assert losers(explained) == ["example.com forward onprem"]
    assert explained["others"][0]["why"] == "its name is shorter"
    expect(gateway, VPC_A, "ledger.accounting.example.com", "partner", "accounting.example.com")


def test_a_system_rule_overrides_a_forwarding_rule_for_a_subdomain(gateway):
    explained = expect(gateway, VPC_A, "host.acme.example.com", "resolver", "acme.example.com")
    assert explained["rule"]["text"] == "acme.example.com system"
    assert explained["then"] is None  # but the network's default
    assert losers(explained) == ["example.com forward onprem"]


def test_queries_that_match_no_rule_go_to_the_vpcs_own_resolver(gateway):
    assert losers(expect(gateway, VPC_A, "www.example.org", "resolver")) == []


def test_one_rule_can_be_associated_with_several_vpcs(gateway):
    for client, network in ((VPC_A, "clients"), (VPC_B, "vpc-b")):
        assert expect(gateway, client, "db.example.com", "onprem", "example.com")["network"] == network
    assert expect(gateway, VPC_C, "db.accounting.example.com", "onprem", ".")["network"] == "vpc-c"


def test_a_rule_for_dot_forwards_everything(gateway):
    for name in ("www.example.net", "example.com", "a.b.c.d.e.f", "amazonaws.com.example"):
        expect(gateway, VPC_C, name, "onprem", ".")


def test_system_rules_keep_aws_names_from_the_rule_for_dot(gateway):
    for name, rule in (("ec2.eu-west-1.amazonaws.com", "amazonaws.com"), ("ip-10-0-0-1.eu-west-1.compute.internal", "compute.internal")):
        explained = expect(gateway, VPC_C, name, "resolver", rule)
        assert explained["rule"]["text"] == f"{rule} system"
        assert losers(explained) == [". forward onprem"]


@pytest.mark.parametrize("name", [
    "localhost", "x.localdomain", "1.0.0.127.in-addr.arpa", "5.4.3.10.in-addr.arpa", "1.2.16.172.in-addr.arpa", "1.2.31.172.in-addr.arpa",
    "1.2.168.192.in-addr.arpa", "254.169.254.169.in-addr.arpa", "1" + ".0" * 31 + ".ip6.arpa", "8.b.d.0.1.0.0.2.ip6.arpa",
])
def test_autodefined_rules_answer_locally_also_where_dot_is_forwarded(gateway, name):
    for client in (VPC_A, VPC_C):
        explained = expect(gateway, client, name, LOCAL, name if name == "localhost" else explained_zone(gateway, client, name))
        assert explained["rule"]["where"] == "built-in"


def explained_zone(gateway, client, name):
    """The name of the rule that explain gives: a zone that the name lies in."""
    zone = gateway.shuntd.json("explain", name, "PTR", "--client", client)["rule"]["text"].split()[0]
    assert f".{name}".endswith(f".{zone}")
    return zone


def test_a_forwarding_rule_for_the_same_domain_name_overrides_an_autodefined_rule(gateway):
    explained = expect(gateway, VPC_B, "7.4.3.10.in-addr.arpa", "onprem", "10.in-addr.arpa")
    assert losers(explained) == ["10.in-addr.arpa block nxdomain"]
    assert explained["others"][0]["set"] == "built-in"
    expect(gateway, VPC_B, "1.2.168.192.in-addr.arpa", "onprem", "168.192.in-addr.arpa")


def test_an_autodefined_rule_is_overridden_only_where_the_rule_is_associated(gateway):
    expect(gateway, VPC_A, "7.4.3.10.in-addr.arpa", LOCAL, "10.in-addr.arpa")
    expect(gateway, VPC_C, "7.4.3.10.in-addr.arpa", LOCAL, "10.in-addr.arpa")


def test_other_autodefined_rules_stay_when_one_is_overridden(gateway):
    expect(gateway, VPC_B, "1.2.16.172.in-addr.arpa", LOCAL, "16.172.in-addr.arpa")


def test_a_system_rule_leaves_a_name_to_the_autodefined_rule(gateway):
    explained = expect(gateway, VPC_B, "1.2.30.172.in-addr.arpa", LOCAL, "30.172.in-addr.arpa")
    assert explained["rule"]["text"] == "30.172.in-addr.arpa system"
    assert explained["then"]["text"] == "30.172.in-addr.arpa block nxdomain"
    expect(gateway, VPC_B, "1.2.50.172.in-addr.arpa", "onprem", "172.in-addr.arpa")


def test_a_reverse_rule_for_a_part_wins_over_the_autodefined_rule_for_the_whole(gateway):
    for client, whole in ((VPC_A, LOCAL), (VPC_B, "onprem")):
        expect(gateway, client, "5.3.20.10.in-addr.arpa", "partner", "20.10.in-addr.arpa")
        expect(gateway, client, "5.3.21.10.in-addr.arpa", whole, "10.in-addr.arpa")


def test_autodefined_rules_can_be_disabled(gateway):
    for name in ("9.4.3.10.in-addr.arpa", "x.localdomain"):
        expect(gateway, VPC_D, name, "onprem", ".")
    expect(gateway, VPC_D, "sqs.amazonaws.com", "resolver", "amazonaws.com")
