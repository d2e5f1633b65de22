"""Upstreams over TCP and TLS: certificates, and a server that does on each connection what a test says."""
import pathlib
import socket
import ssl
import struct
import subprocess
import threading

from servers import Asked, Nsd, Unbound


class Authority:
    """A certificate authority in a folder; `sign` makes certificates."""

    def __init__(self, folder, name="ca"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.certificate = self.folder / f"{name}.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                      "-days", "1", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)

    def sign(self, label, names="DNS:dns.test", expired=False, serial=None):
        """A pair of files: certificate and key. Without `serial`, a random one."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={label}",
                      "-keyout", f"{label}.key", "-out", f"{label}.csr")
        (self.folder / f"{label}.ext").write_text(f"subjectAltName={names}\n", encoding="ascii")
        (self.folder / "index").write_text("", encoding="ascii")
        numbers = "rand_serial=yes"
        if serial is not None:
            (self.folder / "serial").write_text(f"{serial:04x}\n", encoding="ascii")
            numbers = "serial=serial"
        (self.folder / "ca.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase=index\n{numbers}\npolicy=p\ndefault_md=sha256\n"
                                            "new_certs_dir=.\n[p]\ncommonName=supplied\n", encoding="ascii")
        dates = ("20200101000000Z", "20200201000000Z") if expired else ("20200101000000Z", "20991231000000Z")
        self._openssl("ca", "-batch", "-config", "ca.cnf", "-cert", f"{self.name}.pem", "-keyfile", f"{self.name}.key",
                      "-in", f"{label}.csr", "-extfile", f"{label}.ext", "-startdate", dates[0], "-enddate", dates[1],
                      "-out", f"{label}.pem", "-notext")
        return self.folder / f"{label}.pem", self.folder / f"{label}.key"


class TlsUnbound(Unbound):
    """Unbound that also answers over TLS at port 853."""

    def __init__(self, namespace, folder, address, zone, pair):
        self.pair = pair
        super().__init__(namespace, folder, address, zone)

    def configure(self, zone):
        super().configure(zone)
        conf = self.folder / "unbound.conf"
        interfaces = "".join(f"  interface: {a}@853\n" for a in self.address)
        conf.write_text(conf.read_text(encoding="ascii").replace("server:\n", f"""server:
  tls-service-pem: "{self.pair[0]}"
  tls-service-key: "{self.pair[1]}"
{interfaces}""", 1), encoding="ascii")


class TlsNsd(Nsd):
    """NSD that also answers over TLS at port 853, and tells how many queries came over it."""

    def __init__(self, namespace, folder, address, zone, pair):
        self.pair = pair
        super().__init__(namespace, folder, address, zone)

    def configure(self, zone):
        super().configure(zone)
        conf = self.folder / "nsd.conf"
        interfaces = "".join(f"  ip-address: {a}@853\n" for a in self.address)
        conf.write_text(conf.read_text(encoding="ascii").replace("server:\n", f"""server:
  tls-service-pem: "{self.pair[0]}"
  tls-service-key: "{self.pair[1]}"
  tls-port: 853
{interfaces}""", 1), encoding="ascii")


class Connection:
    """One that was accepted: octets in and out, TLS where the server has it."""

    def __init__(self, server, sock):
        self.server, self.socket = server, sock
        self.peer = sock.getpeername()

    def read(self):
        """The next query; None where there will be none."""
        try:
            head = self._exactly(2)
            wire = head and self._exactly(struct.unpack("!H", head)[0])
        except (OSError, ssl.SSLError):
            return None
        if not wire:
            return None
        asked = Asked(self.server, wire, self.peer, True)
        self.server.asked.append(asked)
        return asked

    def _exactly(self, count):
        data = b""
        while len(data) < count and not self.server.stopped:
            try:
                more = self.socket.recv(count - len(data))
            except TimeoutError:
                continue
            if not more:
                return None
            data += more
        return data if len(data) == count else None

    def send(self, message):
        wire = message if isinstance(message, bytes) else message.to_wire(max_size=65535)
        self.socket.sendall(struct.pack("!H", len(wire)) + wire)

    def send_octets(self, octets):
        self.socket.sendall(octets)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def echo(connection):
    """Answers every query with an address."""
    while asked := connection.read():
        connection.send(asked.answer("300 A 192.0.2.1"))


class StreamServer:
    """Runs `handler(connection)` on a thread of each connection, which ends with it. `pair`: certificate and key, None for plain TCP.
    `handshakes` tells of each whether it was resumed."""

    def __init__(self, namespace, address, port=853, pair=None, handler=echo):
        self.namespace, self.address, self.handler = namespace, address, handler
        self.asked, self.handshakes, self.errors, self.accepted = [], [], [], 0
        self.stopped = False
        self.context = None
        self.present(pair)
        self.listener = namespace.socket(socket.SOCK_STREAM, address, port)
        self.listener.listen(64)
        self.listener.settimeout(0.1)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def present(self, pair):
        """Another certificate, for connections from now on."""
        if pair is None:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        context.set_alpn_protocols(["dot"])
        self.context = context

    def queries(self, name=None):
        return [a for a in list(self.asked) if name is None or a.text == name]

    def _accept(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, sock):
        try:
            sock.settimeout(3)
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
                self.handshakes.append(sock.session_reused)
            sock.settimeout(0.1)
            self.handler(Connection(self, sock))
        except (OSError, ssl.SSLError):
            pass  # the other side ended it: what it may do
        except Exception as error:  # pylint: disable=broad-except  # shown by close()
            self.errors.append(error)
        finally:
            sock.close()

    def close(self):
        self.stopped = True
        for thread in self._threads:
            thread.join(5)
        self.listener.close()
        assert not self.errors, f"the server at {self.address} failed: {self.errors[0]!r}"
