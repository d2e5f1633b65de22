"""Generations that follow each other: only what changed is built, a rollback brings the last one back, a dry run tells by name what would
change, memory stays flat, and what doesn't fit is refused. All answers come from rules: no server is needed."""
import json
import re
import resource
import socket
import time

import pytest

from client import addresses, ask, rcode
from netns import eventually, run
from rig import Rig, SERVER, upstream

MORE = '\n[[rules]]\nname = "more"\nfile = "more.rules"\n'
MANY = 10_000


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        (rig.folder / "more.rules").write_text("more.test block nxdomain\n", encoding="ascii")
        rig.start(config(rig, "answer.test answer A 192.0.2.1"))
        yield rig
    finally:
        rig.close()


def config(rig, *rules, dataplane='rules_memory = "64MiB"', **changes):
    text = rig.config(rules=rules, upstreams=upstream("dns", SERVER) + upstream("other", SERVER), dataplane=dataplane, **changes)
    return text.replace('rules = ["main"]', 'rules = ["main", "more"]') + MORE


def reload(rig, *rules, **changes):
    rig.write(config(rig, *rules, **changes))
    return rig.shuntd.json("reload")


def resident_kib(rig):
    text = open(f"/proc/{rig.shuntd.process.pid}/smaps_rollup", encoding="ascii").read()
    return int(re.search(r"^Rss:\s+(\d+)", text, re.MULTILINE)[1])


class Reloader:
    """Reloads without the cost of a process each time."""

    def __init__(self, rig):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(rig.shuntd.socket))
        self.replies = self.socket.makefile("rb")

    def reload(self):
        self.socket.sendall(b'{"command": "reload"}\n')
        reply = json.loads(self.replies.readline())
        assert reply["ok"], reply
        return reply["result"]


def test_there_is_nothing_before_the_first_generation(gateway):
    assert gateway.shuntd.json("status")["generation"] == 1
    done = gateway.shuntd.ctl("rollback", check=False)
    assert done.returncode == 1
    assert "no generation before" in done.stderr
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.1"]


def test_only_sets_that_changed_are_built(gateway):
    reload(gateway, "answer.test answer A 192.0.2.1")
    time.sleep(2.2)  # a file that is newer may change again without a trace
    reload(gateway, "answer.test answer A 192.0.2.1")
    assert reload(gateway, "answer.test answer A 192.0.2.1")["sets_built"] == 0
    assert reload(gateway, "answer.test answer A 192.0.2.2")["sets_built"] == 1
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.2"]
    path = gateway.folder / "more.rules"
    path.write_text("MORE.test block nxdomain\n", encoding="ascii")
    assert reload(gateway, "answer.test answer A 192.0.2.2")["sets_built"] == 1
    # As long, with the old time of modification: the time of the change can't be set back.
    before = path.stat()
    path.write_text("more.tesT block nxdomain\n", encoding="ascii")
    run("touch", "-d", f"@{before.st_mtime_ns / 1e9:.9f}", path)
    assert reload(gateway, "answer.test answer A 192.0.2.2")["sets_built"] == 1
    assert rcode(ask(gateway.left, "more.test")) == "NXDOMAIN"


def test_rollback_toggles_and_status_tells(gateway):
    reload(gateway, "answer.test answer A 192.0.2.1")
    reload(gateway, "answer.test answer A 192.0.2.2")
    before = gateway.shuntd.json("status")
    assert before["differs_from_file"] is False
    number = before["generation"]
    said = gateway.shuntd.ctl("rollback").stdout
    assert re.match(rf"generation {number}→{number + 1} \(as {number - 1}\): \+0 −0 ~1, 2 rules, \d+ ms\n", said), said
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.1"]
    status = gateway.shuntd.json("status")
    assert (status["generation"], status["differs_from_file"]) == (number + 1, True)
    assert all(worker["generation"] == number + 1 for worker in status["workers"])
    assert "what runs differs from the file" in gateway.shuntd.ctl("status").stdout
    gateway.shuntd.ctl("rollback")
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.2"]
    assert gateway.shuntd.json("status")["differs_from_file"] is False
    gateway.shuntd.ctl("rollback")
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.1"]
    gateway.shuntd.ctl("reload")
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.2"]
    assert gateway.shuntd.json("status")["differs_from_file"] is False


def test_each_swap_of_a_worker_is_timed(gateway):
    before = gateway.shuntd.json("status")["workers"][0]
    reload(gateway, "answer.test answer A 192.0.2.1")
    after = eventually(lambda: next((w for w in gateway.shuntd.json("status")["workers"] if w["swaps"] > before["swaps"]), None),
                       what="the worker to tell its swap")
    assert 0 < after["last_swap_us"] <= after["swap_pause_us"]
    metrics = gateway.shuntd.ctl("metrics").stdout
    seconds = float(re.search(r'^shunt_worker_swap_pause_seconds\{worker="0"\} (\S+)$', metrics, re.MULTILINE)[1])
    assert seconds * 1e6 >= after["last_swap_us"]


