"""The answer cache as clients see it.

    TTLs and their bounds                 test_second_answer..., test_an_expired..., test_ttl_...
    negative answers (RFC 2308)           test_negative_...
    failures remembered (RFC 9520)        test_servfail_is_remembered...; test_forward.py: test_all_targets_silent...
    stale answers (RFC 8767)              test_an_expired_answer_is_served_where...
    hot answers fetched again             test_a_hot_answer_...
    what an answer may be shared by       test_answers_with_and_without_do..., test_rd_and_cd..., test_client_subnet..., test_ad_is...,
                                          test_questions_in_flight...; test_wire.py: test_unknown_options...
    flush                                 test_flush_...
"""
import threading
import time

import dns.flags
import dns.name
import pytest

from client import addresses, ask, extended_errors, rcode
from netns import eventually
from rig import CLIENT2, SERVER, SERVER2, SERVER3, Rig, upstream
from servers import SOA, ScriptedServer

RULES = ["test forward main", "other.test forward other", "bounded.test forward bounded", "stale.test forward stale"]
UPSTREAMS = (upstream("main", SERVER) + upstream("other", SERVER2) + upstream("bounded", SERVER2, ttl="{ min = 3, max = 5 }")
             + upstream("stale", SERVER3, on_all_down='"stale"', timeout_ms=200, ttl="{ failure = 2 }"))


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER))
        rig.other = rig.add(ScriptedServer(rig.right, SERVER2))
        rig.brittle = rig.add(ScriptedServer(rig.right, SERVER3))
        rig.start(rig.config(rules=RULES, upstreams=UPSTREAMS))
        rig.wait_up("main", "other", "bounded", "stale")
        yield rig
    finally:
        rig.close()


def test_second_answer_comes_from_the_cache_and_has_aged(gateway):
    first = ask(gateway.left, "age.test")
    time.sleep(2.1)  # time is what this is about
    second = ask(gateway.left, "age.test")
    assert addresses(first) == addresses(second)
    assert first.answer[0].ttl == 300
    assert second.answer[0].ttl in (297, 298)
    assert len(gateway.main.queries("age.test")) == 1
    assert gateway.counter("answered_cache") >= 1


def test_an_expired_answer_is_asked_for_again(gateway):
    gateway.main.handler = lambda asked: asked.answer(f"1 A 192.0.2.{len(asked.server.queries('short.test'))}")
    assert addresses(ask(gateway.left, "short.test")) == ["192.0.2.1"]
    time.sleep(2.1)  # time is what this is about
    assert addresses(ask(gateway.left, "short.test")) == ["192.0.2.2"]


def test_ttl_zero_is_never_kept(gateway):
    gateway.main.handler = lambda asked: asked.answer("0 A 192.0.2.1")
    for _ in range(3):
        assert addresses(ask(gateway.left, "zero.test")) == ["192.0.2.1"]
    assert len(gateway.main.queries("zero.test")) == 3


@pytest.mark.parametrize("name,code", [("gone.test", "NXDOMAIN"), ("empty.test", "NOERROR")])
def test_negative_answers_are_kept_for_the_soas_minimum(gateway, name, code):
    gateway.main.handler = lambda asked: asked.answer(rcode=dns.rcode.from_text(code), authority=[f"test. 300 {SOA}"])
    for _ in range(3):
        response = ask(gateway.left, name)
        assert rcode(response) == code
        assert not response.answer
        assert response.authority[0].rdtype == dns.rdatatype.SOA
    assert len(gateway.main.queries(name)) == 1


def test_ttl_bounds_of_the_upstream_hold_in_both_directions(gateway):
    ttl = {"short": 1, "long": 3600}
    gateway.other.handler = lambda asked: asked.answer(f"{ttl.get(asked.text.split('.')[0], 60)} A 192.0.2.1")
    for name in ttl:
        ask(gateway.left, f"{name}.bounded.test")
    assert ask(gateway.left, "long.bounded.test").answer[0].ttl <= 5
    time.sleep(1.6)  # time is what this is about
    assert ask(gateway.left, "short.bounded.test").answer[0].ttl <= 3
    assert len(gateway.other.queries("short.bounded.test")) == 1
    time.sleep(4)
    for name in ttl:
        ask(gateway.left, f"{name}.bounded.test")
        assert len(gateway.other.queries(f"{name}.bounded.test")) == 2, name


