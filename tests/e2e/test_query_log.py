"""The log of queries as JSON lines, `[log] queries = "json"`: who asked what, who answered and by which rule, and nobody waits for a disk."""
import contextlib
import datetime
import json
import os
import re
import shutil

import pytest

from client import Dnsperf, Stream, addresses, ask, query, rcode
from logging_rig import ZONE, config, log_table, running
from netns import eventually, run
from rig import CLIENT, CLIENT6, LEFT_IN, LEFT_IN6, NOBODY, SHUNTD
from tls import TlsStream

class Lines:
    """The log's file, read line by line."""

    def __init__(self, path):
        self.path = path

    def all(self):
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="ascii")
        return [json.loads(line) for line in text.splitlines()] if text.endswith("\n") else []

    def of(self, name, count=1):
        """The lines for a name, once there are that many."""
        found = eventually(lambda: (lambda lines: lines if len(lines) >= count else None)([l for l in self.all() if l.get("name") == f"{name}."]),
                           what=f"{name} to be logged")
        assert len(found) == count
        return found

    def one(self, name):
        return self.of(name)[0]


@pytest.fixture(scope="module")
def gateway():
    with running(lambda rig: log_table("json", "queries.json")) as rig:  # beside the configuration
        rig.lines = Lines(rig.folder / "queries.json")
        yield rig


def decided(line):
    return {key: line[key] for key in ("rule_set", "rule", "answered_by", "rcode", "dropped") if key in line}


def test_a_forwarded_query_and_the_cached_one_behind_it(gateway):
    before = datetime.datetime.now(datetime.timezone.utc)
    ask(gateway.left, "A.forwarded.test")
    ask(gateway.left, "a.Forwarded.test")
    first, second = gateway.lines.of("a.forwarded.test", 2)
    after = datetime.datetime.now(datetime.timezone.utc)
    assert list(first) == ["time", "client", "port", "server", "transport", "network", "name", "type", "rule_set", "rule", "answered_by",
                           "rcode", "waited_us", "size", "answers"]
    assert first["client"] == CLIENT and first["server"] == LEFT_IN and first["transport"] == "udp" and first["network"] == "clients"
    assert first["port"] != second["port"] and first["type"] == "A"
    assert decided(first) == {"rule_set": "main", "rule": "test forward main", "answered_by": "upstream", "rcode": "NOERROR"}
    assert first["answers"] == [{"name": "A.forwarded.test.", "type": "A", "ttl": 60, "data": "192.0.2.1"}]
    assert decided(second)["answered_by"] == "cache" and second["waited_us"] == 0
    assert 0 < first["waited_us"] < 1e6
    for line in (first, second):
        assert before - datetime.timedelta(seconds=1) < datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")) < after
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])


@pytest.mark.parametrize("name,rdtype,options,expected", [
    ("x.nx.test", "A", {}, {"rule_set": "main", "rule": "no-nx", "answered_by": "rule", "rcode": "NXDOMAIN"}),
    ("fixed.test", "A", {}, {"rule_set": "main", "rule": "fixed.test answer A 192.0.2.7", "answered_by": "rule", "rcode": "NOERROR"}),
    ("www.zone.test", "A", {}, {"rule_set": "zone", "answered_by": "zone", "rcode": "NOERROR"}),
    ("www.elsewhere.example", "AAAA", {}, {"answered_by": "default", "rcode": "NOERROR"}),
    ("silent.test", "A", {}, {"rule_set": "main", "rule": "test forward main", "answered_by": "error", "rcode": "SERVFAIL"}),
    ("nobody.test", "A", {"source": NOBODY}, {"answered_by": "error", "rcode": "REFUSED"}),
])
def test_who_answered_and_by_which_rule(gateway, name, rdtype, options, expected):
    ask(gateway.left, name, rdtype, **options)
    line = gateway.lines.one(name)
    assert line["type"] == rdtype
    told = decided(line)
    if expected.get("rule_set") == "zone":
        assert told.pop("rule").startswith("zone.test")
    assert told == expected
    assert ("network" in line) == ("source" not in options)
    assert (line["waited_us"] > 200_000) == (name == "silent.test")


def test_a_dropped_query(gateway):
    assert ask(gateway.left, "x.dropped.test", timeout=0.3) is None
    line = gateway.lines.one("x.dropped.test")
    assert decided(line) == {"rule_set": "main", "rule": "dropped.test block drop", "dropped": "blocked"}
    assert line["client"] == CLIENT and line["server"] == LEFT_IN and "rcode" not in line


