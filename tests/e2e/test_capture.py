"""`shuntctl capture`: packets of the fast path as pcap, read here by tcpdump and scapy."""
import json
import os
import re
import signal
import subprocess
import time

import pytest
from scapy.layers.dns import DNS
from scapy.layers.inet import IP, UDP
from scapy.utils import rdpcap

from answering import answering_gateway, main_upstream
from client import addresses, ask, rcode
from netns import eventually, run
from rig import CLIENT, SERVER, SHUNTCTL

RULES = ["test forward main", "nx.test block nxdomain"]


@pytest.fixture(scope="module")
def gateway():
    with answering_gateway(RULES) as rig:
        yield rig


class Capture:
    """shuntctl capture in the background, begun when this returns."""

    def __init__(self, rig, *options, file=None):
        self.file = rig.folder / "capture.pcap" if file is None else file
        if file is None:
            self.file.unlink(missing_ok=True)
        self.process = subprocess.Popen([SHUNTCTL, "--socket", rig.shuntd.socket, "capture", "--write", self.file, *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr.readline().startswith("capturing")

    def end(self, sig=signal.SIGINT, code=0):
        if sig is not None:
            time.sleep(0.3)  # what the workers copied is fetched
            self.process.send_signal(sig)
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == code, err
        return out, err

    def frames(self):
        return rdpcap(str(self.file))


def questions(frames):
    return [(frame[IP].src, frame[IP].dst, frame[DNS].qr, frame[DNS].qd.qname.decode().lower()) for frame in frames]


def test_a_name_on_its_way_out_and_back(gateway):
    began = time.time()
    capture = Capture(gateway, "--name", "Seen.test")
    assert addresses(ask(gateway.left, "a.seen.test")) == ["192.0.2.1"]
    assert addresses(ask(gateway.left, "other.test")) == ["192.0.2.1"]
    _, err = capture.end()
    frames = capture.frames()
    assert [(qr, name) for _, _, qr, name in questions(frames)] == [(0, "a.seen.test."), (0, "a.seen.test."), (1, "a.seen.test."), (1, "a.seen.test.")]
    assert questions(frames)[0][0] == CLIENT and questions(frames)[1][1] == SERVER
    assert questions(frames)[2][0] == SERVER and questions(frames)[3][1] == CLIENT
    assert frames[0][UDP].dport == 53 and frames[3].an.rdata == "192.0.2.1"
    assert all(began - 1 < float(frame.time) < time.time() + 1 for frame in frames)
    assert re.fullmatch(r"4 frames written to \S+; looked at (\d+) of \1 that came and went\n", err), err
    text = run("tcpdump", "-nr", capture.file, check=True).stdout
    assert text.count(" A? a.seen.test.") == 2 and text.count(" A 192.0.2.1") == 2


def test_a_client(gateway):
    capture = Capture(gateway, "--client", CLIENT)
    assert rcode(ask(gateway.left, "x.nx.test")) == "NXDOMAIN"
    capture.end(signal.SIGTERM)
    assert [(qr, name) for _, _, qr, name in questions(capture.frames())] == [(0, "x.nx.test."), (1, "x.nx.test.")]
    capture = Capture(gateway, "--client", "192.0.2.77")
    assert rcode(ask(gateway.left, "x.nx.test")) == "NXDOMAIN"
    capture.end()
    assert not capture.frames()


def test_one_that_is_refused_leaves_the_file_as_it_is(gateway):
    capture = Capture(gateway, "--name", "nx.test")
    ask(gateway.left, "x.nx.test")
    second = gateway.shuntd.ctl("capture", "--write", capture.file, check=False)
    assert second.returncode == 1 and "only one" in second.stderr
    capture.end()
    assert len(capture.frames()) == 2
    wrong = gateway.shuntd.ctl("capture", "--write", capture.file, "--name", "a..b", check=False)
    assert wrong.returncode == 1 and len(capture.frames()) == 2


def test_it_ends_by_count_and_by_time(gateway):
    capture = Capture(gateway, "--count", 3, "--name", "nx.test")
    for _ in range(3):
        ask(gateway.left, "x.nx.test")
    capture.end(None)
    assert len(capture.frames()) == 3
    began = time.monotonic()
    err = gateway.shuntd.ctl("capture", "--seconds", "0.5", "--write", capture.file).stderr
    assert 0.5 <= time.monotonic() - began < 5
    assert "frames written" in err


def test_to_standard_output_and_as_json(gateway):
    capture = Capture(gateway, "--name", "nx.test", "--json")
    ask(gateway.left, "x.nx.test")
    out, err = capture.end()
    assert err == ""
    result = json.loads(out)
    assert result["frames"] == 2 and result["looked_at"] >= 2 and result["passed_over"] == 0 and result["no_room"] == 0

    with subprocess.Popen([SHUNTCTL, "--socket", gateway.shuntd.socket, "capture", "--name", "nx.test", "--count", "2", "--write", "-"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as piped:
        with subprocess.Popen(["tcpdump", "-nr", "-"], stdin=piped.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reader:
            eventually(lambda: ask(gateway.left, "x.nx.test") and piped.poll() is not None, 20, "two frames")
            assert piped.returncode == 0
            piped.stdout.close()
            assert reader.communicate(timeout=10)[0].count("x.nx.test.") >= 1


def test_while_a_reload_changes_what_runs(gateway):
    capture = Capture(gateway, "--name", "test")
    ask(gateway.left, "before.test")
    gateway.reload(gateway.config(rules=[*RULES, "more.test block nxdomain"], upstreams=main_upstream()))
    assert rcode(ask(gateway.left, "more.test")) == "NXDOMAIN"
    capture.end()
    assert [name for _, _, _, name in questions(capture.frames())] == ["before.test."] * 4 + ["more.test."] * 2


def test_one_that_is_killed_makes_room_for_the_next(gateway):
    capture = Capture(gateway)
    capture.process.kill()
    capture.process.communicate()
    command = ["capture", "--write", os.devnull, "--seconds", "0.1"]
    assert "a capture is running: only one can" in gateway.shuntd.ctl(*command, check=False).stderr
    eventually(lambda: gateway.shuntd.ctl(*command, check=False).returncode == 0, 20, "the next capture")


@pytest.mark.parametrize("arguments,code,says", [
    (["--write", "/nowhere/at.all"], 1, "No such file"),
    (["--write", "/dev/full", "--seconds", "0.2"], 1, "cannot write to /dev/full"),
    (["--write", os.devnull, "--client", "10.0.0.256"], 1, "is no address"),
    (["--write", os.devnull, "--name", "a..b"], 1, "is no domain name"),
    (["--write", os.devnull, "--count", "0"], 2, "--count"),
    (["--write", os.devnull, "--seconds", "-1"], 2, "--seconds"),
    (["--write", "-", "--json"], 2, "standard output"),
    ([], 2, "--write")])
def test_what_cannot_be_is_said(gateway, arguments, code, says):
    result = gateway.shuntd.ctl("capture", *arguments, check=False)
    assert result.returncode == code and says in result.stderr
    assert gateway.shuntd.ctl("capture", "--write", os.devnull, "--seconds", "0.1", check=False).returncode == 0