def soa(minimum):
    return SOA.rsplit(" ", 1)[0] + f" {minimum}"


@pytest.mark.parametrize("ttl,minimum", [(300, 3), (3, 300)])
@pytest.mark.parametrize("code", ["NXDOMAIN", "NOERROR"])
def test_negative_answers_live_for_the_lesser_of_the_soas_ttl_and_minimum(gateway, code, ttl, minimum):
    """And count down to its end, as RFC 2308 section 5 wants it: else a client behind would keep it for longer."""
    gateway.main.handler = lambda asked: asked.answer(rcode=dns.rcode.from_text(code), authority=[f"test. {ttl} {soa(minimum)}"])
    name = f"{code.lower()}{ttl}.test"
    ask(gateway.left, name)
    time.sleep(1.1)  # time is what this is about
    response = ask(gateway.left, name)
    assert len(gateway.main.queries(name)) == 1
    assert min(response.authority[0].ttl, response.authority[0][0].minimum) in (1, 2)
    time.sleep(2.1)
    assert rcode(ask(gateway.left, name)) == code
    assert len(gateway.main.queries(name)) == 2


def test_negative_answers_obey_the_upstreams_bounds(gateway):
    gateway.other.handler = lambda asked: asked.answer(rcode=dns.rcode.NXDOMAIN, authority=[f"test. 3600 {soa(3600)}"])
    ask(gateway.left, "no.bounded.test")
    time.sleep(1.1)  # time is what this is about
    assert ask(gateway.left, "no.bounded.test").authority[0].ttl <= 4
    time.sleep(4.1)
    ask(gateway.left, "no.bounded.test")
    assert len(gateway.other.queries("no.bounded.test")) == 2


def test_negative_answer_without_soa_is_not_kept(gateway):
    gateway.main.handler = lambda asked: asked.answer(rcode=dns.rcode.NXDOMAIN)
    for _ in range(2):
        assert rcode(ask(gateway.left, "nosoa.test")) == "NXDOMAIN"
    assert len(gateway.main.queries("nosoa.test")) == 2


def test_each_client_gets_its_own_spelling_back(gateway):
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.9")
    for spelling in ("CaSe.TeSt", "case.test", "CASE.TEST"):  # ask() compares the question octet by octet
        assert addresses(ask(gateway.left, spelling)) == ["192.0.2.9"]
    assert len(gateway.main.queries("case.test")) == 1


def test_answers_with_and_without_do_are_kept_apart(gateway):
    def handler(asked):
        return asked.answer("300 A 192.0.2.2" if asked.message.ednsflags & dns.flags.DO else "300 A 192.0.2.1")
    gateway.main.handler = handler
    for _ in range(2):
        assert addresses(ask(gateway.left, "do.test", use_edns=0, want_dnssec=True)) == ["192.0.2.2"]
        assert addresses(ask(gateway.left, "do.test", use_edns=0)) == ["192.0.2.1"]
        assert addresses(ask(gateway.left, "do.test")) == ["192.0.2.1"]
    assert len(gateway.main.queries("do.test")) == 2


@pytest.mark.parametrize("flag", [dns.flags.CD, dns.flags.RD])
def test_rd_and_cd_are_kept_apart(gateway, flag):
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    name = f"flag{int(flag)}.test"
    for flags in (dns.flags.RD, dns.flags.RD ^ flag):
        for _ in range(2):
            assert ask(gateway.left, name, flags=flags).flags & flag == flags & flag
    assert len(gateway.main.queries(name)) == 2


def test_opt_is_answered_by_opt_alone(gateway):
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    for _ in range(2):  # relayed, then from the cache
        assert ask(gateway.left, "opt.test").edns == -1
        response = ask(gateway.left, "opt.test", use_edns=0, payload=4096)
        assert response.edns == 0
        assert response.payload == 1232


def test_client_subnet_is_passed_on_and_neither_shared_nor_kept(gateway):
    subnets = [dns.edns.ECSOption("198.51.100.0", 24), dns.edns.ECSOption("203.0.113.0", 24)]
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    for subnet in subnets:
        assert addresses(ask(gateway.left, "ecs.test", use_edns=0, options=[subnet])) == ["192.0.2.1"]
    seen = gateway.main.queries("ecs.test")
    assert [[o.to_text() for o in a.message.options if o.otype == dns.edns.OptionType.ECS] for a in seen] == \
        [[s.to_text()] for s in subnets]
    ask(gateway.left, "ecs.test")
    assert len(gateway.main.queries("ecs.test")) == 3


