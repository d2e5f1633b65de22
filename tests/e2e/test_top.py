"""`shuntctl top`: rates, names, clients and rules, while queries come."""
import json
import signal
import subprocess

import pytest

from answering import answering_gateway
from client import ask
from netns import eventually
from rig import CLIENT, CLIENT2, SHUNTCTL

RULES = ["test forward main", "nx.test block nxdomain id=blocked-things", "gone.test block drop"]


@pytest.fixture(scope="module")
def gateway():
    with answering_gateway(RULES) as rig:
        yield rig


def start(rig, *options):
    return subprocess.Popen([SHUNTCTL, "--socket", rig.shuntd.socket, "top", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_who_asks_most_and_for_what(gateway):
    with start(gateway, "--json", "--interval", "0.5") as top:
        def busy():
            for _ in range(3):
                ask(gateway.left, "busy.test")
            ask(gateway.left, "x.nx.test", source=CLIENT2)
            update = json.loads(top.stdout.readline())
            return update if len(update["names"]) >= 2 and len(update["clients"]) >= 2 and update["rules"] else None

        update = eventually(busy, 20, "the busiest to show")
        top.send_signal(signal.SIGINT)
        assert top.wait(10) == 0
    assert [row["name"] for row in update["names"]][:2] == ["busy.test.", "x.nx.test."]
    assert [row["client"] for row in update["clients"]][:2] == [CLIENT, CLIENT2]
    assert update["names"][0]["per_second"] > update["names"][1]["per_second"] > 0
    assert "blocked-things" in [row["rule"] for row in update["rules"]]
    assert update["queries_per_second"] > 0 and 0 <= update["hit_ratio"] <= 1
    assert update["answered"]["rule"] > 0


def test_as_text(gateway):
    with start(gateway, "--updates", "3", "--interval", "0.5", "--count", "1") as top:
        for _ in range(20):
            ask(gateway.left, "busy.test")
            ask(gateway.left, "x.gone.test", timeout=0.05)
        out, err = top.communicate(timeout=20)
        assert top.returncode == 0 and not err
    updates = out.split("\n\nQUERIES/S")
    assert len(updates) == 4 and "queries/s, " in updates[0] and "dropped queries a second: blocked " in out
    assert "busy.test." in updates[-1] and "\033" not in out


def test_what_cannot_be_is_said(gateway):
    for arguments in (["--interval", "0"], ["--interval", "6"], ["--updates", "0"], ["--count", "-1"], ["--count", "1001"]):
        assert gateway.shuntd.ctl("top", *arguments, check=False).returncode == 2
    nowhere = subprocess.run([SHUNTCTL, "--socket", gateway.folder / "nowhere", "top"], capture_output=True, text=True, check=False, timeout=20)
    assert nowhere.returncode == 69 and nowhere.stderr
