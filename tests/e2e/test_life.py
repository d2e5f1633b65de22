"""Starting and ending: exit codes, what stays behind (nothing), a kill and a restart, a second daemon, the control socket's manners,
and the laws that the counters keep under load."""
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from client import Dnsperf, Stream, addresses, ask, query, rcode
from netns import eventually, run
from rig import DEFAULT_SERVER, LEFT_IN, SERVER, SHUNTCTL, SHUNTD, Rig, Shuntd, upstream
from servers import ScriptedServer


@pytest.fixture(params=["af_packet", "af_xdp"])
def gateway(request):
    rig = Rig(request.param, hugepages=request.param == "af_xdp")
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1"), stream=True))
        rig.text = rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER))
        rig.start(rig.text)
        rig.wait_up("main")
        yield rig
    finally:
        rig.close()


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.close()


def left_in(namespace):
    """Interfaces of a namespace other than lo and the tunnels that some kernels put into every one."""
    return [l["ifname"] for l in json.loads(namespace.ip("-j", "link").stdout) if l["link_type"] == "ether"]


def test_sigterm_ends_it_cleanly_and_nothing_stays(gateway):
    assert addresses(ask(gateway.left, "life.test")) == ["192.0.2.1"]
    assert sorted(left_in(gateway.mirror)) == ["shunt-left", "shunt-right"]
    assert gateway.shuntd.stop(signal.SIGTERM) == 0
    assert not gateway.shuntd.socket.exists()
    assert left_in(gateway.mirror) == []
    assert run("ip", "netns", "pids", gateway.gw.name).stdout == ""


def test_sigint_is_the_same(gateway):
    assert gateway.shuntd.stop(signal.SIGINT) == 0
    assert not gateway.shuntd.socket.exists()


def test_what_is_in_flight_is_answered_before_the_end(gateway):
    arrived, hold = threading.Event(), threading.Event()

    def handler(asked):
        if asked.text != "last.test":
            return asked.answer("300 A 192.0.2.1")
        arrived.set()
        hold.wait(1.0)
        return asked.answer("300 A 192.0.2.7")

    gateway.main.handler = handler
    with gateway.left.socket(address="10.10.0.10") as sock:
        sock.sendto(query("last.test").to_wire(), (LEFT_IN, 53))
        assert arrived.wait(5)
        gateway.shuntd.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)  # the daemon drains now
        hold.set()
        assert b"\xc0\x00\x02\x07" in sock.recv(4096)
    assert gateway.shuntd.stop() == 0


def test_a_second_signal_ends_at_once(gateway):
    gateway.main.handler = lambda asked: None
    with gateway.left.socket(address="10.10.0.10") as sock:
        sock.sendto(query("never.test").to_wire(), (LEFT_IN, 53))
        eventually(lambda: gateway.main.queries("never.test"), what="the question to be asked")
        gateway.shuntd.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)  # two signals at once would be one
        gateway.shuntd.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        gateway.shuntd.stop()
        assert time.monotonic() - start < 1.5


def test_killed_and_started_again(gateway):
    for _ in range(2):
        assert gateway.shuntd.stop(signal.SIGKILL) == -signal.SIGKILL
        gateway.start(gateway.text)
        gateway.wait_up("main")
        assert addresses(ask(gateway.left, "again.test")) == ["192.0.2.1"]
        with Stream(gateway.left) as stream:
            stream.send(query("again.test"))
            assert addresses(stream.receive()) == ["192.0.2.1"]


def test_a_second_daemon_leaves_the_first_alone(gateway):
    second_folder = gateway.folder / "second"
    second_folder.mkdir()
    (second_folder / "shunt.toml").write_text(gateway.text)
    second = Shuntd(gateway.gw, second_folder)
    assert second.process.wait(20) == 1
    second.log.close()
    assert any(word in second.log_text().splitlines()[-1] for word in ("control.sock", "left")), second.log_text()
    assert addresses(ask(gateway.left, "first.test")) == ["192.0.2.1"]
    assert gateway.shuntd.ctl("status").returncode == 0


