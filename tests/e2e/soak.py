"""A gateway under load, while all goes on around it that may: targets flap, a link goes down and up, rules change by reload, the cache is
flushed, TCP clients misbehave. Run by scripts/soak for an hour, by test_soak.py for some seconds.

    load (memif)                       gw                        right
    shuntperf: clients, servers ----  shuntd ---- "right" ----  10.20.0.53, .54: servers that fall silent in turn
                                      |    |                    10.20.0.60: the default upstream
    left: clients, good and bad ------+    +----- "side" -----  a client whose link goes down and up

Nobody may lose an answer that a healthy target could give: of the two servers of pair.test one is well at any time.
"""
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
import time

from client import Stream, addresses, ask, query
from netns import eventually, wire
from rig import CLIENT, CLIENT2, DEFAULT_SERVER, LEFT_IN, LEFT_OUT, RIGHT_IN, RIGHT_OUT, SERVER, SERVER2, Rig, Shuntd
from servers import RealServer
from steady import Steady
from test_life import check_laws, sum_of
from test_memif import PEER_MAC, SHUNT_IN, SHUNT_MAC, SHUNT_OUT, UPSTREAM, Player

SIDE_IN, SIDE_OUT, SIDE_CLIENT = "10.40.0.2", "10.40.0.3", "10.40.0.10"
GROWTH_KIB = 4096  # of resident memory, between the end of warming up and the end


class Dnsmasq(RealServer):
    """Answers every name below `zone`; one process, which can be stopped."""

    def configure(self, zone):
        self.command = ("/usr/sbin/dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root",
                        "--pid-file=", "--log-facility=/dev/null", f"--listen-address={self.address[0]}", f"--address=/{zone}/192.0.2.1")

    def send(self, sig):
        self.process.send_signal(sig)  # `ip netns exec` has become the server


class SoakRig(Rig):
    """As every rig, with a memif link for the load, and a third veth pair whose link goes down."""

    def _wire_up(self):
        super()._wire_up()
        self.side = self._namespace("side")
        wire(self.side, "eth0", self.gw, "side")
        self.side.ip("address", "add", f"{SIDE_CLIENT}/24", "dev", "eth0")

    def device(self, role):
        mac = SHUNT_MAC if role == "client" else PEER_MAC
        return f"net_memif0,role={role},socket={self.folder}/memif.sock,socket-abstract=no,rsize=11,mac={mac}"

    def text(self, turn=0):
        """Each `turn` has rules of its own: another answer for mark.test, other blocked names, some of which come and go."""
        rules = ["load.test forward load", "pair.test forward pair", f"mark.test answer A 192.0.2.{turn % 250 + 1}"]
        rules += [f"r{turn % 7}-{i}.block.test block nxdomain" for i in range(500 + turn % 3 * 200)]
        ports = [("load", self.device("client"), SHUNT_IN, SHUNT_OUT, 16)] + [
            (name, f"net_af_packet{i},iface={name}", inside, out, 24)
            for i, (name, inside, out) in enumerate((("left", LEFT_IN, LEFT_OUT), ("right", RIGHT_IN, RIGHT_OUT), ("side", SIDE_IN, SIDE_OUT)))]
        tables = "".join(f'[[port]]\nname = "{name}"\ndevice = "{device}"\naddresses = ["{inside}/{bits}", "{out}/{bits}"]\n'
                         for name, device, inside, out, bits in ports)
        return f"""
[dataplane]
workers = [{os.cpu_count() - 1}]
control_core = 0
memory = "192MiB"
cache = "16MiB"
pending = 16384
hugepages = false
[control]
socket = "{self.folder}/control.sock"
[mirror]
namespace = "{self.mirror.name}"
[limits]
tcp_idle_ms = 2000
tcp_connections_per_client = 30
{tables}
[[inbound]]
name = "in"
addresses = ["{SHUNT_IN}", "{LEFT_IN}", "{SIDE_IN}"]
allow = ["10.0.0.0/8"]
[[outbound]]
name = "to-load"
addresses = ["{SHUNT_OUT}"]
[[outbound]]
name = "out"
addresses = ["{RIGHT_OUT}"]
[[upstream]]
name = "load"
outbound = "to-load"
targets = ["{UPSTREAM}"]
[[upstream]]
name = "pair"
outbound = "out"
targets = ["{SERVER}", "{SERVER2}"]
timeout_ms = 400
probe = "probe.pair.test A"
health = {{ fall = 3, rise = 2, interval_ms = 300 }}
[[upstream]]
name = "default"
outbound = "out"
targets = ["{DEFAULT_SERVER}"]
probe = "probe.other A"
[[rules]]
name = "main"
list = {json.dumps(rules)}
[[network]]
name = "clients"
clients = ["10.0.0.0/8"]
rules = ["main"]
default = "default"
"""

    def start_load(self, *options):
        """The daemon, with shuntperf on its link: nine in ten queries for names that are cached, the rest for new ones."""
        player = self.add(Player(
            "--role", "both", "--device", self.device("server"), "--no-hugepages", "--target", SHUNT_IN, "--from", "10.30.1.0", "--clients", 50,
            "--serve", UPSTREAM, "--names", "n%d.load.test", "--count", 5000, "--order", "zipf", "--miss-share", 0.1,
            "--miss-names", "x%d.load.test", "--ttl", 20, "--in-flight", 1024, "--timeout-ms", 4500, "--prime", "--linger", 600, "--patience", 30,
            "--json", "--quiet", *options))
        eventually((self.folder / "memif.sock").exists, 20, "the memif socket")
        self.write(self.text())
        self.shuntd = Shuntd(self.gw, self.folder).wait_ready()
        return player

    def states(self, upstream):
        found = next(u for u in self.shuntd.json("upstreams")["upstreams"] if u["name"] == upstream)
        return {t["address"].rsplit(":", 1)[0]: t["state"] for t in found["targets"]}


