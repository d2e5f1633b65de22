"""DNS over TLS (RFC 7858) and over HTTPS (RFC 8484) at an endpoint with a certificate: real clients, hostile ones, certificates that change."""
import pathlib
import socket
import ssl
import struct
import threading
import time

import dns.edns
import dns.message
import pytest

from client import addresses, ask, query, rcode
from netns import eventually
from rig import CLIENT, CLIENT2, LEFT_IN, LEFT_IN6, RIGHT_CLIENT, RIGHT_IN, SERVER, STRANGER, Rig
from servers import RealServer, ScriptedServer
from tls import NAME, PREFACE, Authority, TlsStream, config

@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.authority = Authority(rig.folder)
        rig.authority.issue("gw", 1001)
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1"), stream=True))
        rig.start(config(rig))
        rig.wait_up("main")
        yield rig
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def plain_handler(gateway):
    gateway.main.handler = lambda a: a.answer("300 A 192.0.2.1")


def count(gateway, name, group="TLS"):
    return gateway.counter(name, group)


def short(done):
    return done.stdout.split()


# --- clients that people use ---------------------------------------------------------------------------------------------

def kdig(gateway, *arguments, server=LEFT_IN, name="kdig.test"):
    return gateway.left.run("kdig", "+short", "+timeout=3", "+retry=0", f"@{server}", *arguments, name, "A", check=False)


@pytest.mark.parametrize("server", [LEFT_IN, LEFT_IN6])
def test_kdig_asks_over_tls(gateway, server):
    assert short(kdig(gateway, "+tls", server=server)) == ["192.0.2.1"]


def test_kdig_verifies_the_certificate_and_its_name(gateway):
    ca = f"+tls-ca={gateway.authority.bundle}"
    assert short(kdig(gateway, "+tls", ca, f"+tls-hostname={NAME}")) == ["192.0.2.1"]
    assert "192.0.2.1" not in kdig(gateway, "+tls", ca, "+tls-hostname=other.test").stdout


@pytest.mark.parametrize("how", ["+https", "+https-get"])
def test_kdig_asks_over_https(gateway, how):
    ca = f"+tls-ca={gateway.authority.bundle}"
    assert short(kdig(gateway, how, ca, f"+tls-hostname={NAME}")) == ["192.0.2.1"]


@pytest.mark.parametrize("how", ["+tls", "+https", "+https-get"])
def test_dig_asks_over_tls_and_https(gateway, how):
    done = gateway.left.run("dig", "+short", "+time=3", "+tries=1", how, f"@{LEFT_IN}", "dig.test", "A", check=False)
    assert short(done) == ["192.0.2.1"]


def test_curl_resolves_by_the_endpoint(gateway):
    gateway.main.handler = lambda a: a.answer(f"300 A {CLIENT}") if a.message.question[0].rdtype == 1 else a.answer()
    before = count(gateway, "requests", "HTTPS")
    listener = gateway.left.socket(socket.SOCK_STREAM, CLIENT, 8080)
    listener.listen(4)

    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = threading.Thread(target=serve)
    server.start()
    with listener:
        done = gateway.left.run("curl", "-sS", "--max-time", "8", "--cacert", gateway.authority.bundle, "--doh-url",
                                f"https://{LEFT_IN}/dns-query", "http://web.test:8080/", check=False)
        assert done.stdout == "ok", done.stderr
        server.join(5)
    assert count(gateway, "requests", "HTTPS") > before


class DotForwarder(RealServer):
    """An Unbound that forwards everything to the endpoint over TLS; `zone` is (CA file, name in the certificate)."""

    def configure(self, zone):
        bundle, name = zone
        conf = self.folder / "unbound.conf"
        conf.write_text(f"""
server:
  interface: {self.address[0]}
  access-control: 0.0.0.0/0 allow
  outgoing-interface: {CLIENT2}
  username: ""
  chroot: ""
  directory: "{self.folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  num-threads: 1
  do-ip6: no
  tls-cert-bundle: "{bundle}"
  local-zone: "test." nodefault
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-tls-upstream: yes
  forward-addr: {LEFT_IN}@853#{name}
""", encoding="ascii")
        self.command = ("/usr/sbin/unbound", "-d", "-c", str(conf))


