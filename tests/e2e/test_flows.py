"""The ways of a query, with real servers on both sides, over each kind of port: on-premises BIND to the cloud's NSD through the inbound
endpoint, a VPC client to on-premises BIND through the outbound endpoint, everything else to the default upstream; and what the
kernel's side of an endpoint answers: ping and TCP."""
import pytest

from client import addresses, ask, rcode
from netns import eventually
from rig import (CLIENT, LEFT_IN, LEFT_IN6, RIGHT_CLIENT, RIGHT_IN, RIGHT_IN6, Rig, upstream)
from servers import Bind, Nsd, Unbound

LEFT_DNS, LEFT_DNS6 = "10.10.0.53", "fd10::53"
CLOUD_DNS, CLOUD_DNS6 = "10.20.0.53", "fd20::53"
INTERNET = "10.20.0.60"

ONPREM_ZONE = """$TTL 300
@ SOA ns admin 1 3600 600 86400 60
  NS ns
ns A 10.10.0.53
server1 A 192.168.10.101
        AAAA fd10::101
www CNAME server1
"""
CLOUD_ZONE = """$TTL 300
$ORIGIN compute.internal.
@ SOA ns admin 1 3600 600 86400 60
  NS ns
ns A 10.20.0.53
ec2-instance.us-east-1 A 10.1.0.101
                       AAAA fd01::101
"""


@pytest.fixture(scope="module", params=["af_packet", "af_xdp", "tap"])
def gateway(request):
    rig = Rig(request.param, hugepages=request.param == "af_xdp")
    try:
        bind = rig.add(Bind(rig.left, rig.folder / "bind", (LEFT_DNS, LEFT_DNS6), ("onprem.corp", ONPREM_ZONE),
                            ("compute.internal", (LEFT_IN, LEFT_IN6))))
        nsd = rig.add(Nsd(rig.right, rig.folder / "nsd", (CLOUD_DNS, CLOUD_DNS6), ("compute.internal", CLOUD_ZONE)))
        unbound = rig.add(Unbound(rig.right, rig.folder / "unbound", (INTERNET,),
                                  ("example.com.", ["www.example.com. 300 A 198.51.100.80"])))
        bind.wait_ready("onprem.corp")
        nsd.wait_ready("compute.internal")
        unbound.wait_ready(".")
        rig.start(rig.config(
            rules=["onprem.corp forward corp-dns", "compute.internal forward cloud-dns"],
            upstreams=upstream("corp-dns", LEFT_DNS, LEFT_DNS6, outbound="to-left")
            + upstream("cloud-dns", CLOUD_DNS, CLOUD_DNS6) + upstream("internet", INTERNET),
            default="internet"))
        for name in ("onprem.corp", "compute.internal", "www.example.com"):
            rig.wait_path(name, CLIENT)
        yield rig
    finally:
        rig.close()


def dig(namespace, *arguments):
    return namespace.run("dig", "+time=2", "+tries=2", "+short", *arguments).stdout.split()


def test_onprem_client_reaches_cloud_names_through_its_own_server(gateway):
    assert dig(gateway.left, f"@{LEFT_DNS}", "ec2-instance.us-east-1.compute.internal", "A") == ["10.1.0.101"]
    assert dig(gateway.left, f"@{LEFT_DNS6}", "ec2-instance.us-east-1.compute.internal", "AAAA") == ["fd01::101"]
    assert gateway.counter("answered_upstream") >= 2


def test_vpc_client_reaches_onprem_names(gateway):
    assert dig(gateway.right, "-b", RIGHT_CLIENT, f"@{RIGHT_IN}", "server1.onprem.corp", "A") == ["192.168.10.101"]
    assert dig(gateway.right, "-b", RIGHT_CLIENT, f"@{RIGHT_IN}", "www.onprem.corp", "A") == \
        ["server1.onprem.corp.", "192.168.10.101"]


def test_other_names_go_to_the_default_upstream(gateway):
    before = gateway.counter("misses")
    assert dig(gateway.right, "-b", RIGHT_CLIENT, f"@{RIGHT_IN}", "www.example.com", "A") == ["198.51.100.80"]
    assert gateway.counter("misses") == before + 1
    assert dig(gateway.right, "-b", RIGHT_CLIENT, f"@{RIGHT_IN}", "www.example.com", "A") == ["198.51.100.80"]
    assert gateway.counter("misses") == before + 1, "the second answer comes from the cache"


def test_ipv6_clients_are_served_alike(gateway):
    assert dig(gateway.right, f"@{RIGHT_IN6}", "server1.onprem.corp", "AAAA") == ["fd10::101"]
    response = ask(gateway.left, "ec2-instance.us-east-1.compute.internal", "AAAA", server=LEFT_IN6)
    assert addresses(response) == ["fd01::101"]


def test_tcp_is_served(gateway):
    before = gateway.counter("queries_stream")
    assert dig(gateway.right, "-b", RIGHT_CLIENT, "+tcp", f"@{RIGHT_IN}", "server1.onprem.corp", "A") == ["192.168.10.101"]
    assert dig(gateway.right, "+tcp", f"@{RIGHT_IN6}", "www.example.com", "A") == ["198.51.100.80"]
    assert gateway.counter("queries_stream") == before + 2


@pytest.mark.parametrize("address", [LEFT_IN, LEFT_IN6])
def test_endpoints_answer_ping_once(gateway, address):
    output = gateway.left.run("ping", "-c", "3", "-i", "0.2", "-W", "2", address).stdout
    assert "3 received" in output
    assert "DUP!" not in output, "two network stacks answer for one address"


def test_exactly_one_station_answers_arp(gateway):
    output = gateway.left.run("arping", "-c", "2", "-w", "3", "-I", "eth0", "-s", CLIENT, LEFT_IN, check=False).stdout
    assert "Received 2 response(s)" in output, output


def test_names_that_do_not_exist_say_so(gateway):
    response = ask(gateway.left, "nothing.compute.internal")
    assert rcode(response) == "NXDOMAIN"
    assert response.authority, "a negative answer without SOA can't be cached"


def test_explain_tells_the_way(gateway):
    output = gateway.shuntd.ctl("explain", "server1.onprem.corp", "A", "--client", RIGHT_CLIENT,
                                "--endpoint", "from-right").stdout
    for word in ("from-right", "clients", "onprem.corp", "corp-dns", LEFT_DNS):
        assert word in output, f"{word} is missing in:\n{output}"


def test_no_udp_port_unreachable_is_ever_sent(gateway):
    """A kernel that answered for the endpoint would end clients' waits, and help spoofers."""
    sniffer = gateway.left.raw("eth0")
    with sniffer, gateway.left.socket(address=CLIENT) as sock:
        sock.sendto(b"x" * 20, (LEFT_IN, 9999))
        before = gateway.counter("udp_port")
        eventually(lambda: gateway.counter("udp_port") >= max(before, 1), what="the datagram to be counted")
        sniffer.settimeout(0.3)
        try:
            while True:
                frame = sniffer.recv(2048)
                assert not (frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 3), "ICMP unreachable"
        except TimeoutError:
            pass
