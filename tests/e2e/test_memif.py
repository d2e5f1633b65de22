"""Two workers over net_memif, shared memory between processes: no kernel network and no huge pages. shuntperf plays clients and upstream
servers on the same link. memif has no hash: what is sent on queue n arrives at worker n. So a server that answers on another
queue makes every answer reach a worker that didn't ask."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from netns import eventually, run
from rig import BUILD, ROOT, SHUNTD, Rig, Shuntd
from test_life import check_laws

SHUNTPERF = BUILD / "bench" / "perf" / "shuntperf"
SHUNT_IN, SHUNT_OUT, SHUNT_IN6, SHUNT_OUT6 = "10.30.0.2", "10.30.0.3", "fd30::2", "fd30::3"
UPSTREAM, UPSTREAM6 = "10.30.0.53", "fd30::53"
SHUNT_MAC, PEER_MAC = "02:00:00:00:30:02", "02:00:00:00:30:53"
NOBODY = 65534


class MemifRig(Rig):
    """A daemon whose only port is a memif link; no namespace of clients or servers."""

    def __init__(self, workers=2, mirrored=True, cache="0", user=None):
        self.workers, self.mirrored, self.cache, self.user = workers, mirrored, cache, user
        super().__init__("memif")

    def _wire_up(self):
        self.gw, self.mirror = self._namespace("gw"), self._namespace("mirror")

    def _device(self, role):
        mac = SHUNT_MAC if role == "client" else PEER_MAC
        return f"net_memif0,role={role},socket={self.folder}/memif.sock,socket-abstract=no,rsize=11,mac={mac}"

    def _cores(self):
        """Worker cores; where there are too few, the first worker runs on the control plane's."""
        count = os.cpu_count()
        return [core % count for core in range(1, self.workers + 1)] if self.workers >= count else list(range(1, self.workers + 1))

    def text(self, target=UPSTREAM):
        mirror = 'mirror = "memif"' if self.mirrored else f"""mirror = ""
neighbours = {{ "{UPSTREAM}" = "{PEER_MAC}", "{UPSTREAM6}" = "{PEER_MAC}" }}"""
        return f"""
[dataplane]
workers = {self._cores()}
control_core = 0
memory = "160MiB"
cache = "{self.cache}"
pending = 8192
hugepages = false

[control]
socket = "{self.folder}/control.sock"

[mirror]
namespace = "{self.mirror.name}"

[[port]]
name = "link"
device = "{self._device("client")}"
addresses = ["{SHUNT_IN}/16", "{SHUNT_OUT}/16", "{SHUNT_IN6}/64", "{SHUNT_OUT6}/64"]
{mirror}

[[inbound]]
name = "in"
addresses = ["{SHUNT_IN}", "{SHUNT_IN6}"]
allow = ["10.30.0.0/16", "fd30::/64"]

[[outbound]]
name = "out"
addresses = ["{SHUNT_OUT}", "{SHUNT_OUT6}"]

[[upstream]]
name = "main"
outbound = "out"
targets = ["{target}"]

[[rules]]
name = "main"
list = ["memif.test forward main"]

[[network]]
name = "clients"
clients = ["10.30.0.0/16", "fd30::/64"]
rules = ["main"]
"""

    def play(self, *options, upstream=UPSTREAM, family=4, names=1500, seconds=3, rate=4000):
        """Starts the daemon between clients and servers that play for a few seconds; shuntperf's figures. All names are asked for until shunt has found the server's
        station, and then in turn."""
        target, first = (SHUNT_IN, "10.30.1.0") if family == 4 else (SHUNT_IN6, "fd30::1:0")
        player = Player("--role", "both", "--device", self._device("server"), "--no-hugepages", "--queues", self.workers,
                        "--target", target, "--from", first, "--clients", 50, "--serve", f"{UPSTREAM},{UPSTREAM6}",
                        "--names", "n%d.memif.test", "--count", names, "--seconds", seconds, "--rate", rate, "--in-flight", 256,
                        "--timeout-ms", 5000, "--prime", "--linger", 60, "--json", "--quiet", *options)
        self.add(player)
        eventually((self.folder / "memif.sock").exists, 20, "the memif socket")
        self.write(self.text(upstream))
        self.shuntd = UserShuntd(self) if self.user else Shuntd(self.gw, self.folder)
        self.shuntd.wait_ready()
        return player.figures()

    def quiet(self):
        """Until nobody waits in shunt any more; then the laws must hold."""
        eventually(lambda: "\nshunt_waiting_queries" in self.shuntd.ctl("metrics").stdout and all(
            line.endswith(" 0") for line in self.shuntd.ctl("metrics").stdout.splitlines()
            if line.startswith("shunt_waiting_queries")), 6, "nobody to wait any more")
        check_laws(self.shuntd.ctl("metrics").stdout)


