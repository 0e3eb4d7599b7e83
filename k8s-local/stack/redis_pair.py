"""A Redis primary and its replica as plain processes, set up as Memorystore is, and what happens to them: a failover,
a freeze, an outage, new certificates and passwords.

Must not know: who uses Redis. May use: processes, the Redis client, the endpoint's control socket.
"""

import os
import shutil
import signal
import time

from .control import NOWHERE, must
from .problem import Problem
from .processes import hold_port, spawn
from .redis_client import Redis, RedisError
from .settings import HERE

CONF = HERE / "kustomize" / "components" / "redis" / "redis.conf"

START_WITHIN_S = 60


class Node:
    """One redis-server, with a name of its own and always the same port."""

    def __init__(self, state, secrets, name):
        self.state, self.secrets, self.name = state, secrets, name
        self.held = hold_port(0, "LOCAL_REDIS_PORT")
        self.port = self.held.getsockname()[1]
        self.socket = state / f"{name}.sock"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        """Starts it, empty, and waits until it answers."""
        if not shutil.which("redis-server"):
            raise Problem("redis-server isn't installed: the native runtime needs it (Debian: apt-get install redis-server)")
        folder = self.state / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        conf = self.state / f"{self.name}.conf"
        own = f"bind 127.0.0.1\ntls-port {self.port}\nunixsocket {self.socket}\nunixsocketperm 700\n"
        common = CONF.read_text().replace("/secrets", str(self.secrets.home)).replace("dir /data", f"dir {folder}")
        conf.write_text(common + own)
        self.process = spawn(self.state, ["redis-server", conf], self.state / "logs" / f"{self.name}.log")
        deadline = time.monotonic() + START_WITHIN_S
        while not self.answers():
            if not self.lives() or time.monotonic() > deadline:
                raise Problem(f"{self.name} doesn't start: see {self.state / 'logs' / (self.name + '.log')}")
            time.sleep(0.05)

    def lives(self):
        return self.process is not None and self.process.poll() is None

    def answers(self):
        try:
            with self.connect() as redis:
                return redis.command("PING") == "PONG"
        except RedisError:
            return False

    def connect(self):
        return Redis(self.socket, "operator", self.secrets.operator.read_text())

    def command(self, *words):
        with self.connect() as redis:
            return redis.command(*words)

    def follow(self, primary):
        self.command("REPLICAOF", "127.0.0.1", primary.port)

    def signal(self, which):
        if self.lives():
            os.kill(self.process.pid, which)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class RedisPair:
    """The two of them, and the address that leads to the primary."""

    def __init__(self, state, secrets):
        self.secrets = secrets
        self.endpoint = state / "endpoint.sock"
        self.primary = Node(state, secrets, "redis-a")
        self.replica = Node(state, secrets, "redis-b")
        self.away = False
        self.frozen = False
        # Whether the replica was told whom it follows since it was started; until then it is a primary without data.
        self.follows = False

    def start(self):
        self.primary.start()
        self.start_replica()
        self.await_replica()

    def start_replica(self):
        self.follows = False
        if not self.replica.lives():
            self.replica.start()
        self.replica.follow(self.primary)
        self.follows = True

    def await_replica(self):
        deadline = time.monotonic() + START_WITHIN_S
        while not self.replicates():
            if time.monotonic() > deadline:
                raise Problem(f"{self.replica.name} doesn't follow {self.primary.name}: see their logs")
            time.sleep(0.05)

    def replicates(self):
        try:
            with self.primary.connect() as redis:
                return "state=online" in redis.info("replication").get("slave0", "")
        except RedisError:
            return False

    def mend(self):
        """What Memorystore does by itself: a primary that died is replaced by its replica, a node that died comes back, and
        where both did, both, empty."""
        if not self.primary.lives():
            if self.replica.lives():
                self.fail_over()
            else:
                self.primary.start()
                self.lead()
        elif not self.replica.lives() or not self.follows:
            self.start_replica()

    def fail_over(self):
        """The primary dies; its replica takes over, and the address leads there."""
        self.primary.kill()
        self.frozen = False
        # Before it counts as the primary: where it refuses or dies, the next look finds things as they are.
        self.replica.command("REPLICAOF", "NO", "ONE")
        self.primary, self.replica = self.replica, self.primary
        self.follows = False
        self.lead()
        self.start_replica()

    def lead(self):
        must(self.endpoint, f"lead {NOWHERE if self.away else self.primary.address}")

    def be_away(self, away):
        """Nobody answers at the address, while Redis keeps what it has."""
        self.away = away
        self.lead()

    def freeze(self, frozen):
        """The primary stops where it is, and goes on later."""
        self.frozen = frozen
        self.primary.signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def cut_subscribers(self):
        self.primary.command("CLIENT", "KILL", "TYPE", "pubsub")

    def rotate(self):
        """New authority, certificate and password. The old authority stays trusted, the old password ends."""
        nodes = (self.primary, self.replica)
        self.secrets.new_certificates()
        old = self.secrets.new_password()
        new = self.secrets.password.read_text()
        for node in nodes:
            node.command("CONFIG", "SET", "tls-ca-cert-file", self.secrets.ca,
                         "tls-cert-file", self.secrets.certificate, "tls-key-file", self.secrets.key)  # fmt: skip
            node.command("ACL", "SETUSER", "default", f">{new}")
        for node in nodes:
            node.command("ACL", "SETUSER", "default", f"<{old}")
        # Connections that were made before would go on with the old ones.
        must(self.endpoint, "cut")

    def stop(self):
        for node in (self.replica, self.primary):
            node.kill()

    def status(self):
        return {
            "primary": self.primary.name,
            "pids": {node.name: node.process.pid for node in (self.primary, self.replica) if node.lives()},
            "replicates": not self.frozen and self.replicates(),
            "away": self.away,
            "frozen": self.frozen,
        }