def test_unbound_forwards_over_tls(gateway):
    before = count(gateway, "queries")
    unbound = DotForwarder(gateway.left, gateway.folder / "unbound", ["10.10.0.53"], (gateway.authority.bundle, NAME))
    try:
        def asked(name):
            return short(gateway.left.run("dig", "+short", "+time=1", "+tries=1", "@10.10.0.53", name, "A", check=False))
        eventually(lambda: asked("first.test") == ["192.0.2.1"], 15, "Unbound to answer")
        for i in range(20):
            assert asked(f"unbound{i}.test") == ["192.0.2.1"]
    finally:
        unbound.close()
    assert count(gateway, "queries") >= before + 21


# Where scripts/deps unpacks it; or of a host that has it installed.
UNPACKED = pathlib.Path("/opt/systemd-resolved/lib/systemd/systemd-resolved")
RESOLVED = UNPACKED if UNPACKED.exists() else pathlib.Path("/lib/systemd/systemd-resolved")


class Resolved(RealServer):
    """systemd-resolved that asks the endpoint over TLS alone; `zone` is (CA file, name in the certificate). It answers at 127.0.0.53 of its
    namespace, and has a mount namespace of its own: for its configuration, its folder in /run, and its user."""

    def configure(self, zone):
        bundle, name = zone
        (self.folder / "resolved.conf").write_text(f"[Resolve]\nDNS={LEFT_IN}#{name}\nDNSOverTLS=yes\nDNSSEC=no\nDomains=~.\nCache=no\n"
                                                   "LLMNR=no\nMulticastDNS=no\n", encoding="ascii")
        (self.folder / "ca.pem").write_bytes(bundle.read_bytes())
        for folder in (self.folder, self.folder.parent):
            folder.chmod(0o755)  # it gives root up
        for file, entry in (("passwd", "systemd-resolve:x:977:977::/:/usr/sbin/nologin"), ("group", "systemd-resolve:x:977:")):
            text = pathlib.Path("/etc", file).read_text(encoding="utf-8")
            (self.folder / file).write_text(text + ("" if "systemd-resolve:" in text else entry + "\n"), encoding="utf-8")
        script = f"""
mount --make-rprivate /
mount --bind {self.folder}/passwd /etc/passwd
mount --bind {self.folder}/group /etc/group
mount -t tmpfs none /run/systemd
install -d -o systemd-resolve -g systemd-resolve /run/systemd/resolve
mount -t tmpfs none /etc/systemd
cp {self.folder}/resolved.conf /etc/systemd
export SSL_CERT_FILE={self.folder}/ca.pem
exec {RESOLVED}
"""
        self.command = ("unshare", "--mount", "sh", "-ec", script)


@pytest.mark.parametrize("name", [NAME, "other.test"])
def test_systemd_resolved_asks_over_tls_and_checks_the_name(gateway, name):
    before = count(gateway, "queries")
    resolved = Resolved(gateway.left, gateway.folder / f"resolved-{name}", ["127.0.0.53"], (gateway.authority.bundle, name))
    try:
        def asked():
            return short(gateway.left.run("dig", "+short", "+time=2", "+tries=1", "@127.0.0.53", "resolved.test", "A", check=False))
        if name == NAME:
            eventually(lambda: asked() == ["192.0.2.1"], 15, f"systemd-resolved to answer, see {resolved.folder}/log")
            assert count(gateway, "queries") > before
        else:
            failed = count(gateway, "handshakes_failed")
            eventually(lambda: "192.0.2.1" not in asked() and count(gateway, "handshakes_failed") > failed, 15, "it to refuse the name")
            assert count(gateway, "queries") == before
    finally:
        resolved.close()


# --- DNS over TLS --------------------------------------------------------------------------------------------------------

def test_pipelined_queries_over_tls_are_answered_out_of_order(gateway):
    hold = threading.Event()

    def handler(asked):
        if asked.text == "slow.test":
            threading.Thread(target=lambda: hold.wait(3) and gateway.main.socket.sendto(
                asked.answer("300 A 192.0.2.2").to_wire(), asked.source)).start()
            return None
        return asked.answer("300 A 192.0.2.1")

    gateway.main.handler = handler
    with TlsStream(gateway) as stream:
        stream.send(query("slow.test"))
        messages = {m.id: m for m in (query(f"pipe{i}.test") for i in range(40))}
        wires = [m.to_wire() for m in messages.values()]
        stream.socket.sendall(b"".join(struct.pack("!H", len(w)) + w for w in wires))
        for _ in range(len(wires)):
            response = stream.receive()
            assert response.question == messages.pop(response.id).question
            assert addresses(response) == ["192.0.2.1"]
        hold.set()
        assert addresses(stream.receive()) == ["192.0.2.2"]


