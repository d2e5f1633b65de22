"""What runs out, or goes away for a while, and who pays for it. The rows of three sections of what may go wrong, and where each is tested:

  Resources
    link down and up under load             test_link_down_and_up_under_load_...
    no packet buffer left                   test_no_packet_buffer_left_...
    pending table full                      test_pending_table_full_..., test_a_flood_of_one_client_...
    random labels below one slow domain     test_random_labels_below_one_slow_domain_...
    unique names to flush the cache         test_unique_names_to_flush_the_cache_...
    1,000 reloads                           test_generations.py: test_a_thousand_reloads_...
    reload under load                       test_reload.py: test_moving_a_domain_under_load_..., test_a_bad_file_changes_nothing_...;
                                            test_generations.py: test_memory_that_runs_out_while_building_...
    a worker that stalls                    test_a_worker_that_stalls_...
    control plane busy or stuck             test_control_busy.py
    all of it at once, for long             test_soak.py, scripts/soak
  TCP
    slow sender                             test_tcp.py: test_a_client_that_never_finishes_its_query_..., ..._octet_by_octet
    idle flood, connection flood            test_tcp_flood.py; test_tcp.py: test_an_idle_connection_..., test_one_client_has_its_share_...
    split length prefix                     test_tcp.py: test_a_query_may_come_octet_by_octet
    length that lies                        test_tcp.py: test_a_length_that_no_query_has_...
    pipelining                              test_tcp.py: test_pipelined_queries_..., test_a_slow_answer_does_not_hold_up_the_next
    reader that never reads                 test_tcp.py: test_a_reader_that_never_reads_pays_alone
    AXFR, IXFR                              test_tcp.py: test_transfers_are_refused_at_once
  Control and life
    garbage, a 1 GiB line, nested JSON,     test_control_busy.py; test_life.py: test_the_control_socket_bears_with_anything
    1,000 clients, half a request
    another user's connection               test_life.py: test_another_users_connection_...
    stale socket or EAL files after kill -9 test_life.py: test_killed_and_started_again, test_a_second_daemon_leaves_the_first_alone
    SIGTERM                                 test_life.py: test_sigterm_..., test_what_is_in_flight_..., test_a_second_signal_...
    the wall clock jumps                    test_life.py: test_the_wall_clock_jumps_...
    configuration typos                     test_check.py
"""
import os
import socket
import time

import pytest

from client import Dnsperf, addresses, ask, extended_errors, rcode
from flood import Flood
from netns import eventually
from rig import CLIENT, CLIENT2, SERVER, SERVER2, SERVER3, Rig, Shuntd, upstream
from servers import ScriptedServer
from steady import Steady
from test_life import check_laws
from test_memif import SHUNT_IN, UPSTREAM, MemifRig, Player
from threads import Stopped, thread_of

# A server that is asked and never answers; it isn't marked down before much has been asked.
SILENT = {"timeout_ms": 2000, "health": "{ fall = 100 }"}


def buffers_taken(rig):
    found = rig.shuntd.json("status")["packet_buffers"]
    return found["size"] - found["free"]


def settled(rig, at_rest=0, slack=0):
    """Nobody waits any more: then every buffer is back, but for `at_rest`, and the laws hold."""
    eventually(lambda: buffers_taken(rig) <= at_rest + slack, 12, f"all packet buffers but {at_rest} to be back")
    check_laws(rig.shuntd.ctl("metrics").stdout)


def answering(rig, address):
    return rig.add(ScriptedServer(rig.right, address, lambda a: a.answer("300 A 192.0.2.1")))


def silent(rig, address):
    """Takes all that comes, so that nothing tells that nobody answers."""
    sock = rig.add(rig.right.socket(socket.SOCK_DGRAM, address, 53))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)


@pytest.fixture
def rig():
    made = Rig()
    try:
        yield made
    finally:
        made.close()


def start_beside_silence(rig, limits, pending=8192, memory="128MiB"):
    """Names below test are answered; below silent.test and deaf.test nobody answers."""
    answering(rig, SERVER)
    silent(rig, SERVER2)
    silent(rig, SERVER3)
    text = rig.config(rules=["test forward main", "silent.test forward silent", "deaf.test forward deaf"], limits=limits,
                      upstreams=upstream("main", SERVER) + upstream("silent", SERVER2, **SILENT) + upstream("deaf", SERVER3, **SILENT))
    rig.start(text.replace("pending = 8192", f"pending = {pending}").replace('cache = "16MiB"', 'cache = "4MiB"')
              .replace('"128MiB"', f'"{memory}"'))
    rig.wait_up("main")
    rig.wait_path("x.silent.test", CLIENT)
    rig.wait_path("x.deaf.test", CLIENT)


