"""An endpoint with a certificate: its authority, the configuration, connections to it, and HTTP/2 by hand."""
import ssl
import struct

import streams
from client import Stream
from rig import LEFT_IN, LEFT_IN6, SERVER, upstream

NAME = "dns.gw.test"  # in the endpoint's certificate
LIMITS = ("tcp_idle_ms = 1500\ntcp_connections_per_client = 10\ntcp_connections = 60\ntcp_queries_per_connection = 20")


class Authority(streams.Authority):
    """Its certificates are for NAME and the endpoint's addresses."""

    def __init__(self, folder):
        super().__init__(folder)
        self.bundle = self.certificate

    def issue(self, stem, serial):
        """Writes STEM.pem and STEM.key."""
        _, key = self.sign(stem, f"DNS:{NAME},IP:{LEFT_IN},IP:{LEFT_IN6}", serial=serial)
        key.chmod(0o600)

    def context(self, protocol="dot"):
        context = ssl.create_default_context(cafile=self.bundle)
        if protocol:
            context.set_alpn_protocols([protocol])
        return context


GW = '{ certificate = "gw.pem", key = "gw.key" }'


def with_tls(text, tls=GW):
    """A rig's configuration with `tls` at the endpoint of the left side."""
    allow = 'allow = ["10.10.0.0/25", "fd10::/64"]\n'
    assert allow in text
    return text.replace(allow, allow + (f"tls = {tls}\n" if tls else ""))


def config(rig, tls=GW, limits=LIMITS, **options):
    """One upstream for everything, and `tls`."""
    return with_tls(rig.config(rules=["test forward main"], upstreams=upstream("main", SERVER), limits=limits, **options), tls)


class TlsStream(Stream):
    """DNS over TLS; `context` None leaves the connection without its handshake."""

    def __init__(self, gateway, server=LEFT_IN, source=None, context="default", timeout=5.0, port=853, session=None):
        super().__init__(gateway.left, server, source, timeout, port)
        if context == "default":
            context = gateway.authority.context("dot" if port == 853 else "h2")
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=NAME, session=session)

    def serial(self):
        return int(self.socket.getpeercert()["serialNumber"], 16)



PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    """A frame of HTTP/2 (RFC 9113 section 4.1)."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def post_fields(path=b"/dns-query"):
    """The fields of a request that posts a query, in HPACK's plainest form (RFC 7541)."""
    return (b"\x83\x87\x04" + bytes([len(path)]) + path + b"\x01\x0b" + b"dns.gw.test"
            + b"\x0f\x10\x17application/dns-message")


def post(stream, wire, end=True):
    return frame(HEADERS, END_HEADERS, stream, post_fields()) + frame(DATA, END_STREAM if end else 0, stream, wire)