def test_answers_are_padded_where_the_query_is(gateway):
    with TlsStream(gateway) as stream:
        stream.send(query("padded.test", use_edns=0, options=[dns.edns.GenericOption(12, b"\0" * 30)]))
        length = struct.unpack("!H", stream._exactly(2))[0]
        response = dns.message.from_wire(stream._exactly(length))
        assert length % 468 == 0 and addresses(response) == ["192.0.2.1"]
        assert 12 in [int(o.otype) for o in response.options]
        stream.send(query("padded.test", use_edns=0))
        assert struct.unpack("!H", stream._exactly(2))[0] < 200


def test_answers_larger_than_a_record_arrive_whole(gateway):
    def handler(asked):
        if not asked.stream:
            response = asked.answer()
            response.flags |= 0x0200  # TC
            return response
        return asked.answer(*[f"300 TXT \"{i:04} {'x' * 200}\"" for i in range(250)])

    gateway.main.handler = handler
    with TlsStream(gateway) as stream:
        stream.send(query("large.test", "TXT"))
        response = stream.receive()
        assert len(response.to_wire()) > 3 * 16384 and len(addresses(response)) == 250
        stream.send(query("after.test", "TXT"))
        assert len(addresses(stream.receive())) == 250


def test_a_session_is_resumed_by_its_ticket(gateway):
    context = gateway.authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the ticket is there with the handshake
    with TlsStream(gateway, context=context) as stream:
        session = stream.socket.session
        assert not stream.socket.session_reused
    before = count(gateway, "handshakes_resumed")
    with TlsStream(gateway, context=context, session=session) as stream:
        assert stream.socket.session_reused
        stream.send(query("resumed.test"))
        assert addresses(stream.receive()) == ["192.0.2.1"]
    assert count(gateway, "handshakes_resumed") == before + 1


def test_versions_below_tls_1_2_are_refused(gateway):
    before = count(gateway, "handshakes_failed")
    done = gateway.left.run("openssl", "s_client", "-connect", f"{LEFT_IN}:853", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0",
                            check=False, timeout=10)
    assert "Cipher is (NONE)" in done.stdout
    assert count(gateway, "handshakes_failed") == before + 1


@pytest.mark.parametrize("port,offer", [(853, "h2"), (443, "dot"), (443, "http/1.1")])
def test_another_application_protocol_is_refused(gateway, port, offer):
    group = "TLS" if port == 853 else "HTTPS"
    before = count(gateway, "handshakes_failed", group)
    with pytest.raises(ssl.SSLError):
        with TlsStream(gateway, port=port, context=gateway.authority.context(offer)) as stream:
            stream.socket.recv(1)
    assert count(gateway, "handshakes_failed", group) == before + 1


# --- hostile clients -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("port,group", [(853, "TLS"), (443, "HTTPS")])
def test_garbage_instead_of_a_handshake_closes_the_connection(gateway, port, group):
    before = count(gateway, "handshakes_failed", group)
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, bytes(range(256)) * 8, b"\x16\x03\x01\xff\xff" + b"\x01" * 5000):
        with TlsStream(gateway, port=port, context=None) as stream:
            stream.socket.sendall(garbage)
            stream.socket.settimeout(5)
            try:
                while stream.socket.recv(4096):  # an alert, perhaps
                    pass
            except ConnectionError:
                pass
    assert count(gateway, "handshakes_failed", group) == before + 4
    assert addresses(ask(gateway.left, "udp.test")) == ["192.0.2.1"]


@pytest.mark.parametrize("port,group", [(853, "TLS"), (443, "HTTPS")])
def test_a_handshake_that_never_ends_is_closed(gateway, port, group):
    before = count(gateway, "closed_handshake", group)
    with TlsStream(gateway, port=port, context=None) as silent, TlsStream(gateway, port=port, context=None) as half:
        half.socket.sendall(b"\x16\x03\x01\x02\0\x01")
        start = time.monotonic()
        assert silent.closed_by_peer(8) and half.closed_by_peer(8)
        assert time.monotonic() - start < 6
    assert count(gateway, "closed_handshake", group) == before + 2


