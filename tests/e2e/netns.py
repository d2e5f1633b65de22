"""Network namespaces: made, entered, wired up, and taken away with everything in them.

Sockets of a namespace are ordinary Python sockets: a socket belongs to the namespace of the thread that made it, so a short-lived
thread enters the namespace, makes the socket, and hands it out. No test code runs anywhere but in this process.
"""
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time

# Every name carries the id of the process that made it, so that runs side by side don't meet, and what a killed run left is recognised.
STEM = "she"
PREFIX = f"{STEM}{os.getpid()}-"

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command, check=True, timeout=60, **options):
    """Runs a command to its end; its output as text is in the result. A failure shows that output."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, check=False, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def eventually(condition, timeout=10.0, what="the condition", interval=0.02):
    """Polls until `condition()` is true, and returns what it gave; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}; last: {value!r}")
        time.sleep(interval)


def _pids(name):
    done = run("ip", "netns", "pids", name, check=False)
    return [int(p) for p in done.stdout.split()]


def _end(name):
    for sig, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        for pid in _pids(name):
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + patience
        while _pids(name) and time.monotonic() < deadline:
            time.sleep(0.02)
        if not _pids(name):
            break
    run("ip", "netns", "del", name, check=False)


class Namespace:
    """A network namespace; `close` ends every process in it and removes it."""

    def __init__(self, label):
        self.name = PREFIX + label
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.sysctl("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")

    def close(self):
        _end(self.name)

    def ip(self, *arguments, **options):
        return run("ip", "-n", self.name, *arguments, **options)

    def run(self, *command, **options):
        return run("ip", "netns", "exec", self.name, *command, **options)

    def popen(self, *command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(["ip", "netns", "exec", self.name, *map(str, command)], **options)

    def sysctl(self, *settings):
        self.run("sysctl", "-qw", *settings)

    def inside(self, function):
        """Calls `function` on a thread that is in the namespace, and returns its result."""
        outcome = {}

        def body():
            try:
                with open(f"/run/netns/{self.name}", "rb") as handle:
                    if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                outcome["value"] = function()
            except BaseException as error:  # pylint: disable=broad-except  # handed to the caller below
                outcome["error"] = error

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    def socket(self, kind=socket.SOCK_DGRAM, address=None, port=0, family=None):
        """A UDP or TCP socket, bound where an address is given."""
        if family is None:
            family = socket.AF_INET6 if address and ":" in address else socket.AF_INET
        sock = self.inside(lambda: socket.socket(family, kind))
        sock.settimeout(5)
        if address:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
        return sock

    def raw(self, interface):
        """A socket that sends and receives whole frames on `interface`."""
        sock = self.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        sock.bind((interface, 0))
        sock.settimeout(5)
        return sock

    def mac(self, interface):
        return self.run("cat", f"/sys/class/net/{interface}/address").stdout.strip()


def wire(a, interface_a, b, interface_b):
    """A veth pair between two namespaces, both ends up, without transmit checksum offload (or frames would arrive with checksums
    that nobody finished)."""
    run("ip", "link", "add", interface_a, "netns", a.name, "type", "veth", "peer", "name", interface_b, "netns", b.name)
    for namespace, interface in ((a, interface_a), (b, interface_b)):
        namespace.run("ethtool", "-K", interface, "tx", "off")
        namespace.ip("link", "set", interface, "up")


def remove_leftovers():
    """Takes away the namespaces of runs whose process is gone."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        owner = name[len(STEM):].split("-")[0]
        if name.startswith(STEM) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            _end(name)