def test_counters_keep_their_laws_under_load(gateway):
    """Frames received = queries + answers + passed to the mirror + handed over + dropped; queries taken = answered + dropped + waiting;
    answers = taken + dropped. In every snapshot, not only when all is quiet."""
    gateway.main.handler = lambda a: None if "silent" in a.text else a.answer("300 A 192.0.2.1")
    names = [f"n{i}.test A" for i in range(300)] + [f"silent{i}.test A" for i in range(20)] + ["www.example.com A"] * 20
    load = Dnsperf(gateway.left, names, seconds=4, rate=3000, options=("-t", "2"))
    gateway.left.popen("ping", "-q", "-c", "20", "-i", "0.2", LEFT_IN, stdout=-3).wait  # mirror traffic beside it
    snapshots = 0
    while load.process.poll() is None:
        metrics = gateway.shuntd.ctl("metrics").stdout
        check_laws(metrics)
        snapshots += 1
        time.sleep(0.1)
    load.finish()
    assert snapshots > 5
    eventually(lambda: "shunt_waiting_queries" in gateway.shuntd.ctl("metrics").stdout and sum_of(
        gateway.shuntd.ctl("metrics").stdout, "shunt_waiting_queries") == 0, 6, "nobody to wait any more")
    check_laws(gateway.shuntd.ctl("metrics").stdout)


def sum_of(metrics, *names):
    """Sum over all samples of these metrics, of all workers and reasons."""
    lines = [line for line in metrics.splitlines() if line and line[0] != "#"]
    found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] in names]
    assert found, names
    return sum(found)


def check_laws(metrics):
    def total(*names):
        return sum_of(metrics, *[f"shunt_{name}_total" for name in names])

    assert total("frames_received") == total("queries_udp", "answers", "to_mirror", "handed_over", "dropped_frames")
    assert total("queries_udp", "queries_stream") == \
        total("answered_cache", "answered_rule", "answered_upstream", "answered_default", "answered_zone", "answered_error",
              "dropped_queries") + sum_of(metrics, "shunt_waiting_queries")
    assert total("answers", "taken_over") == total("answers_taken", "dropped_answers")


def test_another_users_connection_to_the_control_socket_is_refused(rig):
    rig.add(ScriptedServer(rig.right, SERVER))
    rig.start(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER)))
    rig.folder.chmod(0o755)  # so that the socket itself is what refuses

    def as_user(user, group):
        return run("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", SHUNTCTL, "--socket", rig.shuntd.socket, "status", check=False)

    nobody = 65534
    done = as_user(nobody, nobody)
    assert done.returncode == 69
    assert "ermission denied" in done.stderr, done.stderr
    os.chown(rig.shuntd.socket, 0, 4242)
    assert as_user(nobody, 4242).returncode == 0, "the socket's group may"
    assert as_user(nobody, nobody).returncode == 69


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def test_the_wall_clock_jumps_and_nothing_happens(rig):
    """By a day ahead, and two back, in the daemon's eyes alone: libfaketime changes what it reads of the wall clock, not of the monotonic one."""
    clock = rig.folder / "clock"
    clock.write_text("+0")
    rig.add(ScriptedServer(rig.right, SERVER, lambda a: None if a.text == "late.test" else a.answer("60 A 192.0.2.1")))
    rig.write(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER, timeout_ms=500), limits="tcp_idle_ms = 60000"))
    rig.shuntd = FakeClockShuntd(rig, clock).wait_ready()
    rig.wait_up("main")
    first = ask(rig.left, "kept.test").answer[0].ttl
    asked = len(rig.things[0].queries("kept.test"))
    since = upstream_since(rig)
    with Stream(rig.left) as stream:
        stream.send(query("kept.test"))
        assert stream.receive()
        for jump in ("+86400", "-86400"):
            start = time.monotonic()
            clock.write_text(jump)
            eventually(lambda: log_day(rig) == time.strftime("%Y-%m-%d", time.gmtime(time.time() + int(jump))), 5, "the daemon to see the jump")
            kept = ask(rig.left, "kept.test").answer[0].ttl
            assert first - 10 <= kept <= first, "the cached answer has its age"
            stream.send(query("kept.test"))
            assert addresses(stream.receive()) == ["192.0.2.1"], "the connection stays"
            began = time.monotonic()
            assert rcode(ask(rig.left, "late.test", timeout=4)) == "SERVFAIL"
            assert time.monotonic() - began < 3
            assert rig.target_up("main")
            assert 0 <= upstream_since(rig) - since <= time.monotonic() - start + 30
            assert rig.shuntd.json("status")["uptime_seconds"] < 60
    assert len(rig.things[0].queries("kept.test")) == asked
    assert rig.shuntd.stop() == 0


def upstream_since(rig):
    return rig.shuntd.json("upstreams")["upstreams"][0]["targets"][0]["since_seconds"]