class Player:
    """A run of shuntperf: there before the daemon, and on the link until it has ended. The memif driver (DPDK 22.11) maps and unmaps
    the rings of a peer that comes or goes with no regard for a thread that polls them; shuntperf polls only while it plays."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(a) for a in (SHUNTPERF, *arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def figures(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"shuntperf: exit {self.process.wait(10)}\n{self.process.stderr.read()}")
        return json.loads(line)

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=20)


class UserShuntd(Shuntd):
    """The daemon as an unprivileged user, without capabilities; its program and files lie in a folder of its own."""

    def __init__(self, rig):
        program = shutil.copy(SHUNTD, rig.folder / "shuntd")
        for path in (rig.folder, *rig.folder.iterdir()):
            os.chown(path, rig.user, rig.user)
        self.socket = rig.folder / "control.sock"
        self.log_path = rig.folder / "shuntd.log"
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            ["setpriv", f"--reuid={rig.user}", f"--regid={rig.user}", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
             program, "--config", str(rig.folder / "shunt.toml")],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=rig.folder,
            env={"PATH": os.environ["PATH"], "RUNTIME_DIRECTORY": str(rig.folder)})


@pytest.fixture
def two_workers():
    rig = MemifRig()
    try:
        yield rig
    finally:
        rig.close()


def assert_all_answered(figures):
    clients = figures["clients"]
    assert clients["sent"] > 1000
    assert clients["answered"] == clients["sent"]
    assert clients["rcodes"] == {"NOERROR": clients["sent"]}
    assert clients["lost"] == clients["wrong"] == clients["unexpected"] == clients["without_records"] == 0
    assert figures["transmit_full"] == 0
    return clients


def per_worker(rig, name):
    groups = rig.shuntd.json("stats")["groups"]
    return next(row["workers"] for group in groups for row in group["rows"] if row["name"] == name)


@pytest.mark.parametrize("options", [(), ("--edns", 1232, "--mixed-case")], ids=["plain", "edns, mixed case"])
def test_all_queries_are_answered(two_workers, options):
    clients = assert_all_answered(two_workers.play(*options))
    two_workers.quiet()
    assert two_workers.counter("queries_udp") == clients["sent"] + clients["primed"]
    assert two_workers.counter("answered_upstream") >= clients["sent"]
    assert all(count > 0 for count in per_worker(two_workers, "queries_udp"))
    assert two_workers.counter("handed_over") == two_workers.counter("taken_over") == 0


def test_answers_that_reach_the_wrong_worker_are_handed_over(two_workers):
    figures = two_workers.play("--shift-queues")
    clients = assert_all_answered(figures)
    two_workers.quiet()
    assert two_workers.counter("handed_over") == two_workers.counter("taken_over") == figures["upstream"]["served"]
    assert two_workers.counter("answers", "counters") == 0
    assert two_workers.counter("answered_upstream") >= clients["sent"]
    assert all(count > 0 for count in per_worker(two_workers, "taken_over"))


def test_the_same_over_ipv6():
    rig = MemifRig()
    try:
        assert_all_answered(rig.play("--shift-queues", "--type", "AAAA", upstream=f"[{UPSTREAM6}]:53", family=6))
        rig.quiet()
        assert rig.counter("handed_over") == rig.counter("taken_over") > 0
    finally:
        rig.close()


def test_cached_names_are_asked_once_by_each_worker():
    rig = MemifRig(cache="16MiB")
    try:
        clients = assert_all_answered(rig.play(names=500, rate=10000))
        rig.quiet()
        assert rig.counter("answered_cache") + rig.counter("answered_upstream") + rig.counter("answered_error") == \
            clients["sent"] + clients["primed"]
        assert 500 <= rig.counter("forwarded") <= 1000
    finally:
        rig.close()


@pytest.mark.parametrize("family", [4, 6])
def test_an_ordinary_user_without_mirror_and_huge_pages(family):
    rig = MemifRig(workers=1, mirrored=False, cache="16MiB", user=NOBODY)
    try:
        assert_all_answered(rig.play("--peer-mac", SHUNT_MAC, family=family))
        pid = rig.shuntd.process.pid
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        assert f"Uid:\t{NOBODY}\t{NOBODY}" in status
        assert "CapEff:\t0000000000000000" in status
        rig.quiet()
    finally:
        rig.close()


def test_wrong_usage_and_what_cannot_work(tmp_path):
    base = ("--role", "clients", "--device", f"net_memif0,role=client,socket={tmp_path}/none.sock,socket-abstract=no", "--no-hugepages")
    who = ("--target", SHUNT_IN, "--from", "10.30.1.0")
    assert run(SHUNTPERF, "--version").stdout.startswith("shuntperf ")
    assert run(SHUNTPERF, check=False).returncode == 2
    assert run(SHUNTPERF, *base, check=False).returncode == 2
    assert run(SHUNTPERF, *base, *who, "--in-flight", 100, check=False).returncode == 2
    assert run(SHUNTPERF, *base, "--target", SHUNT_IN, "--from", "fd30::1", check=False).returncode == 2
    for code, options in ((1, ()), (2, ("--names", "same.test")), (2, ("--type", "NONSENSE")), (2, ("--names", "a..b%d"))):
        done = run(SHUNTPERF, *base, *who, *options, check=False)
        assert done.returncode == code
        assert done.stderr.splitlines()[-1].startswith("shuntperf: "), done.stderr


def test_the_daemon_is_not_needed_to_try_it(tmp_path):
    """Servers and clients of shuntperf against each other; the server ends when it is told to."""
    device = f"net_memif0,role={{}},socket={tmp_path}/memif.sock,socket-abstract=no"
    server = subprocess.Popen([SHUNTPERF, "--role", "upstream", "--device", device.format("server"), "--no-hugepages",
                               "--serve", UPSTREAM, "--seconds", "60", "--json", "--quiet"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        eventually((tmp_path / "memif.sock").exists, 10, "the memif socket")
        done = run(SHUNTPERF, "--role", "clients", "--device", device.format("client"), "--no-hugepages", "--target", UPSTREAM,
                   "--from", "10.30.1.0", "--rate", 2000, "--in-flight", 256, "--seconds", 1, "--order", "zipf", "--json", "--quiet")
        clients = assert_all_answered(json.loads(done.stdout))
        assert clients["sent"] == pytest.approx(2000, rel=0.05)
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=10)
    assert server.returncode == 0
    assert json.loads(out)["upstream"]["served"] == clients["sent"]
