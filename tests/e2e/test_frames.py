"""Frames that are broken or not for us: each is dropped under its own reason, and the next query is answered."""
import struct

import dns.message
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from client import addresses, ask, query
from netns import eventually
from rig import CLIENT, CLIENT6, LEFT_IN, LEFT_IN6, LEFT_OUT, SERVER, STRANGER, Rig, upstream
from servers import ScriptedServer

DNS = Raw(query("frame.test").to_wire())
PORTS = UDP(sport=4000, dport=53)
SOL_PACKET, PACKET_AUXDATA, TAGGED = 263, 8, 0x10   # linux/if_packet.h


@pytest.fixture(scope="module", params=["af_xdp", "af_packet"])
def gateway(request):
    rig = Rig(request.param)
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1")))
        rig.text = rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER))
        rig.start(rig.text)
        rig.wait_up("main")
        rig.wire = rig.left.raw("eth0")
        rig.port_mac, rig.client_mac = rig.gw.mac("left"), rig.left.mac("eth0")
        assert addresses(ask(rig.left, "frame.test")) == ["192.0.2.1"]
        yield rig
        rig.wire.close()
    finally:
        rig.close()


def v4(payload=PORTS / DNS, **fields):
    return IP(**{"src": CLIENT, "dst": LEFT_IN, **fields}) / payload


def v6(payload=PORTS / DNS, **fields):
    return IPv6(**{"src": CLIENT6, "dst": LEFT_IN6, **fields}) / payload


def cut(packet, octets):
    """All but the last octets, lengths in the headers as before."""
    return bytes(packet)[:-octets]


def options():
    return v4(options=[IPOption_Router_Alert()])


def first_fragment(more):
    return v4(flags="MF" if more else 0, frag=0 if more else 64)


def v6_fragment():
    return v6(IPv6ExtHdrFragment(offset=0, m=1, id=7) / PORTS / DNS)


