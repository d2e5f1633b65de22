"""Figures of single rules: what became of a rule's queries, across reloads, and above the limit those of the busiest."""
import pytest

from client import Dnsperf, ask, rcode
from netns import eventually
from rig import DEFAULT_SERVER, SERVER, SERVER2, Rig, upstream
from servers import ScriptedServer

RULES = ["onprem.test forward main id=onprem", "slow.test forward silent id=slow", "=one.test block nxdomain", "*.drop.test block drop",
         "refused.test block refused", "made.test answer A 192.0.2.9", "onprem.test watch id=seen", "left.test system"]
UPSTREAMS = (upstream("main", SERVER) + upstream("silent", SERVER2, timeout_ms=200) + upstream("default", DEFAULT_SERVER))


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.add(ScriptedServer(rig.right, SERVER, lambda a: a.answer("300 A 192.0.2.1")))
        # Answers its probe, and nothing else.
        rig.add(ScriptedServer(rig.right, SERVER2, lambda a: None if str(a.name).startswith("x.") else a.answer()))
        rig.add(ScriptedServer(rig.right, DEFAULT_SERVER, lambda a: a.answer("300 A 192.0.2.60")))
        rig.text = lambda rules, metrics="": rig.config(rules=rules, upstreams=UPSTREAMS, default="default") + metrics
        rig.start(rig.text(RULES))
        rig.wait_up("main", "silent", "default")
        yield rig
    finally:
        rig.close()


def figures(gateway):
    return {row["rule"]: row for row in gateway.shuntd.json("rules")["rules"]}


def grown(gateway, rule, before, **wanted):
    """Waits until the rule's figures have grown by that, and by no more."""
    old = before.get(rule, {})

    def told():
        row = figures(gateway)[rule]
        flat = {**row, **row["answers"]}
        flat_old = {**old, **old.get("answers", {})}
        return all(flat[key] - flat_old.get(key, 0) == value for key, value in wanted.items())
    eventually(told, 5, f"{rule} to have grown by {wanted}: {figures(gateway)[rule]}")


def test_answers_cache_hits_and_blocks_count_for_their_rule(gateway):
    before = figures(gateway)
    for _ in range(3):
        assert rcode(ask(gateway.left, "a.onprem.test")) == "NOERROR"
    for _ in range(2):
        assert rcode(ask(gateway.left, "one.test")) == "NXDOMAIN"
        assert rcode(ask(gateway.left, "made.test")) == "NOERROR"
    assert rcode(ask(gateway.left, "x.refused.test")) == "REFUSED"
    assert ask(gateway.left, "x.drop.test", timeout=0.3) is None
    assert rcode(ask(gateway.left, "left.test")) == "NOERROR"
    grown(gateway, "onprem", before, queries=3, noerror=3, cache_hits=2)
    grown(gateway, "seen", before, queries=3)
    grown(gateway, "=one.test", before, queries=2, nxdomain=2, cache_hits=1)
    grown(gateway, "made.test", before, queries=2, noerror=2, cache_hits=1)
    grown(gateway, "refused.test", before, queries=1, refused=1)
    grown(gateway, "*.drop.test", before, queries=1, dropped=1)
    grown(gateway, "left.test", before, queries=1, noerror=1)
    assert figures(gateway)["onprem"]["p50_ms"] is not None


def test_timeouts_count_for_their_rule(gateway):
    before = figures(gateway)
    assert rcode(ask(gateway.left, "x.slow.test", timeout=6)) == "SERVFAIL"
    grown(gateway, "slow", before, queries=1, servfail=1)
    assert figures(gateway)["slow"]["timeouts"] > before["slow"]["timeouts"]


def test_figures_survive_a_reload_by_id(gateway):
    ask(gateway.left, "b.onprem.test")
    before = eventually(lambda: figures(gateway) if figures(gateway)["onprem"]["queries"] else None, 5, "figures")
    # The rule is another one, and lies elsewhere: its id is the same.
    gateway.reload(gateway.text(["zzz.test block nodata", "*.onprem.test forward default id=onprem", *RULES[1:6], RULES[7]]))
    assert figures(gateway)["onprem"]["queries"] == before["onprem"]["queries"]
    assert figures(gateway)["=one.test"]["queries"] == before["=one.test"]["queries"]
    ask(gateway.left, "c.onprem.test")
    grown(gateway, "onprem", before, queries=1)
    gateway.reload(gateway.text(RULES))


def test_metrics_have_the_rules_and_escape_them(gateway):
    ask(gateway.left, "d.onprem.test")
    text = eventually(lambda: (lambda t: t if 'shunt_rule_queries_total{rule="onprem",set="main"}' in t else None)(
        gateway.shuntd.ctl("metrics").stdout), 5, "the rule's series")
    assert 'shunt_rule_answers_total{rule="onprem",set="main",rcode="noerror"}' in text
    assert 'shunt_rule_duration_seconds_bucket{rule="onprem",set="main",le="+Inf"}' in text
    assert "d.onprem.test" not in text, "names of clients are no labels"
    table = gateway.shuntd.ctl("rules", "--count", "3").stdout
    assert table.splitlines()[0].split()[:3] == ["RULE", "SET", "QUERIES"]


def test_above_the_limit_the_busiest_rules_have_figures(gateway):
    rules = [f"r{i}.test block nxdomain" for i in range(300)]
    gateway.reload(gateway.text([*rules, *RULES], metrics="\n[metrics]\nrules = 10\n"))
    result = gateway.shuntd.json("rules")
    assert not result["all"] and result["limit"] == 10
    assert {"onprem", "slow", "seen"} <= figures(gateway).keys(), "those with an id come first"
    busy = ["r7.test", "r123.test", "r299.test"]
    load = Dnsperf(gateway.left, [f"{name} A" for name in busy], seconds=12, rate=3000)
    try:
        eventually(lambda: set(busy) <= figures(gateway).keys(), 12, "the busiest rules to have figures")
    finally:
        load.finish()
    assert len(figures(gateway)) <= 10
    gateway.reload(gateway.text(RULES))
    assert gateway.shuntd.json("rules")["all"]
