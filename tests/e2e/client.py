"""DNS clients in a namespace: single questions over UDP and TCP, raw octets, many at once, dnsperf."""
import re
import socket
import struct
import subprocess
import tempfile

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from rig import CLIENT, CLIENT6, LEFT_IN


def query(name, rdtype="A", **options):
    """A query message; `ends`, `dnssec`, `payload` and `flags` as for dnspython. Without EDNS unless asked for."""
    options.setdefault("use_edns", False)
    return dns.message.make_query(name, rdtype, **options)


def ask_wire(namespace, wire, server=LEFT_IN, source=None, timeout=5.0):
    """Sends octets, returns the octets that come back from there, or None after `timeout` seconds."""
    source = source or (CLIENT6 if ":" in server else CLIENT)
    with namespace.socket(socket.SOCK_DGRAM, source) as sock:
        sock.connect((server, 53))
        sock.settimeout(timeout)
        sock.send(wire)
        try:
            return sock.recv(65535)
        except TimeoutError:
            return None


def ask(namespace, name, rdtype="A", server=LEFT_IN, source=None, timeout=5.0, **options):
    """Asks over UDP, and returns the response, checked for id and the exact case of the question; None where none came."""
    message = query(name, rdtype, **options)
    wire = ask_wire(namespace, message.to_wire(), server, source, timeout)
    if wire is None:
        return None
    response = dns.message.from_wire(wire)
    assert response.id == message.id
    assert response.flags & dns.flags.QR
    end = 12 + len(message.question[0].name.to_wire()) + 4
    assert wire[12:end] == message.to_wire()[12:end], "the question came back changed"
    return response


def rcode(response):
    return dns.rcode.to_text(response.rcode())


def addresses(response):
    """The texts of all records in the answer section, sorted."""
    return sorted(rdata.to_text() for rrset in response.answer for rdata in rrset)


def extended_errors(response):
    return [int(o.code) for o in response.options if o.otype == dns.edns.OptionType.EDE]


class Stream:
    """A TCP connection that carries DNS messages."""

    def __init__(self, namespace, server=LEFT_IN, source=None, timeout=5.0, port=53):
        source = source or (CLIENT6 if ":" in server else CLIENT)
        self.socket = namespace.socket(socket.SOCK_STREAM, source)
        self.socket.settimeout(timeout)
        self.socket.connect((server, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, message):
        wire = message if isinstance(message, bytes) else message.to_wire()
        self.socket.sendall(struct.pack("!H", len(wire)) + wire)

    def receive(self):
        """The next message; None where the peer has closed."""
        head = self._exactly(2)
        if head is None:
            return None
        return dns.message.from_wire(self._exactly(struct.unpack("!H", head)[0]))

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not more:
                return None
            data += more
        return data

    def closed_by_peer(self, timeout):
        """True where the peer closes within `timeout` seconds, without another octet."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


class Dnsperf:
    """dnsperf, running in a namespace; `finish` waits and gives what it counted."""

    def __init__(self, namespace, names, seconds, server=LEFT_IN, clients=4, outstanding=100, rate=None, options=()):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".names")
        self.file.write("".join(f"{line}\n" for line in names))
        self.file.flush()
        rate_options = ["-Q", str(rate)] if rate else []
        self.process = namespace.popen("dnsperf", "-s", server, "-d", self.file.name, "-l", seconds, "-c", clients,
                                       "-q", outstanding, *rate_options, *options, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)

    def finish(self):
        output, _ = self.process.communicate(timeout=120)
        self.file.close()
        result = {"output": output}
        for key, pattern in (("sent", r"Queries sent: +(\d+)"), ("completed", r"Queries completed: +(\d+)"),
                             ("lost", r"Queries lost: +(\d+)")):
            found = re.search(pattern, output)
            assert found, output
            result[key] = int(found[1])
        codes = re.search(r"Response codes: +(.*)", output)
        result["rcodes"] = {word: int(n) for word, n in re.findall(r"([A-Z]+) (\d+)", codes[1])} if codes else {}
        return result
