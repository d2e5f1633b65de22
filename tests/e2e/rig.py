"""A gateway between two networks, for one test module:

       left                      gw                       right
    clients  10.10.0.10 ---- "left"  shuntd  "right" ---- 10.20.0.53 and up: servers
             fd10::10        .2 .3            .2 .3       fd20::53

shunt takes queries at .2 of both sides and asks from .3. `rig.py clean` removes what killed runs left.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import netns
from netns import Namespace, eventually, run, wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SHUNT_BUILD", ROOT / "build"))
SHUNTD = BUILD / "control" / "shuntd"
SHUNTCTL = BUILD / "control" / "ctl" / "shuntctl"

CLIENT, CLIENT2, CLIENT6 = "10.10.0.10", "10.10.0.11", "fd10::10"
STRANGER = "10.10.0.200"       # outside the endpoint's allow list
NOBODY = "10.10.0.100"         # allowed, but in no network
SERVER, SERVER2, SERVER3, SERVER6 = "10.20.0.53", "10.20.0.54", "10.20.0.55", "fd20::53"
DEFAULT_SERVER = "10.20.0.60"  # of the default upstream
RIGHT_CLIENT = "10.20.0.10"
LEFT_IN, LEFT_OUT, RIGHT_IN, RIGHT_OUT = "10.10.0.2", "10.10.0.3", "10.20.0.2", "10.20.0.3"
LEFT_IN6, LEFT_OUT6, RIGHT_IN6, RIGHT_OUT6 = "fd10::2", "fd10::3", "fd20::2", "fd20::3"

DEVICES = {
    "af_packet": "net_af_packet{n},iface={side}",
    "af_xdp": "net_af_xdp{n},iface={side}",
    "tap": "net_tap{n},iface={side}",
}


def upstream(name, *targets, outbound="to-right", **keys):
    """An [[upstream]] table; further keys as TOML text."""
    lines = [f'[[upstream]]\nname = "{name}"', f"targets = {json.dumps(list(targets))}"]
    if outbound:
        lines.append(f'outbound = "{outbound}"')
    lines += [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


class Shuntd:
    """One run of the daemon."""

    def __init__(self, namespace, folder, arguments=()):
        self.socket = folder / "control.sock"
        self.log_path = folder / "shuntd.log"
        self.log = open(self.log_path, "ab")
        self.process = namespace.popen(SHUNTD, "--config", folder / "shunt.toml", *arguments,
                                       stdout=self.log, stderr=subprocess.STDOUT)

    def wait_ready(self, timeout=30):
        def ready():
            code = self.process.poll()
            assert code is None, f"shuntd ended with {code}:\n{self.log_text()}"
            return self.ctl("status", check=False).returncode == 0
        eventually(ready, timeout, "shuntctl status to answer")
        return self

    def log_text(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")[-8000:]

    def ctl(self, *command, check=True):
        return run(SHUNTCTL, "--socket", self.socket, *command, check=check)

    def json(self, *command):
        return json.loads(run(SHUNTCTL, "--socket", self.socket, "--json", *command).stdout)

    def stop(self, sig=signal.SIGTERM, timeout=10):
        """Ends the daemon, and returns its exit code (negative: the signal that ended it)."""
        if self.process.poll() is None:
            # `ip netns exec` becomes the daemon: the process is the daemon itself.
            self.process.send_signal(sig)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"shuntd did not end within {timeout} s:\n{self.log_text()}") from None
        self.log.close()
        return self.process.returncode


class Rig:
    """Namespaces, wires, servers and the daemon; `close` takes all of it away."""

    def __init__(self, driver="af_packet", hugepages=False):
        self.driver, self.hugepages = driver, hugepages
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"shunt-e2e-{os.getpid()}-"))
        self.shuntd = None
        self.things = []
        self.namespaces = []
        try:
            self._wire_up()
        except BaseException:
            self.close()
            raise

    def _namespace(self, label):
        namespace = Namespace(label)
        self.namespaces.append(namespace)
        return namespace

    def _wire_up(self):
        self.left, self.right = self._namespace("left"), self._namespace("right")
        self.gw, self.mirror = self._namespace("gw"), self._namespace("mirror")
        # The kernel must not answer on the interfaces that are shunt's ports.
        self.gw.sysctl("net.ipv6.conf.default.disable_ipv6=1")
        # A TAP is made by the driver; it meets the side's wire on a bridge.
        middle = "{}-wire" if self.driver == "tap" else "{}"
        wire(self.left, "eth0", self.gw, middle.format("left"))
        wire(self.right, "eth0", self.gw, middle.format("right"))
        for namespace, stem, stem6, hosts in ((self.left, "10.10.0", "fd10", (10, 11, 12, 53, 100, 200)),
                                              (self.right, "10.20.0", "fd20", (10, 53, 54, 55, 60))):
            for host in hosts:
                namespace.ip("address", "add", f"{stem}.{host}/24", "dev", "eth0")
                namespace.ip("address", "add", f"{stem6}::{host}/64", "dev", "eth0", "nodad")

    def bridge_taps(self):
        for side in ("left", "right"):
            # The port has the MAC that the interface was made with; a bridge would keep frames to it for itself.
            self.gw.ip("link", "set", side, "address", "02:00:00:00:0e:0" + {"left": "1", "right": "2"}[side])
            self.gw.ip("link", "add", f"{side}-bridge", "type", "bridge", "mcast_snooping", "0")
            self.gw.ip("link", "set", f"{side}-bridge", "up")
            for port in (f"{side}-wire", side):
                self.gw.ip("link", "set", port, "master", f"{side}-bridge", "up")

    # --- configuration --------------------------------------------------------------------------------------------

    def config(self, rules=(), upstreams="", default="", networks="", tail="", limits="", dataplane=""):
        """A whole shunt.toml around a test's rules and upstreams. `default` names the default upstream of the network `clients`."""
        hugepages = "true" if self.hugepages else "false"
        device = DEVICES[self.driver]
        default_line = f'default = "{default}"' if default else ""
        return f"""
[dataplane]
workers = [{os.cpu_count() - 1}]
control_core = 0
memory = "128MiB"
cache = "16MiB"
pending = 8192
hugepages = {hugepages}
{dataplane}

[control]
socket = "{self.folder}/control.sock"

[mirror]
namespace = "{self.mirror.name}"

[limits]
{limits}

[[port]]
name = "left"
device = "{device.format(n=0, side="left")}"
addresses = ["{LEFT_IN}/24", "{LEFT_OUT}/24", "{LEFT_IN6}/64", "{LEFT_OUT6}/64"]

[[port]]
name = "right"
device = "{device.format(n=1, side="right")}"
addresses = ["{RIGHT_IN}/24", "{RIGHT_OUT}/24", "{RIGHT_IN6}/64", "{RIGHT_OUT6}/64"]

[[inbound]]
name = "from-left"
addresses = ["{LEFT_IN}", "{LEFT_IN6}"]
allow = ["10.10.0.0/25", "fd10::/64"]

[[inbound]]
name = "from-right"
addresses = ["{RIGHT_IN}", "{RIGHT_IN6}"]
allow = ["10.20.0.0/24", "fd20::/64"]

[[outbound]]
name = "to-left"
addresses = ["{LEFT_OUT}", "{LEFT_OUT6}"]

[[outbound]]
name = "to-right"
addresses = ["{RIGHT_OUT}", "{RIGHT_OUT6}"]

{upstreams}

[[rules]]
name = "main"
list = {json.dumps(list(rules))}

[[network]]
name = "clients"
clients = ["10.10.0.0/26", "fd10::/64", "10.20.0.0/24", "fd20::/64"]
rules = ["main"]
{default_line}

{networks}
{tail}
"""

    def write(self, text):
        path = self.folder / "shunt.toml"
        path.write_text(text, encoding="utf-8")
        return path

    # --- the daemon -----------------------------------------------------------------------------------------------

    def start(self, text):
        """Starts shuntd with that configuration, and waits until it is ready."""
        self.write(text)
        self.shuntd = Shuntd(self.gw, self.folder)
        self.shuntd.wait_ready()
        if self.driver == "tap":
            self.bridge_taps()
        return self

    def reload(self, text):
        self.write(text)
        return self.shuntd.ctl("reload")

    def wait_up(self, *names):
        """Until a target of each upstream named is up."""
        eventually(lambda: all(self.target_up(name) for name in names), 15, f"targets of {names} to be up")

    def wait_path(self, name, client):
        """Until there is a way to each target that this query could be sent to."""
        eventually(lambda: "(no way" not in json.dumps(self.shuntd.json("explain", name, "--client", client)["upstream"]), 15,
                   f"a way for {name}")

    def target_up(self, name):
        return any(t["state"] == "up" for u in self.shuntd.json("upstreams")["upstreams"] if u["name"] == name for t in u["targets"])

    def _stats_now(self):
        groups = self.shuntd.json("stats")["groups"]
        return {(group["title"], row["name"]): row["total"] for group in groups for row in group["rows"]}

    def stats(self):
        """All counters as {(group, name): total}. A worker tells its counters every few milliseconds: this waits until it has told what
        it did before the call."""
        before = self._stats_now()

        def told():
            now = self._stats_now()
            return now if now["counters", "loops"] != before["counters", "loops"] else None
        return eventually(told, what="the worker to tell its counters")

    def counter(self, name, group=None):
        found = [total for (title, row), total in self.stats().items() if row == name and group in (None, title)]
        assert len(found) == 1, f"counter {name} of group {group}: {len(found)} found"
        return found[0]

    def add(self, thing):
        """Has `thing.close()` called at the end."""
        self.things.append(thing)
        return thing

    def close(self):
        problems = []
        for action in [self._stop_shuntd, *(t.close for t in reversed(self.things)),
                       *(n.close for n in self.namespaces), lambda: shutil.rmtree(self.folder)]:
            try:
                action()
            except Exception as error:  # pylint: disable=broad-except  # all must be tried
                problems.append(error)
        if problems:
            raise problems[0]

    def _stop_shuntd(self):
        if self.shuntd and not self.shuntd.log.closed:
            code = self.shuntd.stop()
            assert code == 0, f"shuntd ended with {code}:\n{self.shuntd.log_text()}"


if __name__ == "__main__":
    if sys.argv[1:] != ["clean"]:
        sys.exit("usage: rig.py clean")
    netns.remove_leftovers()
    for leftover in pathlib.Path(tempfile.gettempdir()).glob("shunt-e2e-*"):
        if not os.path.exists(f"/proc/{leftover.name.split('-')[2]}"):
            shutil.rmtree(leftover)
