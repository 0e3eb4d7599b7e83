"""A collector that takes everything: gRPC over plain HTTP/2, as far as an exporter of OTLP needs it.

It never looks into what it gets: every stream that ends is answered by an empty message with status 0. Standard library
only, so that the benchmark needs nothing installed.
"""

import contextlib
import os
import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD = 9
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x6, 0x8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
WINDOW = 1 << 30  # bytes that may be on their way


def literal(name, value):
    """A header field of HPACK as it stands, in no table."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


# 0x88 is `:status: 200` of the static table.
ANSWER = b"\x88" + literal(b"content-type", b"application/grpc")
EMPTY_MESSAGE = b"\0" * 5
TRAILERS = literal(b"grpc-status", b"0")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def window(stream, size):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


class Sink:
    """Listens on a free port of loopback for as long as the block lasts, and runs on one core; `calls` are those that were
    answered."""

    def __init__(self, core):
        self.core = core
        self.calls = 0
        self.bytes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # Wakes the thread that waits in `accept`, which closing alone doesn't.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        os.sched_setaffinity(0, {self.core})  # of this thread, and of those that it starts
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        # How a connection ends is the exporter's business.
        with connection, contextlib.suppress(OSError, EOFError):
            stream = connection.makefile("rb")
            if exactly(stream, len(PREFACE)) != PREFACE:
                return
            connection.sendall(frame(SETTINGS, 0, 0, struct.pack(">HI", 0x4, WINDOW)) + window(0, WINDOW))
            while True:
                self.answer(connection, stream)

    def answer(self, connection, stream):
        head = exactly(stream, FRAME_HEAD)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        number = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        payload = exactly(stream, size)
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == DATA:
            self.bytes += size
            if size:
                connection.sendall(window(0, size))
            if flags & END_STREAM:
                self.calls += 1
                connection.sendall(
                    frame(HEADERS, END_HEADERS, number, ANSWER) + frame(DATA, 0, number, EMPTY_MESSAGE)
                    + frame(HEADERS, END_HEADERS | END_STREAM, number, TRAILERS)
                )


def exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