def test_an_idle_tls_connection_is_closed(gateway):
    before = count(gateway, "closed_idle")
    with TlsStream(gateway) as stream:
        start = time.monotonic()
        assert stream.closed_by_peer(6)
        assert 0.8 < time.monotonic() - start < 4
    assert count(gateway, "closed_idle") == before + 1


def test_a_slow_sender_over_tls_is_closed(gateway):
    before = count(gateway, "closed_slow_sender")
    with TlsStream(gateway) as stream:
        stream.socket.sendall(b"\0\x20\x12")
        assert stream.closed_by_peer(9)
    assert count(gateway, "closed_slow_sender") == before + 1


@pytest.mark.parametrize("head", [b"\0\0", b"\xff\xff" + b"x" * 100])
def test_a_length_that_no_query_has_closes_the_tls_connection(gateway, head):
    before = count(gateway, "closed_bad_length")
    with TlsStream(gateway) as stream:
        stream.socket.sendall(head)
        assert stream.closed_by_peer(3)
    assert count(gateway, "closed_bad_length") == before + 1


def test_one_client_has_its_share_of_connections_over_all_transports(gateway):
    before = count(gateway, "connections_client_limit")
    held = [TlsStream(gateway, context=None) for _ in range(5)] + [TlsStream(gateway, context=None, port=443) for _ in range(5)]
    try:
        with TlsStream(gateway, context=None) as more:
            assert more.closed_by_peer(3)
        assert count(gateway, "connections_client_limit") == before + 1
        with TlsStream(gateway, source=CLIENT2) as other:
            other.send(query("other.test"))
            assert addresses(other.receive()) == ["192.0.2.1"]
        assert addresses(ask(gateway.left, "udp.test")) == ["192.0.2.1"]
    finally:
        for stream in held:
            stream.socket.close()


def test_an_idle_flood_gives_way_and_udp_does_not_notice(gateway):
    """Six clients hold all connections; under pressure they go within a second or two, and a new client is served."""
    for host in range(20, 26):
        gateway.left.ip("address", "add", f"10.10.0.{host}/24", "dev", "eth0")
    held = []
    try:
        for host in range(20, 26):
            held += [TlsStream(gateway, source=f"10.10.0.{host}", context=None) for _ in range(10)]
        slowest = 0.0
        start = time.monotonic()
        while time.monotonic() - start < 2.5:
            asked = time.monotonic()
            assert rcode(ask(gateway.left, f"flood{time.monotonic_ns()}.test")) == "NOERROR"
            slowest = max(slowest, time.monotonic() - asked)
        assert slowest < 0.5
        with TlsStream(gateway) as stream:
            stream.send(query("after-flood.test"))
            assert addresses(stream.receive()) == ["192.0.2.1"]
    finally:
        for stream in held:
            stream.socket.close()
        for host in range(20, 26):
            gateway.left.ip("address", "del", f"10.10.0.{host}/24", "dev", "eth0")


def test_a_reader_that_never_reads_tls_pays_alone(gateway):
    gateway.main.handler = lambda a: a.answer(*[f"300 A 192.0.2.{i}" for i in range(60)])
    ask(gateway.left, "reader.test")
    wire = query("reader.test").to_wire()
    with TlsStream(gateway, timeout=0.5) as stream:
        try:
            for _ in range(40):
                stream.socket.sendall((struct.pack("!H", len(wire)) + wire) * 500)
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass
        with TlsStream(gateway, source=CLIENT2) as other:
            other.send(query("patient.test"))
            assert len(addresses(other.receive())) == 60
        eventually(lambda: count(gateway, "closed_slow_reader") >= 1, 15, "the connection to be closed")


def test_clients_outside_the_allow_list_and_endpoints_without_certificate_are_silent(gateway):
    dropped, nowhere = gateway.counter("not_allowed"), gateway.counter("tcp_port")
    for namespace, source, server in ((gateway.left, STRANGER, LEFT_IN), (gateway.right, RIGHT_CLIENT, RIGHT_IN)):
        for port in (853, 443):
            with namespace.socket(socket.SOCK_STREAM, source) as sock:
                sock.settimeout(0.6)
                with pytest.raises(TimeoutError):
                    sock.connect((server, port))
    assert gateway.counter("not_allowed") >= dropped + 2
    assert gateway.counter("tcp_port") >= nowhere + 2


