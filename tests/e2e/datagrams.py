"""Datagrams by the thousand: many in one system call, which Python's sockets don't offer."""
import ctypes
import os
import socket
import struct

BATCH = 512


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    """struct msghdr of sendmsg(2)."""
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("iov", ctypes.c_void_p), ("iov_count", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t), ("flags", ctypes.c_int)]


class _Message(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2)."""
    _fields_ = [("header", _Header), ("sent", ctypes.c_uint32)]


class Burst:
    """BATCH datagrams with the octets of `wire` to an IPv4 address, each with a buffer of its own to be changed before they leave."""

    def __init__(self, sock, wire, address):
        self._sock, self._libc = sock, ctypes.CDLL(None, use_errno=True)
        host, port = address
        self._to = ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host)), 16)
        self.buffers = [ctypes.create_string_buffer(wire, len(wire)) for _ in range(BATCH)]
        self._iov = (_Iovec * BATCH)(*[(ctypes.addressof(b), len(wire)) for b in self.buffers])
        self._messages = (_Message * BATCH)(*[
            (_Header(ctypes.addressof(self._to), 16, ctypes.addressof(self._iov) + i * ctypes.sizeof(_Iovec), 1, None, 0, 0), 0)
            for i in range(BATCH)])

    def send(self):
        done = 0
        while done < BATCH:
            at = ctypes.byref(self._messages, done * ctypes.sizeof(_Message))
            sent = self._libc.sendmmsg(self._sock.fileno(), at, BATCH - done, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            done += sent