def test_ipv6_clients_and_answers_of_several_records(gateway):
    ask(gateway.left, "chain.test", server=LEFT_IN6)
    line = gateway.lines.one("chain.test")
    assert line["client"] == CLIENT6 and line["server"] == LEFT_IN6
    assert [(a["name"], a["type"], a["ttl"], a["data"]) for a in line["answers"]] == [
        ("chain.test.", "CNAME", 60, "end.test."), ("end.test.", "A", 30, "192.0.2.1")]


def test_odd_octets_are_escaped(gateway):
    ask(gateway.left, r"odd\"\009.\255.test", "TXT")
    line = gateway.lines.one(r"odd\"\009.\255.test")
    assert line["answers"][0]["data"] == '"a\tb\\"\\255"'


def test_an_rcode_with_upper_bits(gateway):
    message = query("version.test", use_edns=0)
    message.ednsflags |= 1 << 16
    with gateway.left.socket(address=CLIENT) as sock:
        sock.sendto(message.to_wire(), (LEFT_IN, 53))
        sock.recv(512)
    assert decided(gateway.lines.one("version.test")) == {"rule_set": "main", "rule": "test forward main", "answered_by": "error", "rcode": "BADVERS"}


def test_a_message_that_is_no_query(gateway):
    before = len(gateway.lines.all())
    with gateway.left.socket(address=CLIENT) as sock:
        sock.sendto(b"\1\2\1\0" + bytes(8) + b"x", (LEFT_IN, 53))
        assert sock.recv(512)[3] & 15 == 1
    line = eventually(lambda: gateway.lines.all()[before:], what="the line")[-1]
    assert line["rcode"] == "FORMERR" and line["answered_by"] == "error" and "name" not in line


def test_streams_and_what_they_are(gateway):
    with Stream(gateway.left) as stream:
        stream.send(query("over.tcp.test"))
        stream.receive()
        stream.send(query("over.tcp.test"))
        stream.receive()
    first, second = gateway.lines.of("over.tcp.test", 2)
    assert first["transport"] == "tcp" and first["client"] == CLIENT and first["server"] == LEFT_IN and first["network"] == "clients"
    assert decided(first)["answered_by"] == "upstream" and decided(second)["answered_by"] == "cache"
    with TlsStream(gateway) as stream:
        stream.send(query("over.tls.test"))
        stream.receive()
    assert gateway.lines.one("over.tls.test")["transport"] == "tls"
    gateway.left.run("kdig", "+https", "+timeout=3", f"@{LEFT_IN}", "over.https.test", "A")
    assert gateway.lines.one("over.https.test")["transport"] == "https"
    with Stream(gateway.left) as stream:
        stream.send(query("big.tcp.test"))
        assert len(addresses(stream.receive())) == 100
        stream.send(query("tcp.dropped.test"))
        line = gateway.lines.one("tcp.dropped.test")
    assert line["transport"] == "tcp" and line["dropped"] == "blocked" and line["client"] == CLIENT and line["server"] == LEFT_IN
    whole = gateway.lines.one("big.tcp.test")
    assert len(whole["answers"]) == 100 and "truncated" not in whole
    ask(gateway.left, "big.udp.test")
    assert gateway.lines.one("big.udp.test")["truncated"] is True


NAMES = [f"n{i}.load.test A" for i in range(100)]


def load_until(gateway, reached):
    """Queries by the thousand, all of them answered, until it is so."""
    for _ in range(10):
        load = Dnsperf(gateway.left, NAMES, 1, rate=5000).finish()
        assert load["completed"] >= load["sent"] * 0.99
        if reached():
            return
    raise AssertionError("not reached")


def test_every_query_of_a_load_is_accounted_for(gateway):
    def count():
        stats = gateway.stats()
        return stats["counters", "queries_udp"], stats["query log", "written"], stats["query log", "lost"], stats["counters", "queries_unlogged"]
    eventually(lambda: len(gateway.lines.all()) == count()[1], what="the log to be at rest")
    before, lines = count(), len(gateway.lines.all())
    load = Dnsperf(gateway.left, NAMES, 3, rate=5000).finish()
    assert load["completed"] > 1000
    after = eventually(lambda: (lambda now: now if now[0] - before[0] == sum(now[1:]) - sum(before[1:]) else None)(count()),
                       what="all queries to be written or counted")
    assert after[0] - before[0] >= load["completed"]
    assert eventually(lambda: len(gateway.lines.all()) - lines == after[1] - before[1], what="the lines") is True
    # Two busy cores are shared by all of this; a machine with more loses none.
    assert after[1] - before[1] > (after[0] - before[0]) * 0.5
    metrics = gateway.shuntd.ctl("metrics").stdout
    assert f"shunt_query_log_written_total {after[1]}\n" in metrics