# --- HTTP ----------------------------------------------------------------------------------------------------------------

def curl(gateway, *arguments, path="/dns-query"):
    """Status, headers and body octets' count of one request."""
    done = gateway.left.run("curl", "-sS", "--max-time", "8", "--cacert", gateway.authority.bundle, "-D", "-", "-o", "/dev/null",
                            "-w", "%{http_code}", *arguments, f"https://{LEFT_IN}{path}", check=False)
    return done.stdout[-3:], done.stdout.lower(), done


def base64url(wire):
    import base64
    return base64.urlsafe_b64encode(wire).rstrip(b"=").decode()


def test_a_get_is_answered_with_type_and_age(gateway):
    wire = query("get.test", use_edns=0).to_wire()
    status, head, _ = curl(gateway, path=f"/dns-query?dns={base64url(wire)}")
    assert status == "200"
    assert "http/2 200" in head and "content-type: application/dns-message" in head
    age = int(head.split("max-age=")[1].split()[0])
    assert 290 <= age <= 300


def test_a_post_is_answered(gateway):
    body = gateway.folder / "query"
    body.write_bytes(query("post.test").to_wire())
    status, head, _ = curl(gateway, "--data-binary", f"@{body}", "-H", "content-type: application/dns-message")
    assert status == "200" and "max-age=" in head


def test_requests_that_are_none_get_their_status(gateway):
    before = count(gateway, "requests_bad", "HTTPS")
    dns_type = ("-H", "content-type: application/dns-message")
    large = gateway.folder / "large"
    large.write_bytes(b"x" * 5000)
    cases = [
        ("404", (), "/other"), ("404", (), "/dns-query/"), ("400", (), "/dns-query"), ("400", (), "/dns-query?dns="),
        ("400", (), "/dns-query?dns=AAAA"), ("400", (), "/dns-query?dns=AAABAAABAAAAAAAA!"), ("405", ("-X", "PUT"), "/dns-query"),
        ("405", ("-X", "DELETE"), "/dns-query"), ("415", ("--data", "x" * 40), "/dns-query"),
        ("400", ("--data", "short", *dns_type), "/dns-query"), ("413", ("--data-binary", f"@{large}", *dns_type), "/dns-query"),
        ("413", (), f"/dns-query?dns={'A' * 3000}"),
    ]
    for status, arguments, path in cases:
        got, head, done = curl(gateway, *arguments, path=path)
        assert got == status, f"{arguments} {path}: {head}{done.stderr}"
    assert "allow: get, post" in curl(gateway, "-X", "PUT")[1]
    assert count(gateway, "requests_bad", "HTTPS") == before + len(cases) + 1


