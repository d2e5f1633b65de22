"""Reload while traffic flows: nothing is lost, the new generation answers from the moment the command has returned, and a bad file
changes nothing."""
import re
import socket

import pytest

from client import Dnsperf, addresses, ask, rcode
from netns import eventually
from rig import LEFT_IN, SERVER, SERVER2, Rig, upstream
from servers import Nsd

ZONE = """$TTL 1
$ORIGIN onprem.corp.
@ SOA ns admin 1 3600 600 86400 1
  NS ns
ns A 10.20.0.53
* A {address}
"""
UPSTREAMS = upstream("old-dns", SERVER) + upstream("new-dns", SERVER2)
OLD, NEW = "192.0.2.1", "192.0.2.2"


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        for address, answer in ((SERVER, OLD), (SERVER2, NEW)):
            rig.add(Nsd(rig.right, rig.folder / answer, (address,), ("onprem.corp", ZONE.format(address=answer)))
                    ).wait_ready("onprem.corp")
        rig.old = rig.config(rules=["onprem.corp forward old-dns"], upstreams=UPSTREAMS)
        rig.new = rig.config(rules=["onprem.corp forward new-dns"], upstreams=UPSTREAMS)
        rig.start(rig.old)
        rig.wait_up("old-dns", "new-dns")
        yield rig
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def old_again(gateway):
    gateway.reload(gateway.old)


def generation(gateway):
    return gateway.shuntd.json("status")["generation"]


def test_moving_a_domain_under_load_loses_nothing_and_takes_effect_at_once(gateway):
    load = Dnsperf(gateway.left, [f"n{i}.onprem.corp A" for i in range(5000)], seconds=6, rate=4000)
    eventually(lambda: gateway.counter("queries_udp") > 4000, what="the load to be under way")
    for turn in range(8):
        text, expected = ((gateway.new, NEW), (gateway.old, OLD))[turn % 2]
        gateway.reload(text)
        for i in range(40):
            assert addresses(ask(gateway.left, f"t{turn}-{i}.onprem.corp")) == [expected]
            assert addresses(ask(gateway.left, f"n{i}.onprem.corp")) == [expected], "an answer of the old generation's upstream"
    result = load.finish()
    assert result["lost"] == 0, result["output"]
    assert result["completed"] == result["sent"] >= 5000
    assert set(result["rcodes"]) == {"NOERROR"}, result["output"]


def test_every_reload_is_a_generation_and_says_what_changes(gateway):
    before = generation(gateway)
    output = gateway.reload(gateway.new).stdout
    assert re.search(rf"generation {before}→{before + 1}", output), output
    assert generation(gateway) == before + 1


@pytest.mark.parametrize("mistake,message", [
    ("rules = [\"main\", \"nowhere\"]", "nowhere"),
    ("rulez = [\"main\"]", "rulez"),
    ("rules = [\"main\" 7]", "syntax"),
])
def test_a_bad_file_changes_nothing_and_names_the_place(gateway, mistake, message):
    before = generation(gateway)
    text = gateway.new.replace('rules = ["main"]', mistake)
    line = text[:text.index(mistake)].count("\n") + 1
    gateway.write(text)
    done = gateway.shuntd.ctl("reload", check=False)
    assert done.returncode != 0
    place = re.search(r"shunt\.toml:(\d+):(\d+)", done.stderr)
    assert place, done.stderr
    assert (int(place[1]), int(place[2]) > 0) == (line, True)
    assert message in done.stderr
    assert generation(gateway) == before
    assert addresses(ask(gateway.left, "bad.onprem.corp")) == [OLD]


@pytest.mark.parametrize("old,new,name", [
    ("memory = \"128MiB\"", "memory = \"160MiB\"", "[dataplane]"),
    ("iface=left", "iface=other", "device"),
    ('name = "left"', 'name = "lan"', "mirror"),
    ("control.sock", "other.sock", "[control]"),
])
def test_what_cannot_be_reloaded_is_refused_by_name(gateway, old, new, name):
    before = generation(gateway)
    text = gateway.old.replace(old, new)
    assert text != gateway.old
    gateway.write(text)
    done = gateway.shuntd.ctl("reload", check=False)
    assert done.returncode != 0
    assert name in done.stderr
    assert generation(gateway) == before


def scrape(gateway, port):
    """What the server for Prometheus says at that port; None: nobody is there."""
    with gateway.gw.socket(socket.SOCK_STREAM) as sock:
        sock.settimeout(3)
        try:
            sock.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            return None
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: gw\r\n\r\n")
        text = b""
        while octets := sock.recv(65536):
            text += octets
        return text.decode()


