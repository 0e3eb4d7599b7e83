"""Clients of an instance that is killed: how long each is missing, and whether one misses anything.

Speaks the native protocol as docs/protocol.md has it, with its back-off, over sockets of its own. Knows addresses; nothing
of Redis, and not how an instance is started or killed.
"""

import asyncio
import base64
import collections
import contextlib
import json
import os
import random
import time

# Of docs/protocol.md: full jitter, from the first to the second.
BACK_OFF_SECONDS = (1.0, 30.0)
# Sockets that are opened at a time in the beginning; fewer than an instance allows.
CONNECTING = 64
PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.05
CLOSE_FRAME = 0x88


class Ended(Exception):
    """The connection, for whatever reason."""


class Member:
    """A client in one room: back by itself whenever its connection ends, until it is cancelled."""

    def __init__(self, number, room, doors, every=None):
        self.number, self.room, self.doors, self.every = number, room, doors, every
        self.token = None
        self.position = {"offset": 0, "chain": ""}
        self.is_live = False
        self.missing_since = None
        self.returns = []
        self.acknowledged = 0
        self.holes, self.resets = 0, 0

    async def live(self, gate):
        back_off = BACK_OFF_SECONDS[0]
        while True:
            connection = None
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, Ended):
                try:
                    async with gate or contextlib.nullcontext():
                        connection = await Connection.open(random.choice(self.doors))
                        await self.enter(connection)
                    gate, back_off = None, BACK_OFF_SECONDS[0]
                    self.is_live = True
                    if self.missing_since is not None:
                        self.returns.append(time.monotonic() - self.missing_since)
                        self.missing_since = None
                    await self.stay(connection)
                finally:
                    if connection:
                        connection.writer.close()
                    if self.is_live:
                        self.missing_since = time.monotonic()
                    self.is_live = False
            await asyncio.sleep(random.uniform(0, back_off))
            back_off = min(back_off * 2, BACK_OFF_SECONDS[1])

    async def enter(self, connection):
        comes_back = self.token is not None
        connection.say(type="hello", id=1, name=f"Herd {self.number}", **({"token": self.token} if comes_back else {}))
        self.token = (await connection.reply(1, self))["token"]
        since = {"since": self.position} if comes_back else {}
        connection.say(type="join", id=2, room=self.room, **since)
        joined = await connection.reply(2, self)
        if comes_back and joined["recovered"]:
            for entry in joined["entries"]:
                self.take(entry)
        else:
            self.resets += comes_back
            self.position = joined["position"]

    async def stay(self, connection):
        writing = asyncio.create_task(self.write(connection)) if self.every else None
        try:
            while True:
                for event in await connection.hear():
                    self.see(event, connection)
        finally:
            if writing:
                writing.cancel()

    async def write(self, connection):
        while True:
            key = base64.b64encode(os.urandom(12)).decode()
            connection.say(type="send", id=3, room=self.room, key=key, text="x" * 100)
            await asyncio.sleep(self.every)

    def see(self, event, connection):
        kind = event["type"]
        if kind == "message":
            self.take(event)
        elif kind == "sent":
            self.acknowledged = max(self.acknowledged, event["position"]["offset"])
        elif kind == "reset":
            self.resets += 1
            self.position = event["position"]
        elif kind == "ping":
            connection.say(type="pong")

    def take(self, entry):
        offset = entry["offset"]
        if offset <= self.position["offset"]:
            return
        self.holes += offset - self.position["offset"] - 1
        self.position = {"offset": offset, "chain": entry["chain"]}


class Connection:
    """A WebSocket."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        # What came behind a reply, in the same frame.
        self.behind = []

    @classmethod
    async def open(cls, address):
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        if b" 101 " not in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]:
            writer.close()
            raise Ended
        return cls(reader, writer)

    def say(self, **command):
        payload = json.dumps(command).encode()
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        # A mask of zeros is one.
        self.writer.write(b"\x81" + length + bytes(4) + payload)

    async def hear(self):
        """The events of the next frame. Presence is left out: it is most of what comes, and nobody asks for it here."""
        if self.behind:
            events, self.behind = self.behind, []
            return events
        first, size = await self.reader.readexactly(2)
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly({126: 2, 127: 8}[size]), "big")
        payload = await self.reader.readexactly(size)
        if first == CLOSE_FRAME:
            raise Ended
        return [json.loads(line) for line in payload.split(b"\n") if line and b'"type":"presence"' not in line[:40]]

    async def reply(self, number, member):
        """The reply of this number; what comes before it, the member sees."""
        while True:
            events = await self.hear()
            for place, event in enumerate(events):
                if event.get("id") == number:
                    self.behind = events[place + 1:]
                    if event["type"] == "error":
                        raise Ended
                    return event
                member.see(event, self)


async def until(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited for {PATIENCE_SECONDS} s that {what}")
        await asyncio.sleep(LOOK_SECONDS)


async def run(crowded, others, kill, sockets, rooms, quiet, watched):
    """`sockets` in `rooms` rooms, all of them at the address `crowded`, and a writer a second in each room at one of `others`.
    After `quiet` seconds in which nothing happens but messages, `kill` ends the first; the run goes on for `watched` more.

    Gives when it was killed, how long each was missing, and what was missed: holes and resets that clients saw, and
    how far they were behind the last acknowledged message in the end.
    """
    gate = asyncio.Semaphore(CONNECTING)
    crowd = [Member(number, f"herd-{number % rooms}", [crowded]) for number in range(sockets)]
    writers = [Member(sockets + room, f"herd-{room}", [others[room % len(others)]], every=1) for room in range(rooms)]
    everybody = [*crowd, *writers]
    tasks = [asyncio.create_task(member.live(gate)) for member in everybody]
    try:
        await until("everybody is there", lambda: all(member.is_live for member in everybody))
        await asyncio.sleep(quiet)
        for member in crowd:
            member.doors = others
        killed = time.monotonic()
        kill()
        await until("everybody is missing", lambda: not any(member.is_live and not member.returns for member in crowd))
        await until("everybody is back", lambda: all(member.is_live for member in everybody))
        await asyncio.sleep(max(0, killed + watched - time.monotonic()))
        for member in writers:
            member.every = 10 * PATIENCE_SECONDS
        tops = collections.Counter()

        def arrived():
            for member in writers:
                tops[member.room] = max(tops[member.room], member.acknowledged)
            return all(member.position["offset"] >= tops[member.room] for member in everybody)

        await asyncio.sleep(1)  # the last answers are under way
        with contextlib.suppress(TimeoutError):
            await until("everybody has everything", arrived)
        arrived()
        return {
            "killed": killed,
            "returns": sorted(seconds for member in crowd for seconds in member.returns),
            "acknowledged": sum(tops.values()),
            "lost": sum(member.holes + max(0, tops[member.room] - member.position["offset"]) for member in everybody),
            "resets": sum(member.resets for member in everybody),
        }
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
