"""The answer cache as clients see it: ageing TTLs, negative answers, what an answer may be shared by, exact question case,
and flushing."""
import time

import dns.flags
import dns.name
import pytest

from client import addresses, ask, rcode
from rig import CLIENT2, SERVER, SERVER2, Rig, upstream
from servers import SOA, ScriptedServer


@pytest.fixture(scope="module")
def gateway():
    rig = Rig()
    try:
        rig.main = rig.add(ScriptedServer(rig.right, SERVER))
        rig.other = rig.add(ScriptedServer(rig.right, SERVER2))
        rig.start(rig.config(rules=["test forward main", "other.test forward other"],
                             upstreams=upstream("main", SERVER) + upstream("other", SERVER2)))
        rig.wait_up("main", "other")
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


def test_each_upstream_has_answers_of_its_own(gateway):
    """A reload that moves a name to another upstream must not serve the old one's answers, nor forget them."""
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    gateway.other.handler = lambda asked: asked.answer("300 A 192.0.2.2")
    text = gateway.config(rules=["moved.test forward main"],
                          upstreams=upstream("main", SERVER) + upstream("other", SERVER2))
    gateway.reload(text)
    assert addresses(ask(gateway.left, "moved.test")) == ["192.0.2.1"]
    gateway.reload(text.replace("moved.test forward main", "moved.test forward other"))
    assert addresses(ask(gateway.left, "moved.test")) == ["192.0.2.2"]
    gateway.reload(gateway.config(rules=["test forward main", "other.test forward other"],
                                  upstreams=upstream("main", SERVER) + upstream("other", SERVER2)))
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
    gateway.shuntd.ctl("cache", "flush", "flush.test")
    for name in names:
        ask(gateway.left, name)
    assert [len(gateway.main.queries(n)) for n in names] == [2, 2, 1]
    gateway.shuntd.ctl("cache", "flush")
    ask(gateway.left, "unflush.test")
    assert len(gateway.main.queries("unflush.test")) == 2


def test_servfail_is_remembered_for_seconds_only(gateway):
    gateway.main.handler = lambda asked: asked.answer(rcode=dns.rcode.SERVFAIL)
    for _ in range(3):
        assert rcode(ask(gateway.left, "broken.test")) == "SERVFAIL"
    assert len(gateway.main.queries("broken.test")) == 1
    gateway.main.handler = lambda asked: asked.answer("300 A 192.0.2.1")
    time.sleep(6.1)  # ttl.failure is 5 s
    assert addresses(ask(gateway.left, "broken.test")) == ["192.0.2.1"]
