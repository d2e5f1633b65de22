"""The log of queries as dnstap, `[log] queries = "dnstap"`: taken by fstrm_capture, read by BIND's dnstap-read."""
import re
import signal
import socket
import subprocess
import time

import pytest

from client import Dnsperf, Stream, ask, query, rcode
from logging_rig import log_table, running
from netns import eventually, run
from rig import CLIENT, CLIENT6, LEFT_IN, LEFT_IN6
from tls import TlsStream


class Collector:
    """fstrm_capture at a socket."""

    def __init__(self, folder, name):
        self.socket, self.file = folder / "dnstap.sock", folder / name
        self.process = subprocess.Popen(["fstrm_capture", "-t", "protobuf:dnstap.Dnstap", "-u", self.socket, "-w", self.file],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self.socket.exists, what="the collector")

    def end(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        self.process.wait(10)
        self.socket.unlink(missing_ok=True)

    def read(self, *options):
        return run("dnstap-read", *options, self.file).stdout


@pytest.fixture(scope="module")
def tapped():
    with running(lambda rig: log_table("dnstap", rig.folder / "dnstap.sock")) as rig:
        yield rig


def connected(rig, times):
    eventually(lambda: rig.shuntd.log_path.read_text().count("dnstap.sock: it is written again") == times, 15, "the connection")


def test_dnstap_is_read_by_bind(tapped):
    # Nobody is there yet: that is told once, and the gateway works.
    assert rcode(ask(tapped.left, "nobody.listens.test")) == "NOERROR"
    assert tapped.shuntd.log_text().count("queries that find no room meanwhile are lost") == 1
    collector = Collector(tapped.folder, "first.fstrm")
    try:
        connected(tapped, 1)
        written = tapped.counter("written", "query log")
        ask(tapped.left, "a.tapped.test")
        ask(tapped.left, "chain.test", server=LEFT_IN6)
        ask(tapped.left, "x.dropped.test", timeout=0.3)
        with Stream(tapped.left) as stream:
            stream.send(query("x.nx.test"))
            stream.receive()
        with TlsStream(tapped) as stream:
            stream.send(query("over.tls.test"))
            stream.receive()
        tapped.left.run("kdig", "+https", "+timeout=3", f"@{LEFT_IN}", "over.https.test", "A")
        eventually(lambda: tapped.counter("written", "query log") == written + 6, what="six to be written")
        tapped.reload((tapped.folder / "shunt.toml").read_text())  # ends the stream, and begins another
    finally:
        collector.end()
    short = collector.read().splitlines()
    # 01-Dec-2026 03:00:00.123 CR 10.10.0.10:40000 <- 10.10.0.2:53 UDP 62b a.tapped.test/IN/A
    pattern = re.compile(r"\S+ \S+ (C[QR]) (\S+):(\d+) (<-|->) (\S+):(\d+) (\S+) \d+b (\S+)")
    told = [pattern.fullmatch(line).groups() for line in short]
    assert [(t[0], t[1], t[4], t[5], t[6], t[7]) for t in told] == [
        ("CR", CLIENT, LEFT_IN, "53", "UDP", "a.tapped.test/IN/A"),
        ("CR", CLIENT6, LEFT_IN6, "53", "UDP", "chain.test/IN/A"),
        ("CQ", CLIENT, LEFT_IN, "53", "UDP", "x.dropped.test/IN/A"),
        ("CR", CLIENT, LEFT_IN, "53", "TCP", "x.nx.test/IN/A"),
        ("CR", CLIENT, LEFT_IN, "853", told[4][6], "over.tls.test/IN/A"),
        ("CR", CLIENT, LEFT_IN, "443", told[5][6], "over.https.test/IN/A")]
    detailed = collector.read("-y")
    assert f"identity: {socket.gethostname()}" in detailed and re.search(r"version: shunt \d+\.\d+\.\d+", detailed)
    assert "query_time: !!timestamp" in detailed and "response_time: !!timestamp" in detailed
    whole = collector.read("-p")
    assert "192.0.2.1" in whole and "status: NXDOMAIN" in whole


def test_a_collector_that_goes_away_is_found_again(tapped):
    for round_ in range(2):
        collector = Collector(tapped.folder, f"round{round_}.fstrm")
        try:
            before = tapped.counter("written", "query log")
            eventually(lambda: ask(tapped.left, "again.test") and tapped.counter("written", "query log") > before, 15, "the log to go on")
        finally:
            collector.end(signal.SIGKILL)
        lost = tapped.counter("lost", "query log")
        eventually(lambda: rcode(ask(tapped.left, "again.test")) == "NOERROR" and tapped.counter("lost", "query log") > lost, 15,
                   "the loss to be counted")


@pytest.mark.parametrize("talks", [False, True])
def test_a_collector_that_hangs_costs_nobody_an_answer(tapped, talks):
    """It accepts and says nothing; or it agrees to take frames, and doesn't read them."""
    path = tapped.folder / "dnstap.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(15)
        peer, _ = listener.accept()
        with peer:
            if talks:
                content = b"protobuf:dnstap.Dnstap"
                field = (1).to_bytes(4, "big") + len(content).to_bytes(4, "big") + content
                accept = (1).to_bytes(4, "big") + field
                peer.recv(4096)
                peer.sendall(bytes(4) + len(accept).to_bytes(4, "big") + accept)
            load = Dnsperf(tapped.left, [f"n{i}.load.test A" for i in range(100)], 3, rate=2000).finish()
            assert load["completed"] > 500 and load["completed"] >= load["sent"] * 0.99
            start = time.monotonic()
            assert tapped.shuntd.ctl("status").returncode == 0
            tapped.reload((tapped.folder / "shunt.toml").read_text())
            assert time.monotonic() - start < 3
    path.unlink()