def test_ad_is_told_to_those_alone_who_ask_for_it(gateway):
    """RFC 6840 section 5.8: AD set in the query, or DO."""
    def handler(asked):
        response = asked.answer("300 A 192.0.2.1")
        response.flags |= dns.flags.AD
        return response
    gateway.main.handler = handler
    for _ in range(2):  # relayed, then from the cache
        assert not ask(gateway.left, "ad.test").flags & dns.flags.AD
        assert ask(gateway.left, "ad.test", flags=dns.flags.RD | dns.flags.AD).flags & dns.flags.AD
        assert ask(gateway.left, "ad.test", use_edns=0, want_dnssec=True).flags & dns.flags.AD
    assert len(gateway.main.queries("ad.test")) == 2, "with and without DO"


def test_questions_in_flight_are_joined_by_equal_ones_only(gateway):
    """Nothing of DO, CD, RD, client subnet or options is lost or shared while the answer is still to come."""
    hold = threading.Event()
    kinds = {
        "plain": {}, "edns": {"use_edns": 0}, "do": {"use_edns": 0, "want_dnssec": True}, "cd": {"flags": dns.flags.RD | dns.flags.CD},
        "no-rd": {"flags": 0},
        "subnet": {"use_edns": 0, "options": [dns.edns.ECSOption("198.51.100.0", 24)]},
        "subnet2": {"use_edns": 0, "options": [dns.edns.ECSOption("203.0.113.0", 24)]},
        "option": {"use_edns": 0, "options": [dns.edns.GenericOption(65001, b"x")]},
    }

    def kind_of(message):
        options = [o.to_text() for o in message.options]
        return (bool(message.ednsflags & dns.flags.DO), message.flags & (dns.flags.CD | dns.flags.RD), *options)

    def handler(asked):
        if asked.text != "flight.test":
            return asked.answer("300 A 192.0.2.1")
        threading.Thread(target=later, args=(asked,)).start()
        return None

    def later(asked):
        hold.wait(2)
        kind = kind_of(asked.message)
        answer = asked.answer("300 A 192.0.2.%d" % (kinds_seen.setdefault(kind, len(kinds_seen)) + 1))
        gateway.main.socket.sendto(answer.to_wire(), asked.source)

    kinds_seen, got = {}, {}
    gateway.main.handler = handler
    threads = [threading.Thread(target=lambda k=k, o=o: got.update({k: addresses(ask(gateway.left, "flight.test", **o))[0]}))
               for k, o in kinds.items()]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(gateway.main.queries("flight.test")) == 7, 1, "seven questions")
    finally:
        hold.set()
        for thread in threads:
            thread.join(10)
    assert got["plain"] == got["edns"], "our own OPT goes upstream in any case"
    assert len(set(got.values())) == len(kinds) - 1, got


def test_each_upstream_has_answers_of_its_own(gateway):
    """A reload that moves a name to another upstream must not serve the old one's answers, nor forget them."""
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    gateway.other.handler = lambda asked: asked.answer("300 A 192.0.2.2")
    text = gateway.config(rules=["moved.test forward main"], upstreams=UPSTREAMS)
    gateway.reload(text)
    assert addresses(ask(gateway.left, "moved.test")) == ["192.0.2.1"]
    gateway.reload(text.replace("moved.test forward main", "moved.test forward other"))
    assert addresses(ask(gateway.left, "moved.test")) == ["192.0.2.2"]
    gateway.reload(gateway.config(rules=RULES, upstreams=UPSTREAMS))
    assert addresses(ask(gateway.left, "moved.test")) == ["192.0.2.1"]
    assert len(gateway.main.queries("moved.test")) == 1


def test_clients_share_the_cache(gateway):
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    ask(gateway.left, "shared.test")
    ask(gateway.left, "shared.test", source=CLIENT2)
    assert len(gateway.main.queries("shared.test")) == 1


