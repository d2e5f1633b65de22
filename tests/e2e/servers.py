"""The servers on the other side of the gateway: real ones (BIND, NSD, Unbound), and a scripted one that answers as a test says."""
import os
import pathlib
import socket
import struct
import subprocess
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from netns import eventually


def unconfined(*command):
    """Debian's AppArmor profiles keep BIND and Unbound from reading a test's files."""
    enabled = pathlib.Path("/sys/module/apparmor/parameters/enabled")
    if enabled.exists() and enabled.read_text(encoding="ascii").startswith("Y") and os.path.exists("/usr/bin/aa-exec"):
        return ["aa-exec", "-p", "unconfined", "--", *command]
    return list(command)


class RealServer:
    """A name server of Debian's, in a namespace, with its files in a folder of its own."""

    command = ()

    def __init__(self, namespace, folder, address, zone):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.namespace, self.address = namespace, address
        self.configure(zone)
        self.log = open(self.folder / "log", "wb")
        self.process = namespace.popen(*unconfined(*self.command), stdout=self.log, stderr=subprocess.STDOUT)

    def configure(self, zone):
        raise NotImplementedError

    def wait_ready(self, name):
        address = self.address[0]
        eventually(lambda: "status: NOERROR" in self.namespace.run(
            "dig", "+time=1", "+tries=1", "+norecurse", f"@{address}", name, "SOA", check=False).stdout,
                   timeout=15, what=f"{self.command[0]} to answer for {name}, see {self.folder}/log")
        return self

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Nsd(RealServer):
    """Authoritative for `zone`, a pair of apex and zone text."""

    def configure(self, zone):
        apex, text = zone
        (self.folder / "zone").write_text(text, encoding="ascii")
        conf = self.folder / "nsd.conf"
        addresses = "\n".join(f"  ip-address: {a}" for a in self.address)
        conf.write_text(f"""
server:
{addresses}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{self.folder}"
  pidfile: "{self.folder}/pid"
  xfrdfile: "{self.folder}/xfrd"
  zonelistfile: "{self.folder}/list"
  xfrdir: "{self.folder}"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {apex}
  zonefile: zone
""", encoding="ascii")
        self.command = ("/usr/sbin/nsd", "-d", "-c", str(conf))


class Unbound(RealServer):
    """In a public resolver's place: `zone` is a pair of apex and its local-data lines; nothing else exists."""

    def configure(self, zone):
        apex, lines = zone
        conf = self.folder / "unbound.conf"
        interfaces = "\n".join(f"  interface: {a}" for a in self.address)
        data = "\n".join(f"  local-data: '{line}'" for line in lines)
        conf.write_text(f"""
server:
{interfaces}
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  username: ""
  chroot: ""
  directory: "{self.folder}"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  num-threads: 1
  local-zone: "." static
  local-data: ". 60 SOA ns.example.com. admin.example.com. 1 3600 600 86400 60"
  local-zone: "{apex}" static
{data}
remote-control:
  control-enable: no
""", encoding="ascii")
        self.command = ("/usr/sbin/unbound", "-d", "-c", str(conf))


class Bind(RealServer):
    """A company's server: authoritative for `zone` (apex, text), forwards what is below `forward` (apex, server addresses) and nothing else."""

    def __init__(self, namespace, folder, address, zone, forward):
        self.forward = forward
        super().__init__(namespace, folder, address, zone)

    def configure(self, zone):
        apex, text = zone
        forward_apex, forwarders = self.forward
        (self.folder / "zone").write_text(text, encoding="ascii")
        top = forward_apex.split(".")[-1]
        (self.folder / "root").write_text(
            f"$TTL 60\n@ SOA ns.{apex}. admin.{apex}. 1 3600 600 86400 60\n NS ns.{apex}.\n"
            f"ns.{apex}. A {self.address[0]}\n{top}. NS ns.{apex}.\n", encoding="ascii")
        v4 = "; ".join(a for a in self.address if ":" not in a)
        v6 = "; ".join(a for a in self.address if ":" in a)
        conf = self.folder / "named.conf"
        conf.write_text(f"""
options {{
  directory "{self.folder}"; pid-file "{self.folder}/pid"; session-keyfile "{self.folder}/key"; lock-file none;
  listen-on {{ {v4}; }}; listen-on-v6 {{ {v6}; }};
  recursion yes; allow-recursion {{ any; }}; allow-query {{ any; }};
  dnssec-validation no; empty-zones-enable no; notify no;
}};
controls {{ }};
zone "." {{ type primary; file "{self.folder}/root"; }};
zone "{apex}" {{ type primary; file "{self.folder}/zone"; }};
zone "{forward_apex}" {{ type forward; forward only; forwarders {{ {"; ".join(forwarders)}; }}; }};
""", encoding="ascii")
        self.command = ("/usr/sbin/named", "-g", "-n", "1", "-c", str(conf))