def log_day(rig):
    """The day that the daemon's clock shows: that of its last word, said now."""
    rig.shuntd.ctl("reload")
    return rig.shuntd.log_text().splitlines()[-1][:10]


class FakeClockShuntd(Shuntd):
    """The daemon, with a wall clock that is off by what a file says."""

    def __init__(self, rig, clock):
        self.socket = rig.folder / "control.sock"
        self.log_path = rig.folder / "shuntd.log"
        self.log = open(self.log_path, "ab")
        self.process = rig.gw.popen(
            SHUNTD, "--config", rig.folder / "shunt.toml", stdout=self.log, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "TZ": "UTC", "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                 "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"})


def test_exit_codes_of_the_programs(rig):
    path = rig.write(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER)))
    assert run(SHUNTD, "--version").stdout.strip()
    assert run(SHUNTD, "--config", path, "--check").returncode == 0
    assert run(SHUNTD, "--nonsense", check=False).returncode == 2
    assert run(SHUNTD, check=False).returncode == 2
    missing = run(SHUNTD, "--config", rig.folder / "none.toml", check=False)
    assert missing.returncode == 78
    assert "none.toml" in missing.stderr
    assert run(SHUNTCTL, "--socket", rig.folder / "none.sock", "status", check=False).returncode == 69
    assert run(SHUNTCTL, "nonsense", check=False).returncode == 2
    assert run(SHUNTCTL, check=False).returncode == 2
    path.write_text("[dataplane]\nworkerz = [1]\n")
    assert rig.gw.run(SHUNTD, "--config", path, check=False).returncode == 78


def test_a_port_that_cannot_be_opened_is_an_error_that_names_it(rig):
    text = rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER)).replace("iface=left", "iface=absent")
    rig.write(text)
    done = rig.gw.run(SHUNTD, "--config", rig.folder / "shunt.toml", check=False)
    assert done.returncode == 1
    assert "left" in done.stderr or "absent" in done.stderr, done.stderr
    assert not (rig.folder / "control.sock").exists()


def test_the_control_socket_bears_with_anything(rig):
    rig.add(ScriptedServer(rig.right, SERVER))
    rig.start(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER)))
    path = rig.shuntd.socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o660

    def say(octets):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            try:
                sock.sendall(octets)
                return sock.recv(65536)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    for octets in (b"\n", b"garbage\n", b"[]\n", b"{}\n", b'{"command": 7}\n', b'{"command": "nonsense"}\n', b'{"a":' * 5000 + b"\n",
                   b"\xff\xfe\0\n", b'{"command": "explain"}\n', b'{"command": "explain", "name": 5, "client": []}\n'):
        answer = say(octets)
        assert json.loads(answer)["ok"] is False, octets
        assert json.loads(answer)["error"]
    say(b"x" * (8 << 20))  # a line without end
    idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for sock in idle:
        sock.setblocking(False)
        try:
            sock.connect(str(path))
        except (BlockingIOError, ConnectionError):
            pass
    assert rcode(ask(rig.left, "a.test")) == "NOERROR", "queries are answered meanwhile"
    for sock in idle:
        sock.close()
    eventually(lambda: rig.shuntd.ctl("status", check=False).returncode == 0, 5, "the socket to serve again")


def test_a_namespace_that_is_missing_is_made(rig):
    name = f"{rig.mirror.name}-new"
    rig.add(ScriptedServer(rig.right, DEFAULT_SERVER))
    rig.write(rig.config(rules=["test forward main"], upstreams=upstream("main", DEFAULT_SERVER))
              .replace(f'namespace = "{rig.mirror.name}"', f'namespace = "{name}"'))
    # Not through `ip netns exec`, inside which a namespace that is made is not seen outside.
    process = subprocess.Popen(["nsenter", f"--net=/run/netns/{rig.gw.name}", str(SHUNTD), "--config", str(rig.folder / "shunt.toml")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: run(SHUNTCTL, "--socket", rig.folder / "control.sock", "status", check=False).returncode == 0, 20,
                   "shuntd to be ready")
        assert pathlib.Path(f"/run/netns/{name}").exists()
        assert "shunt-left" in run("ip", "-n", name, "link").stdout
        assert rig.left.run("ping", "-c", "1", "-W", "2", LEFT_IN).returncode == 0
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        if os.path.exists(f"/run/netns/{name}"):
            run("ip", "netns", "del", name)
