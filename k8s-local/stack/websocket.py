"""A WebSocket client in the standard library: as much as the stack's checks need, text frames only."""

import base64
import json
import os
import socket
import struct
import time

WITHIN_S = 20


class Closed(Exception):
    """The socket ended; `code` is the close code, 1006 for none."""

    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """One connection through the front."""

    def __init__(self, port, path="/ws", headers=()):
        self.tcp = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers,
        ]  # fmt: skip
        self.tcp.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.file = self.tcp.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.fields = []
        while (line := self.file.readline().strip()) != b"":
            self.fields.append(line.decode())
        if self.status != 101:
            self.close()
            raise ConnectionRefusedError(f"{path} answers {self.status} instead of an upgrade")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.tcp.close()

    def send(self, text, opcode=1):
        data = text.encode() if isinstance(text, str) else text
        mask = os.urandom(4)
        length = len(data)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        else:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self.tcp.sendall(head + mask + masked)

    def receive(self, within=WITHIN_S):
        """The next text frame."""
        self.tcp.settimeout(within)
        while True:
            head = self._exactly(2)
            opcode, length = head[0] & 0x0F, head[1] & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", self._exactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._exactly(8))
            data = self._exactly(length)
            if opcode == 8:
                raise Closed(struct.unpack("!H", data[:2])[0] if len(data) > 1 else 1005)
            if opcode == 9:
                self.send(data, opcode=10)
            elif opcode == 1:
                return data.decode()

    def _exactly(self, count):
        data = self.file.read(count)
        if len(data) < count:
            raise Closed(1006)
        return data


class Chat:
    """A client of the native protocol (docs/protocol.md)."""

    def __init__(self, port, name, token=None):
        self.socket = WebSocket(port)
        self.objects = []
        self.number = 0
        hello = {"type": "hello", "name": name} | ({"token": token} if token else {})
        self.welcome = self.ask(hello)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, command):
        self.socket.send(json.dumps(command))

    def ask(self, command):
        """Sends a command and gives its reply; one that is refused for the moment is sent again when it may be."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            self.number += 1
            number = self.number
            self.send(command | {"id": number})
            reply = self.await_object(lambda one: one.get("id") == number)
            if "retry_ms" not in reply or time.monotonic() > deadline:
                return reply
            time.sleep(reply["retry_ms"] / 1000)

    def await_object(self, wanted, within=WITHIN_S):
        """The first object that is wanted; the others before it stay."""
        deadline = time.monotonic() + within
        while True:
            for index, one in enumerate(self.objects):
                if wanted(one):
                    return self.objects.pop(index)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("what was waited for didn't come")
            for line in self.socket.receive(left).splitlines():
                if line.strip():
                    one = json.loads(line)
                    if one["type"] == "ping":
                        self.send({"type": "pong"})
                    else:
                        self.objects.append(one)