FRAMES = {
    # name: (reason, what stands behind the Ethernet header, changes to that header)
    "empty": ("runt", b"", {}),
    "ip header cut": ("runt", cut(v4(), len(bytes(v4())) - 12), {}),
    "ip longer than frame": ("runt", cut(v4(), 5), {}),
    "ipv6 header cut": ("runt", bytes(v6())[:20], {"type": 0x86dd}),
    "ipv6 longer than frame": ("runt", cut(v6(), 5), {"type": 0x86dd}),
    "other station": ("not_for_us_mac", v4(), {"dst": "02:00:00:00:00:99"}),
    "our own mac": ("own_source_mac", v4(), {"src": "port"}),
    "group source mac": ("ip_source", v4(), {"src": "01:00:5e:00:00:05"}),
    "vlan tag": ("vlan", Dot1Q(vlan=5) / v4(), {"type": 0x8100}),
    "two vlan tags": ("vlan", Dot1Q(vlan=5) / Dot1Q(vlan=6) / v4(), {"type": 0x8100}),
    "ethertype": ("ethertype", b"\x02\x07\x04" + b"\0" * 60, {"type": 0x88cc}),
    "version 5": ("ip_header", v4(version=5), {}),
    "header length 4": ("ip_header", v4(ihl=4), {}),
    "total length below header": ("ip_header", v4(len=16), {}),
    "version 4 in ipv6": ("ip_header", v6(version=4), {"type": 0x86dd}),
    "ip checksum": ("ip_checksum", v4(chksum=0x1234), {}),
    "ip options": ("ip_options", options(), {}),
    "ipv6 hop-by-hop": ("ip_extension", v6(IPv6ExtHdrHopByHop() / PORTS / DNS), {"type": 0x86dd}),
    "ipv6 destination options": ("ip_extension", v6(IPv6ExtHdrDestOpt() / PORTS / DNS), {"type": 0x86dd}),
    "first fragment": ("ip_fragment", first_fragment(True), {}),
    "last fragment": ("ip_fragment", first_fragment(False), {}),
    "ipv6 fragment": ("ip_fragment", v6_fragment(), {"type": 0x86dd}),
    "source 0.0.0.0": ("ip_source", v4(src="0.0.0.0"), {}),
    "source 0/8": ("ip_source", v4(src="0.1.2.3"), {}),
    "source loopback": ("ip_source", v4(src="127.0.0.1"), {}),
    "source multicast": ("ip_source", v4(src="224.0.0.251"), {}),
    "source broadcast": ("ip_source", v4(src="255.255.255.255"), {}),
    "source is the endpoint": ("ip_source", v4(src=LEFT_IN), {}),
    "source is the outbound address": ("ip_source", v4(src=LEFT_OUT), {}),
    "ipv6 source unspecified": ("ip_source", v6(src="::"), {"type": 0x86dd}),
    "ipv6 source loopback": ("ip_source", v6(src="::1"), {"type": 0x86dd}),
    "ipv6 source multicast": ("ip_source", v6(src="ff02::1"), {"type": 0x86dd}),
    "ipv6 source mapped": ("ip_source", v6(src="::ffff:10.10.0.10"), {"type": 0x86dd}),
    "ipv6 source is the endpoint": ("ip_source", v6(src=LEFT_IN6), {"type": 0x86dd}),
    "other destination": ("ip_destination", v4(dst="10.10.0.77"), {}),
    "multicast destination": ("ip_destination", v4(dst="224.0.0.251"), {"dst": "01:00:5e:00:00:fb"}),
    "broadcast frame": ("ip_destination", v4(), {"dst": "ff:ff:ff:ff:ff:ff"}),
    "tcp to a group": ("ip_destination", v4(TCP(sport=4000, dport=53), dst="224.0.0.251"), {"dst": "01:00:5e:00:00:fb"}),
    "udp length below header": ("udp_length", v4(UDP(sport=4000, dport=53, len=7) / DNS), {}),
    "udp longer than ip": ("udp_length", v4(UDP(sport=4000, dport=53, len=500) / DNS), {}),
    "udp header cut": ("udp_length", v4(Raw(b"\x0f\xa0\0\x35"), proto=17), {}),
    "udp checksum": ("udp_checksum", v4(UDP(sport=4000, dport=53, chksum=0x1111) / DNS), {}),
    "ipv6 udp checksum": ("udp_checksum", v6(UDP(sport=4000, dport=53, chksum=0x1111) / DNS), {"type": 0x86dd}),
    "ipv6 without udp checksum": ("udp_checksum", v6(UDP(sport=4000, dport=53, chksum=0) / DNS), {"type": 0x86dd}),
    "udp source port 0": ("udp_port_zero", v4(UDP(sport=0, dport=53) / DNS), {}),
    "udp destination port 0": ("udp_port_zero", v4(UDP(sport=4000, dport=0) / DNS), {}),
    "udp to a port of nobody": ("udp_port", v4(UDP(sport=4000, dport=5353) / DNS), {}),
    "tcp to a port of nobody": ("tcp_port", v4(TCP(sport=4000, dport=80)), {}),
    "tcp header cut": ("runt", v4(Raw(b"\x0f\xa0\0\x35"), proto=6), {}),
    "client outside the allow list": ("not_allowed", v4(src=STRANGER), {}),
    "tcp from outside the allow list": ("not_allowed", v4(TCP(sport=4000, dport=53), src=STRANGER), {}),
    "arp cut": ("runt", bytes(ARP())[:20], {"type": 0x806}),
}


def frame_of(gateway, content, header):
    fields = {"dst": gateway.port_mac, "src": gateway.client_mac, "type": 0x800, **header}
    if fields["src"] == "port":
        fields["src"] = gateway.port_mac
    return bytes(Ether(**fields)) + bytes(content)


def answered(gateway):
    return addresses(ask(gateway.left, "frame.test")) == ["192.0.2.1"]


def arrives(driver, name):
    """With AF_PACKET the kernel puts IPv4 fragments together before the driver sees them: none ever arrives."""
    return driver == "af_xdp" or FRAMES[name][0] != "ip_fragment" or name.startswith("ipv6")


CASES = [(driver, name) for driver in ("af_xdp", "af_packet") for name in FRAMES if arrives(driver, name)]


@pytest.mark.parametrize("gateway,name", CASES, indirect=["gateway"])
def test_dropped_under_its_reason(gateway, name):
    reason, content, header = FRAMES[name]
    before = gateway.counter(reason, "dropped frames")
    gateway.wire.send(frame_of(gateway, content, header))
    eventually(lambda: gateway.counter(reason, "dropped frames") == before + 1, 3, f"{reason} to be counted")
    assert answered(gateway)


def is_dropped(gateway, frame):
    """Sends a frame with another VLAN than the port's; true once that is counted."""
    before = gateway.counter("vlan", "dropped frames")
    gateway.wire.send(frame)
    eventually(lambda: gateway.counter("vlan", "dropped frames") == before + 1, 3, "a frame of another VLAN to be dropped")
    return True


