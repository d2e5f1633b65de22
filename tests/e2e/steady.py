"""A client that asks on and on, and tells afterwards how it fared."""
import socket
import statistics
import threading
import time

import dns.message

from client import query
from rig import CLIENT, LEFT_IN


class Steady:
    """Asks for names of `pattern`, one after another, until `finish`; each has `timeout` seconds to be answered well. `failed` tells of those
    that were not, `took` how long each query took."""

    def __init__(self, namespace, pattern, source=CLIENT, server=LEFT_IN, pause=0.004, timeout=4.5):
        self.pattern, self.pause = pattern, pause
        self.sock = namespace.socket(socket.SOCK_DGRAM, source)
        self.sock.connect((server, 53))
        self.sock.settimeout(timeout)
        self.asked, self.took, self.failed = 0, [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            message = query(self.pattern.format(self.asked), use_edns=0)
            self.asked += 1
            start = time.monotonic()
            why = self._ask(message.to_wire())
            self.took.append(time.monotonic() - start)
            if why:
                self.failed.append(f"{message.question[0].name} after {self.took[-1]:.3f} s: {why}")
            time.sleep(self.pause)

    def _ask(self, wire):
        try:
            self.sock.send(wire)
            while (answer := self.sock.recv(4096))[:2] != wire[:2]:
                pass
        except OSError as error:
            return repr(error)
        return dns.message.from_wire(answer).to_text() if answer[3] & 15 or answer[6:8] == b"\0\0" else None

    def finish(self):
        self._stop.set()
        self._thread.join(10)
        self.sock.close()
        return self

    close = finish

    @property
    def share(self):
        """Of the queries, those that were answered well."""
        return 1 - len(self.failed) / self.asked

    def median(self):
        return statistics.median(self.took)

    def complaints(self):
        return "\n".join(self.failed[:3])