@pytest.mark.parametrize("driver", ["af_packet", "af_xdp"])
def test_link_down_and_up_under_load_needs_no_restart(driver):
    rig = Rig(driver, hugepages=driver == "af_xdp")
    try:
        main = answering(rig, SERVER)
        rig.start(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER)))
        rig.wait_up("main")
        at_rest = buffers_taken(rig)  # AF_XDP's rings hold some
        for i in range(100):
            assert addresses(ask(rig.left, f"hot{i}.test")) == ["192.0.2.1"]
        load = Dnsperf(rig.left, [f"hot{i}.test A" for i in range(100)], seconds=9, rate=2000, options=("-t", "1"))
        eventually(lambda: rig.counter("answered_cache") > 500, what="the load to be under way")
        # The upstreams' side: what is cached is answered on; the rest, once the link is back.
        rig.right.ip("link", "set", "eth0", "down")
        time.sleep(0.5)
        assert addresses(ask(rig.left, "hot1.test")) == ["192.0.2.1"]
        assert rcode(ask(rig.left, "cold.test", timeout=5)) == "SERVFAIL"
        rig.right.ip("link", "set", "eth0", "up")
        eventually(lambda: rcode(ask(rig.left, f"again{time.monotonic_ns()}.test")) == "NOERROR", 15, "forwarding to resume")
        # The clients' side.
        rig.gw.ip("link", "set", "left", "down")
        time.sleep(0.5)
        assert ask(rig.left, "hot1.test", timeout=0.3) is None
        rig.gw.ip("link", "set", "left", "up")
        eventually(lambda: ask(rig.left, "hot1.test", timeout=0.3), 10, "answers to resume")
        asked = len(main.asked)
        for i in range(100):
            assert addresses(ask(rig.left, f"hot{i}.test")) == ["192.0.2.1"]
        assert not [a for a in main.asked[asked:] if a.text.startswith("hot")], "the cache was kept"
        result = load.finish()
        assert result["completed"] > 0.5 * result["sent"], result["output"]
        assert set(result["rcodes"]) == {"NOERROR"}, result["output"]
        settled(rig, at_rest, slack=64 if driver == "af_xdp" else 0)
    finally:
        rig.close()


def test_no_packet_buffer_left_and_cache_hits_go_on(rig):
    """Questions with an option that must be asked again as it came are kept in buffers: enough of them take all there are."""
    many = "queries_per_client = 100000\nqueries_per_upstream = 100000\nqueries_per_target = 100000"
    start_beside_silence(rig, many, pending=32768)
    assert addresses(ask(rig.left, "hot.test")) == ["192.0.2.1"]
    size = rig.shuntd.json("status")["packet_buffers"]["size"]
    flood = rig.add(Flood(rig.left, "silent.test", 30000, 2, source=CLIENT2, option=True))
    eventually(lambda: buffers_taken(rig) > size - 512, 5, "all buffers to be taken")
    assert rig.shuntd.json("status")["limiting_resource"] in ("packet buffers", "pending queries of worker 0")
    for _ in range(50):
        assert addresses(ask(rig.left, "hot.test", timeout=1)) == ["192.0.2.1"]
    flood.finish()
    eventually(lambda: rig.counter("no_buffer") > 0, 8, "answers without a buffer to be counted")
    settled(rig)
    assert addresses(ask(rig.left, "after.test")) == ["192.0.2.1"]


def test_a_flood_of_one_client_pays_by_its_own_limit(rig):
    start_beside_silence(rig, "queries_per_client = 300\nqueries_per_upstream = 4000")
    flood = rig.add(Flood(rig.left, "silent.test", 10000, 3, source=CLIENT2))
    eventually(lambda: rig.counter("client_limit") > 1000, what="the flood to be over its limit")
    assert ask(rig.left, "flood.silent.test", source=CLIENT2, timeout=0.3) is None
    victim = rig.add(Steady(rig.left, "victim{}.test"))
    flood.finish()
    victim.finish()
    assert victim.asked > 100
    assert victim.share >= 0.99, victim.complaints()
    assert rig.counter("pending_full") == 0
    settled(rig)