def highest_rate(seconds):
    """The highest rate of the load at which next to nothing is lost, with nothing else going on. `seconds`: of each step."""
    rig = SoakRig()
    try:
        player = rig.start_load("--search", "--search-seconds", seconds, "--search-loss", 1, "--search-steps", 8, "--search-precision", 10)
        return player.figures()["search"]["rate"]
    finally:
        rig.close()


class Trouble:
    """Something that goes on beside the load, on a thread of its own: `step` again and again, until `finish`. `count` says how often. What goes
    wrong in it is a failure of the soak."""

    name = ""
    pause = 0.1

    def __init__(self, soak):
        self.soak, self.rig, self.count = soak, soak.rig, 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.soak.over.is_set():
            try:
                self.step()
                self.count += 1
            except Exception as error:  # pylint: disable=broad-except  # told in the summary
                self.soak.fail(f"{self.name}: {error}")
            self.soak.over.wait(self.pause)

    def step(self):
        raise NotImplementedError

    def finish(self):
        self.thread.join(60)


class Flapping(Trouble):
    """One server of the pair falls silent, then the other; each is up again before the next goes. Then a client's link goes down."""

    name, pause = "flaps", 0.5

    def _wait(self, address, state):
        eventually(lambda: self.rig.states("pair").get(address) == state, 15, f"{address} to be {state}", interval=0.1)

    def step(self):
        for server in self.soak.pair:
            self._wait(server.address[0], "up")
        if self.count % 3 == 2:
            return self._flap_link()
        server = self.soak.pair[self.count % 3]
        server.send(signal.SIGSTOP)
        try:
            self._wait(server.address[0], "down")
        finally:
            server.send(signal.SIGCONT)
        return None

    def _flap_link(self):
        self.rig.side.ip("link", "set", "eth0", "down")
        self.soak.over.wait(1)
        self.rig.side.ip("link", "set", "eth0", "up")
        eventually(lambda: ask(self.rig.side, "mark.test", server=SIDE_IN, source=SIDE_CLIENT, timeout=0.5), 10,
                   "the client behind the link to be answered again")


class Reloading(Trouble):
    """Other rules each time; they hold as soon as the command has returned."""

    name, pause = "reloads", 1.0

    def step(self):
        turn = self.count + 1
        generation = self.rig.shuntd.json("status")["generation"]
        self.rig.reload(self.rig.text(turn))
        assert self.rig.shuntd.json("status")["generation"] == generation + 1, f"generation {generation} stays"
        expected = f"192.0.2.{turn % 250 + 1}"
        assert addresses(ask(self.rig.left, "mark.test")) == [expected], "an answer of the generation before"


class Flushing(Trouble):
    name, pause = "flushes", 0.7

    def step(self):
        below = [f"n{self.count % 50}.load.test"] if self.count % 10 else []
        self.rig.shuntd.ctl("cache", "flush", *below)


class GoodStream(Trouble):
    """A TCP client as it should be; the bad ones must not be felt."""

    name, pause = "streams", 0.1

    def step(self):
        messages = {m.id: m for m in (query(f"s{self.count}-{i}.pair.test") for i in range(5))}
        with Stream(self.rig.left, source=CLIENT, timeout=5) as stream:
            for message in messages.values():
                stream.send(message)
            while messages:
                response = stream.receive()
                assert response is not None and addresses(response) == ["192.0.2.1"], f"a TCP client got {response}"
                del messages[response.id]