def exchange(gateway, frame):
    """Sends a frame that holds a query, and gives the answer that comes back to its port 4000."""
    with gateway.left.socket(address=CLIENT, port=4000) as sock:
        gateway.wire.send(frame)
        return dns.message.from_wire(sock.recv(4096))


def test_padding_behind_the_packet_is_no_part_of_it(gateway):
    response = exchange(gateway, frame_of(gateway, bytes(v4()) + b"\xff" * 18, {}))
    assert addresses(response) == ["192.0.2.1"]


def test_an_ipv4_datagram_may_lack_its_checksum(gateway):
    response = exchange(gateway, frame_of(gateway, v4(UDP(sport=4000, dport=53, chksum=0) / DNS), {}))
    assert addresses(response) == ["192.0.2.1"]


def test_a_priority_tag_is_not_a_vlan(gateway):
    response = exchange(gateway, frame_of(gateway, Dot1Q(vlan=0, prio=3) / v4(), {"type": 0x8100}))
    assert addresses(response) == ["192.0.2.1"]


def next_vlan(sock):
    """The VLAN of the next answer to port 4000: the kernel gives the tag beside the frame."""
    while True:
        frame, extra, _, _ = sock.recvmsg(2048, 64)
        ip = IP(frame[14:])
        if UDP in ip and ip[UDP].sport == 53 and ip[UDP].dport == 4000:
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", extra[0][2])
            return tci & 0xfff if status & TAGGED else 0


@pytest.mark.parametrize("gateway", ["af_xdp"], indirect=True)
def test_a_reload_moves_a_port_to_another_vlan(gateway):
    tagged, plain = frame_of(gateway, Dot1Q(vlan=5) / v4(), {"type": 0x8100}), frame_of(gateway, v4(), {})
    assert is_dropped(gateway, tagged)
    with gateway.left.raw("eth0") as sock:
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        gateway.reload(gateway.text.replace('name = "left"', 'name = "left"\nvlan = 5', 1))
        assert is_dropped(gateway, plain)
        sock.send(tagged)
        assert next_vlan(sock) == 5
        gateway.reload(gateway.text)
        assert is_dropped(gateway, tagged)
        sock.send(plain)
        assert next_vlan(sock) == 0


@pytest.mark.parametrize("gateway", ["af_xdp"], indirect=True)
def test_a_datagram_in_real_fragments_is_dropped(gateway):
    large = v4(UDP(sport=4000, dport=53) / Raw(b"x" * 3000))
    pieces = fragment(large, fragsize=1400)
    before = gateway.counter("ip_fragment", "dropped frames")
    for piece in pieces:
        gateway.wire.send(frame_of(gateway, piece, {}))
    eventually(lambda: gateway.counter("ip_fragment", "dropped frames") == before + len(pieces), 3, "all fragments")
    assert answered(gateway)


def test_a_datagram_padded_inside_ip_ends_where_udp_says(gateway):
    """Octets between the end of the datagram and the end of the IP packet are never read as DNS."""
    content = v4(UDP(sport=4000, dport=53, len=8 + len(DNS.load), chksum=0) / Raw(DNS.load + b"\xff" * 11))
    assert addresses(exchange(gateway, frame_of(gateway, content, {}))) == ["192.0.2.1"]


def test_ping_of_an_address_that_is_not_ours_is_not_for_the_kernel(gateway):
    before = gateway.counter("ip_destination", "dropped frames")
    gateway.wire.send(frame_of(gateway, v4(ICMP(), dst="10.10.0.77"), {}))
    eventually(lambda: gateway.counter("ip_destination", "dropped frames") == before + 1, 3, "the ping to be counted")


def test_every_frame_is_counted_once(gateway):
    """The law of stats.def: frames received = queries + answers + passed to the mirror + handed over + dropped."""
    for _reason, content, header in FRAMES.values():
        gateway.wire.send(frame_of(gateway, content, header))
    assert answered(gateway)
    stats = gateway.stats()
    drops = sum(total for (group, _), total in stats.items() if group == "dropped frames")
    of = {name: total for (group, name), total in stats.items() if group == "counters"}
    assert of["frames_received"] == of["queries_udp"] + of["answers"] + of["to_mirror"] + of["handed_over"] + drops
