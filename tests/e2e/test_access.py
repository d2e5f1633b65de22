"""Who gets what: allow lists of inbound endpoints, networks by longest prefix, clients in no network, names without an upstream."""
import pytest

from client import CLIENT, addresses, ask, extended_errors, rcode
from rig import CLIENT2, CLIENT6, LEFT_IN, LEFT_IN6, NOBODY, RIGHT_CLIENT, RIGHT_IN, SERVER, SERVER2, STRANGER, Rig, upstream
from servers import ScriptedServer


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1")))
        rig.inner = rig.add(ScriptedServer(rig.right, SERVER2, lambda a: a.answer("300 A 192.0.2.2")))
        rig.start(rig.config(
            rules=["test forward main"], upstreams=upstream("main", SERVER) + upstream("inner", SERVER2),
            networks=f"""
[[rules]]
name = "inner"
list = ["test forward inner"]
[[network]]
name = "inner"
clients = ["{CLIENT2}/32"]
rules = ["inner"]
"""))
        rig.wait_up("main", "inner")
        yield rig
    finally:
        rig.close()


def test_a_client_outside_the_allow_list_gets_no_answer_at_all(gateway):
    before = gateway.counter("not_allowed")
    assert ask(gateway.left, "a.test", source=STRANGER, timeout=0.7) is None
    assert gateway.counter("not_allowed") == before + 1
    assert addresses(ask(gateway.left, "a.test")) == ["192.0.2.1"]


def test_a_client_outside_the_allow_list_cannot_connect(gateway):
    with pytest.raises(OSError):
        with gateway.left.socket(kind=1, address=STRANGER) as sock:
            sock.settimeout(1)
            sock.connect((LEFT_IN, 53))
            sock.sendall(b"\0\x0c" + b"\0" * 12)
            if sock.recv(1) == b"":
                raise ConnectionResetError


def test_a_client_in_no_network_is_refused(gateway):
    response = ask(gateway.left, "a.test", source=NOBODY, use_edns=0)
    assert rcode(response) == "REFUSED"
    assert extended_errors(response) == [18]
    assert ask(gateway.left, "a.test", source=NOBODY).edns == -1


def test_a_name_without_an_upstream_is_refused(gateway):
    response = ask(gateway.left, "www.example.com", use_edns=0)
    assert rcode(response) == "REFUSED"
    assert extended_errors(response) == [22]


def test_the_longest_prefix_names_the_network(gateway):
    assert addresses(ask(gateway.left, "net.test", source=CLIENT)) == ["192.0.2.1"]
    assert addresses(ask(gateway.left, "net.test", source=CLIENT2)) == ["192.0.2.2"]
    assert addresses(ask(gateway.left, "net.test", source=CLIENT, timeout=2)) == ["192.0.2.1"]
    assert addresses(ask(gateway.left, "net.test", server=LEFT_IN6, source=CLIENT6)) == ["192.0.2.1"]


def test_each_side_has_its_endpoint(gateway):
    assert addresses(ask(gateway.right, "a.test", server=RIGHT_IN, source=RIGHT_CLIENT)) == ["192.0.2.1"]


def test_an_endpoint_can_fix_the_network(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    try:
        gateway.reload(text.replace('name = "from-left"', 'name = "from-left"\nnetwork = "inner"'))
        assert addresses(ask(gateway.left, "fixed.test", source=CLIENT)) == ["192.0.2.2"]
        assert addresses(ask(gateway.left, "fixed.test", source=NOBODY)) == ["192.0.2.2"]
    finally:
        gateway.reload(text)


def test_an_answer_comes_from_the_address_that_was_asked(gateway):
    with gateway.left.socket(address=CLIENT) as sock:
        from client import query
        sock.sendto(query("a.test").to_wire(), (LEFT_IN, 53))
        _, source = sock.recvfrom(4096)
        assert source == (LEFT_IN, 53)


def test_an_address_of_the_port_that_is_no_endpoint_takes_no_queries(gateway):
    before = gateway.counter("udp_port")
    assert ask(gateway.left, "a.test", server="10.10.0.3", timeout=0.5) is None
    assert gateway.counter("udp_port") == before + 1
