"""shuntperf against shuntd over memif, without huge pages, at rates that any machine holds: what it can be asked to do, and what it reports."""
import json

import pytest

from netns import eventually, run
from rig import Shuntd
from test_memif import SHUNT_IN, SHUNT_IN6, SHUNTPERF, UPSTREAM, UPSTREAM6, MemifRig, Player


class PerfRig(MemifRig):
    """One worker with a cache; shuntperf asks it, and plays its upstream, on the same link."""

    def __init__(self):
        super().__init__(workers=1, cache="16MiB")

    def measure(self, *options, family=4, as_json=True):
        target, first = (SHUNT_IN, "10.30.1.0") if family == 4 else (SHUNT_IN6, "fd30::1:0")
        player = Player(
            "--role", "both", "--device", self._device("server"), "--no-hugepages", "--target", target, "--from", first, "--clients", 20,
            "--serve", f"{UPSTREAM},{UPSTREAM6}", "--names", "n%d.memif.test", "--count", 200, "--in-flight", 256, "--timeout-ms", 3000,
            "--prime", *(["--json", "--quiet", "--linger", 60] if as_json else []), *options)
        self.add(player)
        eventually((self.folder / "memif.sock").exists, 20, "the memif socket")
        self.write(self.text(UPSTREAM if family == 4 else f"[{UPSTREAM6}]:53"))
        self.shuntd = Shuntd(self.gw, self.folder)
        self.shuntd.wait_ready()
        return player.figures() if as_json else player


@pytest.fixture
def rig():
    made = PerfRig()
    try:
        yield made
    finally:
        made.close()


def assert_sound(figures):
    clients = figures["clients"]
    assert clients["sent"] == clients["answered"] > 0
    assert clients["lost"] == clients["wrong"] == clients["unexpected"] == clients["truncated"] == 0
    assert sum(clients["rcodes"].values()) == clients["answered"]
    assert figures["transmit_full"] == figures["upstream"]["not_served"] == 0
    return clients


def test_a_fixed_rate(rig):
    figures = rig.measure("--rate", 3000, "--seconds", 1.5)
    clients = assert_sound(figures)
    assert clients["rcodes"] == {"NOERROR": clients["sent"]}
    assert clients["sent_fresh"] == clients["sent_edns"] == clients["without_records"] == 0
    assert clients["wrong_by_reason"] == {"checksum": 0, "source": 0, "question": 0, "message": 0}
    assert clients["primed"] >= 200 and clients["octets_received"] > clients["octets_sent"] > 0
    schedule = figures["schedule"]
    assert schedule["rate"] == 3000
    assert schedule["due"] == pytest.approx(4500, rel=0.01)
    assert clients["sent"] + schedule["missed"] == schedule["due"]
    assert 0 <= schedule["late"] <= clients["sent"]
    latency = clients["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] <= latency["max"] * 1.04
    assert figures["seconds"] == pytest.approx(1.5, abs=0.2)
    assert figures["queries_per_second"] == pytest.approx(3000, rel=0.2)
    # All names were in the cache, so only priming reached the upstream.
    assert figures["upstream"]["served"] < clients["primed"] + 50


@pytest.mark.parametrize("family", [4, 6])
def test_fresh_names_mixed_types_and_a_share_of_edns(rig, family):
    figures = rig.measure("--rate", 3000, "--seconds", 1.5, "--miss-share", 0.2, "--miss-names", "x%d.miss.memif.test", "--type", "A:2,AAAA:1,TXT:1",
                          "--edns", 1232, "--edns-share", 0.3, "--dnssec", "--mixed-case", "--order", "zipf", family=family)
    clients = assert_sound(figures)
    assert clients["sent_fresh"] == pytest.approx(0.2 * clients["sent"], rel=0.25)
    assert clients["sent_edns"] == pytest.approx(0.3 * clients["sent"], rel=0.25)
    assert 0 < clients["without_records"] < clients["sent"]  # TXT
    # Every fresh name is a miss: as many more reach the upstream.
    assert figures["upstream"]["served"] >= clients["sent_fresh"]
    rig.quiet()
    assert rig.counter("forwarded") >= clients["sent_fresh"]
    assert rig.counter("answered_cache") > 0


def test_nothing_but_fresh_names(rig):
    figures = rig.measure("--rate", 2000, "--seconds", 1, "--miss-share", 1, "--miss-names", "%d.memif.test")
    clients = assert_sound(figures)
    assert clients["sent_fresh"] == clients["sent"]
    assert figures["upstream"]["served"] >= clients["sent"]
    rig.quiet()
    assert rig.counter("answered_cache") < 500  # of priming


def test_search_below_a_bound_that_is_low(rig):
    figures = rig.measure("--search", "--search-from", 500, "--search-to", 2000, "--search-seconds", 0.5, "--search-loss", 20, "--search-steps", 8)
    clients, search = assert_sound(figures), figures["search"]
    assert 500 <= search["rate"] <= 2000
    assert search["loss_percent"] < 20
    assert search["unpaced_rate"] == 0
    assert search["at_bound"] == (search["rate"] == 2000)
    assert 1 <= len(search["steps"]) <= 8
    assert search["steps"][0]["rate"] == 2000
    found = [step for step in search["steps"] if step["good"]][-1]
    assert found["rate"] == search["rate"] == figures["schedule"]["rate"]
    assert found["sent"] == clients["sent"]  # the figures are those of that step
    assert found["due"] == pytest.approx(search["rate"] * 0.5, rel=0.02)
    assert all(step["sent"] + step["missed"] == step["due"] for step in search["steps"])
    assert 0 < found["p50_us"] <= found["p99_us"]


def test_a_search_that_finds_nothing_fails(rig):
    """More than any machine answers: no step is good, and that is told step by step, in a line, and by the exit code."""
    player = rig.measure("--search", "--search-from", 2e8, "--search-to", 4e8, "--search-seconds", 0.2, as_json=False)
    out, err = player.process.communicate(timeout=30)
    assert player.process.returncode == 1
    assert out == ""
    lines = err.splitlines()
    assert sum("too much" in line for line in lines) >= 4
    assert lines[-1].startswith("shuntperf: search: none of ")


def test_help_names_every_option():
    done = run(SHUNTPERF, "--help")
    for option in ("--rate", "--search", "--search-loss", "--search-from", "--search-to", "--search-seconds", "--search-precision", "--search-steps",
                   "--miss-share", "--miss-names", "--edns-share", "--dnssec", "--type", "--json"):
        assert f"  {option}" in done.stdout, option


@pytest.mark.parametrize("options", [("--search", "--rate", 1000), ("--search", "--seconds", 1), ("--search-loss", 1), ("--dnssec",), ("--miss-names", "x%d.test"),
                                     ("--miss-share", 0.5, "--miss-names", "same.test"), ("--type", "A:0")])
def test_wrong_usage(options, tmp_path):
    done = run(SHUNTPERF, "--role", "clients", "--device", f"net_memif0,role=client,socket={tmp_path}/none.sock,socket-abstract=no", "--no-hugepages",
               "--target", SHUNT_IN, "--from", "10.30.1.0", *options, check=False)
    assert done.returncode == 2, json.dumps([done.stdout, done.stderr])
    assert done.stderr