def test_http_1_is_refused(gateway):
    _, _, done = curl(gateway, "--http1.1")
    assert done.returncode != 0
    # Without ALPN, the answer is in the client's own words.
    with TlsStream(gateway, port=443, context=gateway.authority.context(None)) as stream:
        stream.socket.sendall(b"GET /dns-query?dns=AAAB HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.socket.recv(4096).startswith(b"HTTP/1.1 505 ")


def test_garbage_inside_https_closes_the_connection(gateway):
    for garbage in (PREFACE + b"\xff" * 200, PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\xff\xff\xff\x01\x05\0\0\0\x01"):
        with TlsStream(gateway, port=443) as stream:
            stream.socket.sendall(garbage)
            try:
                while stream.socket.recv(4096):
                    pass
            except ConnectionError:
                pass
    assert short(kdig(gateway, "+https")) == ["192.0.2.1"]


def test_an_https_path_of_ones_own(gateway):
    gateway.reload(config(gateway, '{ certificate = "gw.pem", key = "gw.key", https_path = "/resolve" }'))
    try:
        wire = base64url(query("path.test").to_wire())
        assert curl(gateway, path=f"/resolve?dns={wire}")[0] == "200"
        assert curl(gateway, path=f"/dns-query?dns={wire}")[0] == "404"
    finally:
        gateway.reload(config(gateway))


# --- certificates that change --------------------------------------------------------------------------------------------

def test_a_reload_swaps_the_certificate_while_connections_live(gateway):
    old = TlsStream(gateway)
    with old:
        assert old.serial() == 1001
        gateway.authority.issue("gw", 1002)
        gateway.shuntd.ctl("reload")
        with TlsStream(gateway) as new:
            assert new.serial() == 1002
            new.send(query("new.test"))
            assert addresses(new.receive()) == ["192.0.2.1"]
        old.send(query("old.test"))
        assert addresses(old.receive()) == ["192.0.2.1"]
    assert [c["endpoint"] for c in gateway.shuntd.json("status")["certificates"]] == ["from-left"]


@pytest.mark.parametrize("spoil,reason", [
    (lambda f: (f / "gw.pem").unlink(), "No such file"),
    (lambda f: (f / "gw.pem").write_text("nonsense", encoding="ascii"), "no certificate in PEM form"),
    (lambda f: (f / "gw.key").write_text((f / "ca.key").read_text(encoding="ascii"), encoding="ascii"), "another key"),
])
def test_a_bad_certificate_changes_nothing_and_is_named(gateway, spoil, reason):
    kept = {name: (gateway.folder / name).read_bytes() for name in ("gw.pem", "gw.key")}
    generation = gateway.shuntd.json("status")["generation"]
    spoil(pathlib.Path(gateway.folder))
    try:
        done = gateway.shuntd.ctl("reload", check=False)
        assert done.returncode == 78
        assert reason in done.stderr and "gw." in done.stderr and "shunt.toml:" in done.stderr
        assert gateway.shuntd.json("status")["generation"] == generation
        with TlsStream(gateway) as stream:
            stream.send(query("still.test"))
            assert addresses(stream.receive()) == ["192.0.2.1"]
    finally:
        for name, octets in kept.items():
            (gateway.folder / name).write_bytes(octets)


def test_a_rollback_brings_the_certificate_back_though_its_file_has_gone(gateway):
    with TlsStream(gateway) as stream:
        before = stream.serial()
    kept = {name: (gateway.folder / name).read_bytes() for name in ("gw.pem", "gw.key")}
    gateway.authority.issue("gw", 1003)
    assert "tls" in gateway.shuntd.ctl("reload", "--dry-run").stdout
    gateway.shuntd.ctl("reload")
    with TlsStream(gateway) as stream:
        assert stream.serial() == 1003
    (gateway.folder / "gw.key").unlink()
    gateway.shuntd.ctl("rollback")
    with TlsStream(gateway) as stream:
        assert stream.serial() == before
        stream.send(query("rollback.test"))
        assert addresses(stream.receive()) == ["192.0.2.1"]
    for name, octets in kept.items():
        (gateway.folder / name).write_bytes(octets)
    gateway.shuntd.ctl("reload")


def memory_of(pid):
    """What a process has in memory of its own, piece by piece."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            memory.seek(begin)
            try:
                yield memory.read(end - begin)
            except OSError:
                pass  # of a device


def test_no_text_of_a_key_stays_in_memory(gateway):
    gateway.shuntd.ctl("reload")
    text = (gateway.folder / "gw.key").read_bytes().split(b"\n")[1][20:60]
    assert len(text) == 40
    found_path = found_key = False
    for piece in memory_of(gateway.shuntd.process.pid):
        found_path |= b"/gw.key" in piece
        found_key |= text in piece
    assert found_path, "the search finds what is there"
    assert not found_key


def test_an_endpoint_that_loses_its_certificate_listens_no_more(gateway):
    with TlsStream(gateway) as stream:
        gateway.reload(config(gateway, tls=None))
        try:
            assert stream.closed_by_peer(3)
            with gateway.left.socket(socket.SOCK_STREAM, CLIENT) as sock:
                sock.settimeout(0.6)
                with pytest.raises(TimeoutError):
                    sock.connect((LEFT_IN, 853))
            assert addresses(ask(gateway.left, "udp.test")) == ["192.0.2.1"]
        finally:
            gateway.reload(config(gateway))
    assert short(kdig(gateway, "+tls")) == ["192.0.2.1"]


def test_metrics_tell_transports_apart(gateway):
    text = gateway.shuntd.ctl("metrics").stdout
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    for name in ("tls_queries", "https_queries", "https_requests", "tls_handshakes"):
        assert float(values[f"shunt_{name}_total"]) > 0
    assert float(values['shunt_certificate_expiry_timestamp_seconds{endpoint="from-left"}']) > time.time()
    streams = {row["transport"]: row for row in gateway.shuntd.json("status")["streams"]}
    assert streams["TLS"]["queries"] == float(values["shunt_tls_queries_total"])