def test_the_metrics_listener_moves(gateway):
    def at(port):
        return gateway.old + f'\n[metrics]\nlisten = "127.0.0.1:{port}"\n'

    assert scrape(gateway, 9153) is None
    gateway.reload(at(9153))
    assert f"shunt_generation {generation(gateway)}\n" in scrape(gateway, 9153)
    gateway.write(at(9154))
    assert "listen" in gateway.shuntd.ctl("reload", "--dry-run").stdout and scrape(gateway, 9154) is None
    gateway.shuntd.ctl("reload")
    assert scrape(gateway, 9153) is None and "shunt_generation" in scrape(gateway, 9154)
    before = generation(gateway)
    with gateway.gw.socket(socket.SOCK_STREAM, "127.0.0.1") as taken:
        taken.listen()
        gateway.write(at(taken.getsockname()[1]))
        done = gateway.shuntd.ctl("reload", check=False)
        assert done.returncode != 0 and "[metrics] listen" in done.stderr
    assert generation(gateway) == before and "shunt_generation" in scrape(gateway, 9154)
    gateway.shuntd.ctl("rollback")
    assert scrape(gateway, 9154) is None and "shunt_generation" in scrape(gateway, 9153)
    gateway.reload(gateway.old)
    assert scrape(gateway, 9153) is None


def test_endpoints_and_allow_lists_follow(gateway):
    assert ask(gateway.left, "x.onprem.corp", source="10.10.0.200", timeout=0.5) is None
    gateway.reload(gateway.old.replace('allow = ["10.10.0.0/25"', 'allow = ["10.10.0.0/24"')
                   .replace('clients = ["10.10.0.0/26"', 'clients = ["10.10.0.0/24"'))
    assert addresses(ask(gateway.left, "x.onprem.corp", source="10.10.0.200")) == [OLD]
    gateway.reload(gateway.old.replace('addresses = ["10.10.0.2", "fd10::2"]', 'addresses = ["10.10.0.3", "fd10::2"]'))
    assert addresses(ask(gateway.left, "x.onprem.corp", server="10.10.0.3")) == [OLD]
    assert ask(gateway.left, "x.onprem.corp", server=LEFT_IN, timeout=0.5) is None


def test_a_port_gets_another_name_and_mtu(gateway):
    def mtu():
        return re.search(r"mtu (\d+)", gateway.mirror.ip("link", "show", "shunt-left").stdout)[1]

    def names():
        return [port["name"] for port in gateway.shuntd.json("status")["ports"]]

    assert (mtu(), names()) == ("1500", ["left", "right"])
    gateway.reload(gateway.old.replace('name = "left"', 'name = "lan"\nmirror = "shunt-left"\nmtu = 1400', 1))
    assert (mtu(), names()) == ("1400", ["lan", "right"])
    assert addresses(ask(gateway.left, "named.onprem.corp")) == [OLD]
    gateway.shuntd.ctl("rollback")
    assert (mtu(), names()) == ("1500", ["left", "right"])


def test_targets_that_come_and_go(gateway):
    for target, answer in ((SERVER2, NEW), (SERVER, OLD)) * 3:
        gateway.reload(gateway.config(rules=["onprem.corp forward dns"], upstreams=upstream("dns", target)))
        # A name not asked before: found, not remembered.
        assert addresses(ask(gateway.left, f"go{generation(gateway)}.onprem.corp")) == [answer]


def test_a_rule_set_file_is_read_again(gateway):
    (gateway.folder / "more.rules").write_text("blocked.onprem.corp block nxdomain\n")
    text = gateway.old.replace('rules = ["main"]', 'rules = ["main", "more"]') + '\n[[rules]]\nname = "more"\nfile = "more.rules"\n'
    gateway.reload(text)
    assert rcode(ask(gateway.left, "blocked.onprem.corp")) == "NXDOMAIN"
    (gateway.folder / "more.rules").write_text("# nothing\n")
    gateway.shuntd.ctl("reload")
    assert addresses(ask(gateway.left, "blocked.onprem.corp")) == [OLD]
    (gateway.folder / "more.rules").write_text("blocked.onprem.corp block nxdomain\nbad rule line here\n")
    done = gateway.shuntd.ctl("reload", check=False)
    assert done.returncode != 0
    assert re.search(r"more\.rules:2:\d+", done.stderr), done.stderr
    assert addresses(ask(gateway.left, "blocked.onprem.corp")) == [OLD]


def test_fifty_reloads_leave_no_memory_behind(gateway):
    def resident_kib():
        text = open(f"/proc/{gateway.shuntd.process.pid}/status", encoding="ascii").read()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    (gateway.folder / "many.rules").write_text("".join(f"r{i}.example block nxdomain\n" for i in range(10000)))
    extra = '\n[[rules]]\nname = "many"\nfile = "many.rules"\n'
    texts = [t.replace('rules = ["main"]', 'rules = ["main", "many"]') + extra for t in (gateway.new, gateway.old)]
    for i in range(20):
        gateway.reload(texts[i % 2])
    before = resident_kib()
    for i in range(50):
        gateway.reload(texts[i % 2])
    assert resident_kib() - before < 4096, f"{before} KiB grew to {resident_kib()} KiB"