def test_a_file_that_is_moved_away_is_begun_anew_by_a_reload(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    ask(gateway.left, "before.rotation.test")
    gateway.lines.one("before.rotation.test")
    old = Lines(gateway.lines.path.rename(gateway.folder / "queries.json.1"))
    ask(gateway.left, "meanwhile.test")
    old.one("meanwhile.test")
    gateway.shuntd.ctl("reload")
    ask(gateway.left, "after.rotation.test")
    gateway.lines.one("after.rotation.test")
    assert gateway.lines.path.stat().st_mode & 0o777 == 0o640
    # Off, and on again at another place.
    changes = json.dumps(gateway.reload(text.replace('queries = "json"', 'queries = "off"')).stdout)
    assert "generation" in changes
    ask(gateway.left, "while.off.test")
    gateway.reload(text.replace("queries.json", "other.json"))
    ask(gateway.left, "other.test")
    Lines(gateway.folder / "other.json").one("other.test")
    gateway.reload(text)
    ask(gateway.left, "back.test")
    gateway.lines.one("back.test")
    assert not [line for line in gateway.lines.all() if line.get("name") == "while.off.test."]


def test_a_file_that_cannot_be_opened_stops_a_reload_and_nothing_else(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    (gateway.folder / "shunt.toml").write_text(text.replace("queries.json", "no/such/folder.json"))
    done = gateway.shuntd.ctl("reload", check=False)
    assert done.returncode == 78 and "[log] queries_to: can't open" in done.stderr and "No such file or directory" in done.stderr
    ask(gateway.left, "still.test")
    gateway.lines.one("still.test")
    gateway.reload(text)


def test_a_full_disk_costs_nobody_an_answer(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    lost = gateway.counter("lost", "query log")
    gateway.reload(text.replace("queries.json", "/dev/full"))
    load_until(gateway, lambda: gateway.counter("lost", "query log") > lost)  # 1 MiB is kept, and no more
    assert "query log /dev/full: No space left on device" in gateway.shuntd.log_text()
    gateway.reload(text)
    assert "queries were not written" in eventually(lambda: (lambda log: log if "not written" in log else None)(gateway.shuntd.log_text()),
                                                   what="the end of that log")
    ask(gateway.left, "disk.test")
    gateway.lines.one("disk.test")


def test_a_pipe_that_nobody_reads_costs_nobody_an_answer(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    pipe = gateway.folder / "pipe"
    os.mkfifo(pipe)
    (gateway.folder / "shunt.toml").write_text(text.replace("queries.json", "pipe"))
    assert gateway.shuntd.ctl("reload", check=False).returncode == 78, "nobody has it open"
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        gateway.reload(text.replace("queries.json", "pipe"))
        load_until(gateway, lambda: "pipe: nobody reads it" in gateway.shuntd.log_text())
        octets = b""

        def emptied():
            nonlocal octets
            with contextlib.suppress(BlockingIOError):
                octets += os.read(reader, 1 << 20)
            return "it is written again" in gateway.shuntd.log_text()
        eventually(emptied, what="the log to go on")
        assert json.loads(octets.split(b"\n")[0])["client"] == CLIENT
    finally:
        os.close(reader)
    assert rcode(ask(gateway.left, "broken.pipe.test")) == "NOERROR", "the end of the pipe is survived"
    gateway.reload(text)
    ask(gateway.left, "after.pipe.test")
    gateway.lines.one("after.pipe.test")


def test_standard_output_is_the_default(gateway):
    text = (gateway.folder / "shunt.toml").read_text()
    gateway.reload(text.replace('queries_to = "queries.json"\n', ""))
    ask(gateway.left, "stdout.test")
    # The rig has put both outputs into one file.
    eventually(lambda: '"name":"stdout.test."' in gateway.shuntd.log_text(), what="the line")
    gateway.reload(text)


@pytest.mark.parametrize("log,message", [
    (log_table("yes"), 'queries is "yes", it must be "off", "json" or "dnstap"'),
    (log_table("json", ""), "queries_to"),
    (log_table("dnstap", "relative.sock"), "it must be an absolute path"),
    (log_table("dnstap", "/" + "x" * 120), "it has 121 octets, a socket's path has at most 107"),
])
def test_mistakes_are_told(gateway, log, message, tmp_path):
    (tmp_path / "zone").write_text(ZONE, encoding="ascii")
    for suffix in ("pem", "key"):
        shutil.copy(gateway.folder / f"gw.{suffix}", tmp_path)
    (tmp_path / "shunt.toml").write_text(config(gateway, log))
    done = run(SHUNTD, "--config", tmp_path / "shunt.toml", "--check", check=False)
    assert done.returncode == 78 and message in done.stderr