def test_rollback_brings_endpoints_and_networks_back(gateway):
    reload(gateway, "answer.test answer A 192.0.2.1")
    moved = config(gateway, "answer.test answer A 192.0.2.1").replace(
        'addresses = ["10.10.0.2", "fd10::2"]', 'addresses = ["10.10.0.3", "fd10::2"]')
    gateway.reload(moved)
    assert ask(gateway.left, "answer.test", timeout=0.5) is None
    gateway.shuntd.ctl("rollback")
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.1"]


def test_a_dry_run_tells_by_name_and_changes_nothing(gateway):
    reload(gateway, "onprem.corp forward dns", "old.corp system", "moved.corp forward dns")
    number = gateway.shuntd.json("status")["generation"]
    text = config(gateway, "onprem.corp forward dns", "*.new.corp block drop", "moved.corp forward other", default="dns")
    gateway.write(text)
    lines = gateway.shuntd.ctl("reload", "--dry-run").stdout.splitlines()
    assert lines[0].startswith(f"would be generation {number}→{number + 1}: +1 −1 ~1, 4 rules, ")
    assert lines[1:] == ['~ network "clients": default', "+ main: *.new.corp block drop", "~ main: moved.corp: forward dns → forward other",
                         "- main: old.corp system"]
    assert gateway.shuntd.json("status")["generation"] == number
    changes = gateway.shuntd.json("reload", "--dry-run")["changes"]
    assert {"change": "-", "set": "main", "name": "old.corp", "before": "system", "after": ""} in changes["rules"]


def test_a_thousand_reloads_of_ten_thousand_rules_leave_no_memory_behind(gateway):
    path = gateway.folder / "more.rules"
    texts = ["".join(f"r{i}.{word}.example block nxdomain\n" for i in range(MANY)) for word in ("one", "two")]
    reload(gateway, "answer.test answer A 192.0.2.1")
    reloader = Reloader(gateway)
    sizes = []
    began = time.monotonic()
    for i in range(1000):
        path.write_text(texts[i % 2], encoding="ascii")
        result = reloader.reload()
        assert result["sets_built"] == 1
        assert result["rules"] == MANY + 1
        if i % 100 == 99:
            sizes.append(resident_kib(gateway))
    seconds = time.monotonic() - began
    assert max(sizes[5:]) - sizes[4] < 1024, sizes
    assert seconds < 120
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.1"]


def test_rules_that_do_not_fit_are_refused_with_the_figure(gateway):
    path = gateway.folder / "more.rules"
    path.write_text("".join(f"r{i}.fits.example block nxdomain\n" for i in range(300_000)), encoding="ascii")
    reload(gateway, "answer.test answer A 192.0.2.1")
    number = gateway.shuntd.json("status")["generation"]
    path.write_text("".join(f"r{i}.other.example block nxdomain\n" for i in range(700_000)), encoding="ascii")
    done = gateway.shuntd.ctl("reload", check=False)
    assert done.returncode == 78
    assert re.search(r"rules_memory = 64 MiB holds \d+ MiB of other rules already", done.stderr), done.stderr
    assert gateway.shuntd.json("status")["generation"] == number
    assert rcode(ask(gateway.left, "r7.fits.example")) == "NXDOMAIN"
    path.write_text("more.test block nxdomain\n", encoding="ascii")
    gateway.shuntd.ctl("reload")


def test_memory_that_runs_out_while_building_changes_nothing(gateway):
    path = gateway.folder / "more.rules"
    path.write_text("more.test block nxdomain\n", encoding="ascii")
    reload(gateway, "answer.test answer A 192.0.2.1")
    number = gateway.shuntd.json("status")["generation"]
    pid = gateway.shuntd.process.pid
    path.write_text("".join(f"r{i}.huge.example block nxdomain\n" for i in range(200_000)), encoding="ascii")
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
    mapped = int(open(f"/proc/{pid}/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (mapped + (8 << 20), unlimited[1]))
    try:
        done = gateway.shuntd.ctl("reload", check=False)
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
    assert done.returncode == 78
    assert "not enough memory" in done.stderr
    assert gateway.shuntd.json("status")["generation"] == number
    assert addresses(ask(gateway.left, "answer.test")) == ["192.0.2.1"]
    assert gateway.shuntd.json("reload")["rules"] == 200_001
    assert rcode(ask(gateway.left, "r7.huge.example")) == "NXDOMAIN"
    path.write_text("more.test block nxdomain\n", encoding="ascii")
    gateway.shuntd.ctl("reload")