class Asked:
    """A query as it reached a scripted server."""

    def __init__(self, server, wire, source, stream):
        self.server, self.wire, self.source, self.stream = server, wire, source, stream
        self.message = dns.message.from_wire(wire)
        self.name = self.message.question[0].name
        self.text = self.name.to_text().lower().rstrip(".")
        self.id = self.message.id

    def answer(self, *records, rcode=dns.rcode.NOERROR, authority=(), aa=False):
        """A response message with the records given as "TTL TYPE RDATA" for the asked name, or "NAME TTL TYPE RDATA"."""
        response = dns.message.make_response(self.message, recursion_available=True)
        response.set_rcode(rcode)
        if aa:
            response.flags |= dns.flags.AA
        for section, lines in ((response.answer, records), (response.authority, authority)):
            for line in lines:
                fields = line.split(None, 3) if not line.split()[0].isdigit() else [self.name.to_text(), *line.split(None, 2)]
                section.append(dns.rrset.from_text(fields[0], int(fields[1]), "IN", fields[2], fields[3]))
        return response


SOA = "SOA ns.test. admin.test. 1 3600 600 86400 30"


def echo_address(asked):
    """A for everything, 300 s: the answer's last octets tell how many queries the server has had."""
    count = len(asked.server.asked)
    return asked.answer(f"300 A 192.0.2.{count % 250 + 1}")


def to_clients(handler):
    """`handler` for what clients ask. Health probes, of the root, get a plain answer: they come when they come, and where a test counts what
    an answer causes, theirs may not cause it as well."""
    return lambda asked: handler(asked) if asked.text else asked.answer()


class ScriptedServer:
    """Answers as `handler(asked)` says: a message, octets, a list of these, or None for silence. `asked` lists every query in order of
    arrival. The handler runs on the server's thread, may be replaced at any time, and may send by `socket` itself."""

    def __init__(self, namespace, address, handler=echo_address, port=53, stream=False):
        self.namespace, self.address, self.port = namespace, address, port
        self.handler, self.asked, self.errors = handler, [], []
        self._stop = False
        self.socket = namespace.socket(socket.SOCK_DGRAM, address, port)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._threads = [threading.Thread(target=self._serve_datagrams, daemon=True)]
        self.listener = None
        if stream:
            self.listener = namespace.socket(socket.SOCK_STREAM, address, port)
            self.listener.listen(16)
            self._threads.append(threading.Thread(target=self._serve_streams, daemon=True))
        for thread in self._threads:
            thread.start()

    def close(self):
        self._stop = True
        for thread in self._threads:
            thread.join(5)
        self.socket.close()
        if self.listener:
            self.listener.close()
        assert not self.errors, f"the scripted server at {self.address} failed: {self.errors[0]!r}"

    def queries(self, name=None):
        """What was asked so far, for a name where one is given; the probes' names don't match any test's."""
        return [a for a in list(self.asked) if name is None or a.text == name]

    def _wires(self, wire, source, stream):
        try:
            asked = Asked(self, wire, source, stream)
            self.asked.append(asked)
            given = self.handler(asked)
        except Exception as error:  # pylint: disable=broad-except  # shown by close()
            self.errors.append(error)
            return []
        if given is None:
            return []
        many = given if isinstance(given, list) else [given]
        return [m if isinstance(m, bytes) else m.to_wire(max_size=65535) for m in many]

    def _serve_datagrams(self):
        self.socket.settimeout(0.1)
        while not self._stop:
            try:
                wire, source = self.socket.recvfrom(65535)
            except (TimeoutError, ConnectionError):
                continue
            for answer in self._wires(wire, source, False):
                self.socket.sendto(answer, source)

    def _serve_streams(self):
        self.listener.settimeout(0.1)
        while not self._stop:
            try:
                connection, source = self.listener.accept()
            except TimeoutError:
                continue
            with connection:
                self._serve_connection(connection, source)

    def _serve_connection(self, connection, source):
        connection.settimeout(0.5)
        try:
            while not self._stop:
                length = connection.recv(2, socket.MSG_WAITALL)
                if len(length) < 2:
                    return
                wire = connection.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL)
                for answer in self._wires(wire, source, True):
                    connection.sendall(struct.pack("!H", len(answer)) + answer)
        except (TimeoutError, ConnectionError):
            return
