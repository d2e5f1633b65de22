"""Queries faster than dnsperf makes them with options: one after another from a thread, each for a name of its own, with nobody who reads
what comes back."""
import socket
import struct
import threading
import time

import dns.edns
import dns.message

from rig import CLIENT, LEFT_IN

STEP = 64  # queries between two looks at the clock


class Flood:
    """`rate` queries a second for names below `suffix`, in turn from `ports` source ports of `source`, until `stop` or `seconds` have
    passed. `option`: with an EDNS option that shunt doesn't know, so that each question is kept as it came."""

    def __init__(self, namespace, suffix, rate, seconds, source=CLIENT, server=LEFT_IN, ports=8, option=False):
        options = [dns.edns.GenericOption(65001, b"flood")] if option else None
        wire = dns.message.make_query(f"12345678.{suffix}", "A", use_edns=0 if option else False, options=options).to_wire()
        self._tail = wire[12 + 9:]
        self._head = wire[2:12]
        self.rate, self.seconds, self.sent = rate, seconds, 0
        self._stopped = threading.Event()
        self._sockets = []
        for _ in range(ports):
            sock = namespace.socket(socket.SOCK_DGRAM, source)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # what isn't read is thrown away
            sock.connect((server, 53))
            sock.setblocking(False)
            self._sockets.append(sock)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        start = time.monotonic()
        while not self._stopped.is_set():
            now = time.monotonic() - start
            if now > self.seconds:
                return
            due = int(now * self.rate) - self.sent
            if due <= 0:
                time.sleep(0.0005)
            for _ in range(min(due, STEP)):
                self._send()

    def _send(self):
        count = self.sent
        self.sent += 1
        wire = struct.pack("!H", count & 0xffff) + self._head + b"\x08%08x" % count + self._tail
        try:
            self._sockets[count % len(self._sockets)].send(wire)
        except (BlockingIOError, ConnectionError):
            pass  # lost on its way, as any datagram may be

    def finish(self):
        """Until all is sent; how many were."""
        self._thread.join(self.seconds + 10)
        return self.stop()

    def stop(self):
        self._stopped.set()
        self._thread.join(10)
        for sock in self._sockets:
            sock.close()
        return self.sent

    close = stop