def test_flush_forgets_a_name_and_what_is_below_it(gateway):
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    names = ("flush.test", "a.flush.test", "unflush.test")
    for name in names:
        ask(gateway.left, name)
    gateway.shuntd.ctl("cache", "flush", "FLUSH.test.")  # names are names, whatever their case
    for name in names:
        ask(gateway.left, name)
    assert [len(gateway.main.queries(n)) for n in names] == [2, 2, 1]
    gateway.shuntd.ctl("cache", "flush", "a.flush.test")
    for name in names:
        ask(gateway.left, name)
    assert [len(gateway.main.queries(n)) for n in names] == [2, 3, 1]
    gateway.shuntd.ctl("cache", "flush")
    ask(gateway.left, "unflush.test")
    assert len(gateway.main.queries("unflush.test")) == 2


def test_servfail_is_remembered_for_seconds_only(gateway):
    gateway.main.handler = lambda asked: asked.answer(rcode=dns.rcode.SERVFAIL)
    for error in ([], [13], [13]):  # cached error (RFC 8914)
        response = ask(gateway.left, "broken.test", use_edns=0)
        assert rcode(response) == "SERVFAIL"
        assert extended_errors(response) == error
    assert len(gateway.main.queries("broken.test")) == 1
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    time.sleep(6.1)  # ttl.failure is 5 s
    assert addresses(ask(gateway.left, "broken.test")) == ["192.0.2.1"]


def test_an_expired_answer_is_served_where_no_target_answers(gateway):
    gateway.brittle.handler = lambda asked: asked.answer("1 A 192.0.2.1")
    assert addresses(ask(gateway.left, "a.stale.test")) == ["192.0.2.1"]
    gateway.brittle.handler = lambda asked: None
    time.sleep(2.1)  # time is what this is about
    for waits in (True, False):
        start = time.monotonic()
        response = ask(gateway.left, "a.stale.test", use_edns=0)
        assert (time.monotonic() - start > 0.15) == waits, "the failure is remembered"
        assert addresses(response) == ["192.0.2.1"]
        assert response.answer[0].ttl == 30
        assert extended_errors(response) == [3]
    assert rcode(ask(gateway.left, "never-seen.stale.test")) == "SERVFAIL"
    gateway.brittle.handler = lambda asked: asked.answer("300 A 192.0.2.2")
    eventually(lambda: gateway.target_up("stale"), 15, "the target to be up")
    eventually(lambda: addresses(ask(gateway.left, "a.stale.test")) == ["192.0.2.2"], 5, "the fresh answer")


def test_a_hot_answer_is_fetched_again_before_it_expires_and_delays_nobody(gateway):
    """A client asks all the time, through three lives of the answer; its upstream takes a third of a second for each question."""
    def handler(asked):
        if asked.text == "hot.test":
            time.sleep(0.35)
        return asked.answer(f"8 A 192.0.2.{max(1, len(asked.server.queries('hot.test')))}")

    gateway.main.handler = handler
    before = gateway.counter("prefetched")
    assert addresses(ask(gateway.left, "hot.test")) == ["192.0.2.1"]
    ask(gateway.left, "cold.test")
    slowest, seen, end = 0, [], time.monotonic() + 17
    while time.monotonic() < end:
        start = time.monotonic()
        seen += addresses(ask(gateway.left, "hot.test"))
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.1)
    assert slowest < 0.3, "nobody waits for the upstream"
    assert seen == sorted(seen), "each answer follows the one before"
    fetched = len(gateway.main.queries("hot.test")) - 1
    assert fetched == 2, "once in each life"
    assert gateway.counter("prefetched") == before + fetched
    assert len(gateway.main.queries("cold.test")) == 1, "what nobody asks for is not fetched again"


def test_a_hot_answer_stays_where_fetching_it_again_fails(gateway):
    def handler(asked):
        first = asked.text != "fading.test" or len(asked.server.queries("fading.test")) == 1
        return asked.answer("16 A 192.0.2.1") if first else asked.answer(rcode=dns.rcode.SERVFAIL)

    gateway.main.handler = handler
    end = time.monotonic() + 16
    while len(gateway.main.queries("fading.test")) < 2:
        assert time.monotonic() < end, "it is not fetched again"
        assert addresses(ask(gateway.left, "fading.test")) == ["192.0.2.1"]
        time.sleep(0.05)
    for _ in range(10):
        assert addresses(ask(gateway.left, "fading.test")) == ["192.0.2.1"]
        time.sleep(0.05)