class BadStreams(Trouble):
    """Connections that send slowly, are idle, never read, lie, vanish, or are too many; none for long, and not more than may be open."""

    name, pause = "bad streams", 0.05
    MOST = 40

    def __init__(self, soak):
        super().__init__(soak)
        self.open = []

    def step(self):
        framed = struct.pack("!H", len(m := query("mark.test").to_wire())) + m
        octets, gone = random.choice(((framed[:9], False), (b"", False), (framed * 300, False), (b"\0\3abc", False), (framed * 5, True)))
        while len(self.open) >= self.MOST:
            self.open.pop(0).close()
        sock = self.rig.left.socket(socket.SOCK_STREAM, CLIENT2)
        self.open.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.3)
        try:
            sock.connect((LEFT_IN, 53))
            sock.sendall(octets)
        except OSError:
            pass  # closed as it deserves
        if gone:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.open.pop().close()

    def finish(self):
        super().finish()
        for sock in self.open:
            sock.close()


class Snapshots(Trouble):
    """The laws of the counters."""

    name, pause = "snapshots", 0.25

    def step(self):
        check_laws(self.rig.shuntd.ctl("metrics").stdout)


class Soak:
    """One soak. `run` gives the failures: none where all is well. `say` takes each line for the user."""

    def __init__(self, seconds, interval, search_seconds, say):
        self.seconds, self.interval, self.search_seconds, self.say = seconds, interval, search_seconds, say
        self.failures, self.over = [], threading.Event()
        self.samples, self.rig, self.pair = [], None, []

    def fail(self, what):
        if len(self.failures) < 50:
            self.failures.append(what)
            self.say(f"FAILED: {what}")

    def expect(self, good, what):
        if not good:
            self.fail(what)

    def run(self):
        highest = highest_rate(self.search_seconds)
        rate = int(highest / 2)
        self.say(f"highest rate {highest:,.0f}/s; {self.seconds:.0f} s at {rate:,}/s")
        self.rig = SoakRig()
        try:
            self._run(rate)
        finally:
            self.over.set()
            for server in self.pair:
                server.send(signal.SIGCONT)
            self.rig.close()
        return self.failures

    def _run(self, rate):
        rig = self.rig
        self.pair = [rig.add(Dnsmasq(rig.right, rig.folder / address, [address], "pair.test")) for address in (SERVER, SERVER2)]
        rig.add(Dnsmasq(rig.right, rig.folder / "c", [DEFAULT_SERVER], "other"))
        player = rig.start_load("--rate", rate, "--seconds", self.seconds)
        eventually(lambda: all(set(rig.states(u).values()) == {"up"} for u in ("pair", "load", "default")), 20, "all targets to be up")
        at_start = self._sample()
        clients = [rig.add(Steady(rig.left, f"{{}}-{i}.{zone}", pause=0.02)) for i, zone in enumerate(("pair.test", "pair.test", "other"))]
        troubles = [kind(self) for kind in (Flapping, Reloading, Flushing, GoodStream, BadStreams, Snapshots)]
        for trouble in troubles:
            trouble.thread.start()
        figures = self._watch(player, troubles)
        self.over.set()
        for thing in (*clients, *troubles):
            thing.finish()
        self._judge(figures, clients, troubles, at_start)

    def _watch(self, player, troubles):
        """A line each interval, until the load has ended."""
        result = {}

        def wait():
            try:
                result["figures"] = player.figures()
            except Exception as error:  # pylint: disable=broad-except  # raised below, on the main thread
                result["error"] = error

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        start = time.monotonic()
        last = self._sample()
        while thread.is_alive():
            thread.join(self.interval)
            if not thread.is_alive() and len(self.samples) > 3:
                break
            if time.monotonic() - start > self.seconds + 120:
                raise AssertionError("the load does not end")
            if self.rig.shuntd.process.poll() is not None:
                raise AssertionError(f"shuntd ended with {self.rig.shuntd.process.returncode}:\n{self.rig.shuntd.log_text()}")
            now = self._sample()
            self.samples.append(now)
            self.say(self._line(now, last, now["at"] - start, troubles))
            last = now
        if "error" in result:
            raise result["error"]
        return result["figures"]

    def _sample(self):
        text = self.rig.shuntd.ctl("metrics").stdout
        status = self.rig.shuntd.json("status")
        with open(f"/proc/{self.rig.shuntd.process.pid}/smaps_rollup", encoding="ascii") as rollup:
            resident = int(re.search(r"^Rss:\s+(\d+)", rollup.read(), re.MULTILINE)[1])
        buffers = status["packet_buffers"]
        return {"at": time.monotonic(), "queries": sum_of(text, "shunt_queries_udp_total", "shunt_queries_stream_total"),
                "hits": sum_of(text, "shunt_answered_cache_total"), "waiting": sum_of(text, "shunt_waiting_queries"),
                "taken": buffers["size"] - buffers["free"], "size": buffers["size"], "resident_kib": resident, "generation": status["generation"]}

    @staticmethod
    def _line(now, last, elapsed, troubles):
        queries = now["queries"] - last["queries"]
        return (f"{elapsed:6.0f} s  {queries / (now['at'] - last['at']):10,.0f}/s  {(now['hits'] - last['hits']) / max(queries, 1):6.1%} cached"
                f"  waiting {now['waiting']:5.0f}  buffers {now['taken']:5}  resident {now['resident_kib'] / 1024:6.1f} MiB"
                f"  generation {now['generation']}  " + "  ".join(f"{t.name} {t.count}" for t in troubles))

    def _judge(self, figures, clients, troubles, at_start):
        rig, load = self.rig, figures["clients"]
        self.expect(load["answered"] == load["sent"] > 0, f"{load['sent'] - load['answered']} of {load['sent']} queries lost: {load}")
        self.expect(set(load["rcodes"]) == {"NOERROR"}, f"the load was answered {load['rcodes']}")
        self.expect(load["wrong"] == load["unexpected"] == load["without_records"] == 0, f"wrong answers: {load}")
        for client in clients:
            self.expect(client.asked > 0 and not client.failed,
                        f"{len(client.failed)} of {client.asked} queries of a client failed:\n{client.complaints()}")
        for trouble in troubles:
            self.expect(trouble.count > 1, f"{trouble.name}: {trouble.count}")
        try:
            eventually(lambda: (now := self._sample())["waiting"] == 0 and now["taken"] == 0, 15, "all packet buffers to be back")
        except AssertionError as error:
            self.fail(f"{error}; {self._sample()['taken']} are missing")
        check_laws(rig.shuntd.ctl("metrics").stdout)
        end = self._sample()
        self.expect(end["generation"] > at_start["generation"] + 1, f"generation {end['generation']}")
        warm = self.samples[len(self.samples) // 3]
        grown = end["resident_kib"] - warm["resident_kib"]
        self.expect(grown < GROWTH_KIB, f"resident memory grew by {grown} KiB, to {end['resident_kib']} KiB")
        code = rig.shuntd.stop()
        self.expect(code == 0, f"shuntd ended with {code}")
        bad = [line for line in rig.shuntd.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
               if re.match(r"\S+ (error|critical) ", line)]
        self.expect(not bad, "in the log: " + "; ".join(bad[:3]))
        schedule = figures["schedule"]
        self.say(f"load: {load['sent']:,} sent, {load['sent'] - load['answered']:,} lost; {schedule['missed']:,} due but not sent, as the generator had "
                 f"no time; {load['sent_fresh']:,} for new names; p50 {load['latency_us']['p50']:.0f} us, p99 {load['latency_us']['p99']:.0f} us")
        self.say(f"clients: {sum(c.asked for c in clients):,} asked while targets flapped, {sum(len(c.failed) for c in clients)} failed; the longest wait "
                 f"{max(max(c.took) for c in clients):.2f} s")
        self.say(f"buffers: {end['taken']} of {end['size']} missing at the end, {max(s['taken'] for s in self.samples)} taken at most; resident memory "
                 f"{warm['resident_kib']:,} KiB warm, {end['resident_kib']:,} KiB at the end; generation {end['generation']}")
        self.say("  ".join(f"{t.name} {t.count}" for t in troubles))


def main(arguments):
    """scripts/soak: 0 where all was well, 1 where not, 2 for wrong usage, 130 where it was interrupted."""
    try:
        minutes = float(arguments[1]) if arguments[:1] == ["--minutes"] and len(arguments) == 2 else (60.0 if not arguments else 0)
    except ValueError:
        minutes = 0
    if not 0.2 <= minutes <= 24 * 60:
        print("usage: scripts/soak [--minutes N], 0.2 to 1440", file=sys.stderr)
        return 2

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        failures = Soak(minutes * 60, max(5.0, min(60.0, minutes)), 1.0, lambda line: print(line, flush=True)).run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # pylint: disable=broad-except  # whatever it was: no good end
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print(f"{len(failures)} failures" if failures else "all well")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
