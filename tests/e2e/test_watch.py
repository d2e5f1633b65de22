"""`watch` rules: each query is logged once, whatever answers it, and answered as if there were no watch."""
import pytest

from answering import answering_gateway
from client import addresses, ask, rcode
from netns import eventually
from rig import CLIENT

RULES = ["test forward main", "eye.test watch id=the-eye", "nx.test block nxdomain", "nx.test watch"]


@pytest.fixture(scope="module")
def gateway():
    with answering_gateway(RULES) as rig:
        yield rig


def logged(rig, name):
    return [line for line in rig.shuntd.log_path.read_text().splitlines() if "watch:" in line and f" {name}. " in line]


def test_a_watched_query_is_logged_once_also_when_its_answer_is_cached(gateway):
    for _ in range(3):
        assert addresses(ask(gateway.left, "a.eye.test")) == ["192.0.2.1"]
    eventually(lambda: len(logged(gateway, "a.eye.test")) == 3)
    line = logged(gateway, "a.eye.test")[0]
    assert "asks a.eye.test. A (network" in line and "eye.test watch id=the-eye (main, " in line
    assert gateway.counter("watched", "counters") == 3
    assert gateway.counter("cache_hits", "counters") == 2


def test_blocked_names_are_logged_too_and_others_are_not(gateway):
    for _ in range(2):
        assert rcode(ask(gateway.left, "nx.test")) == "NXDOMAIN"
    assert addresses(ask(gateway.left, "b.test")) == ["192.0.2.1"]
    eventually(lambda: len(logged(gateway, "nx.test")) == 2)
    assert not logged(gateway, "b.test")


def test_explain_shows_the_watch(gateway):
    out = gateway.shuntd.ctl("explain", "a.eye.test", "--client", CLIENT).stdout
    assert "  watch     eye.test watch id=the-eye (main, " in out
    assert "  rule      test forward main (main, " in out