def test_pending_table_full_and_a_victim_is_answered(rig):
    """Two slow upstreams, each within its limit, take every slot between them: only with limits that leave room has a victim its share."""
    start_beside_silence(rig, "queries_per_client = 20000\nqueries_per_upstream = 3900\nqueries_per_target = 20000", pending=8192)
    floods = [rig.add(Flood(rig.left, suffix, 8000, 3, source=source))
              for suffix, source in (("silent.test", CLIENT2), ("deaf.test", "10.10.0.12"))]
    eventually(lambda: rig.shuntd.json("status")["workers"][0]["pending"] >= 7800, 5, "the table to be full")
    assert rig.shuntd.json("status")["limiting_resource"] == "pending queries of worker 0"
    refused = ask(rig.left, "more.silent.test", use_edns=0)
    assert (rcode(refused), extended_errors(refused)) == ("SERVFAIL", [23])
    victim = rig.add(Steady(rig.left, "victim{}.test"))
    for flood in floods:
        flood.finish()
    victim.finish()
    assert rig.counter("pending_full") > 1000
    assert victim.asked > 100
    assert victim.share >= 0.99, victim.complaints()
    settled(rig)


def test_random_labels_below_one_slow_domain_leave_other_rules_their_latency(rig):
    start_beside_silence(rig, "queries_per_client = 20000\nqueries_per_upstream = 1000")
    calm = rig.add(Steady(rig.left, "calm{}.test"))
    time.sleep(1.5)
    calm.finish()
    flood = rig.add(Flood(rig.left, "silent.test", 8000, 3, source=CLIENT2))
    eventually(lambda: rig.counter("pending_full") > 1000, what="the rule's limit to be reached")
    refused = ask(rig.left, "one.silent.test", use_edns=0)
    assert (rcode(refused), extended_errors(refused)) == ("SERVFAIL", [23])
    victim = rig.add(Steady(rig.left, "victim{}.test"))
    flood.finish()
    victim.finish()
    assert rig.shuntd.json("status")["workers"][0]["pending"] <= 1010
    assert victim.share >= 0.99, victim.complaints()
    # The flood is made on the victim's core: some of that is in the figure. An answer that had to wait for a deadline would take 2 s.
    assert victim.median() < 3 * calm.median() + 0.005, (victim.median(), calm.median())
    settled(rig)


def test_unique_names_to_flush_the_cache_leave_the_hot_set_there():
    """Nine in ten queries ask for a name that never comes again, many times what the cache holds."""
    rig = MemifRig(workers=1, cache="4MiB")
    try:
        player = rig.add(Player(
            "--role", "both", "--device", rig._device("server"), "--no-hugepages", "--target", SHUNT_IN, "--from", "10.30.1.0",
            "--clients", 50, "--serve", UPSTREAM, "--names", "hot%d.memif.test", "--count", 1000, "--miss-share", 0.9, "--miss-names",
            "x%d.memif.test", "--prime", "--rate", 60000, "--in-flight", 1024, "--timeout-ms", 3000, "--seconds", 5, "--linger", 30,
            "--json", "--quiet"))
        eventually((rig.folder / "memif.sock").exists, 20, "the memif socket")
        rig.write(rig.text())
        rig.shuntd = Shuntd(rig.gw, rig.folder).wait_ready()
        clients = player.figures()["clients"]
        rig.quiet()
        hot = clients["sent"] - clients["sent_fresh"]
        held = rig.shuntd.json("status")["workers"][0]["cache_entries"]
        assert clients["answered"] == clients["sent"]
        assert clients["sent_fresh"] > 5 * held, "not enough names to flush the cache"
        assert rig.counter("cache_evictions") > 0
        asked_hot = rig.counter("forwarded") - clients["sent_fresh"]
        assert asked_hot < 0.05 * hot + clients["primed"], f"{asked_hot} of {hot} queries for the hot set found it gone"
    finally:
        rig.close()


def test_a_worker_that_stalls_is_named_by_reload_within_a_deadline(rig):
    answering(rig, SERVER)
    text = rig.config(rules=["test forward main", "new.test answer A 192.0.2.9"], upstreams=upstream("main", SERVER))
    rig.start(text.replace('"new.test answer A 192.0.2.9"', '"new.test answer A 192.0.2.8"'))
    rig.wait_up("main")
    with Stopped(thread_of(rig.shuntd.process.pid, "rte-worker-1")):
        rig.write(text)
        start = time.monotonic()
        done = rig.shuntd.ctl("reload", check=False)
        assert time.monotonic() - start < 10
        assert done.returncode == 1
        assert f"worker on core {os.cpu_count() - 1}" in done.stderr, done.stderr
        assert rig.shuntd.ctl("status").returncode == 0
    eventually(lambda: addresses(ask(rig.left, "new.test")) == ["192.0.2.9"], what="the worker to take what was published")
    assert rig.shuntd.ctl("reload").returncode == 0
