"""What chaos may do to a stack of containers: the same words as to a native one, carried out by docker and the proxy's
control sockets.

Containers can be killed, paused and stopped, Redis's address led nowhere, sockets cut. A roll, a failover, new secrets and
the subscribers alone need what only the native runtime owns.
"""

from . import docker
from .control import is_ready
from .problem import Problem

# Faults of chaos.py that can be had here.
POSSIBLE = ("kill", "freeze", "drain", "freeze-redis", "redis-away", "drop-sockets")

PRIMARY = "redis-primary:6378"

# An address in the endpoint's container where nobody listens.
NOWHERE = "127.0.0.1:1"

# docker gives a container 10 s to stop.
DOCKER_WITHIN_S = 60


def carry_out(*command):
    worked, said = docker.ask("docker", *command, within=DOCKER_WITHIN_S)
    if not worked:
        raise Problem(f"docker {command[0]} failed: {said}")
    return said


class ComposeStack:
    """What `chaos.Stack` asks for, of containers."""

    def __init__(self, compose):
        self.compose = compose
        self.away = self.frozen = False

    def containers(self, service):
        """The containers of a service: address → name."""
        mark = "label=com.docker.compose.service=" + service
        project = "label=com.docker.compose.project=" + self.compose.project
        names = carry_out("ps", "--filter", mark, "--filter", project, "--format", "{{.Names}}").split()
        addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return {address: name for name in names for address in carry_out("inspect", "--format", addresses, name).split()}

    def front(self, command):
        what, _, instance = command.partition(" ")
        if what == "cut":
            return self.compose.tell("front", "front.sock", "cut")
        name = self.containers("confab")[instance.partition(":")[0]]
        if what == "freeze":
            carry_out("pause", name)
        elif what == "thaw":
            carry_out("unpause", name)
        else:
            # Neither is followed by a restart of docker's own.
            carry_out(*{"kill": ("kill",), "stop": ("stop", "--time", "10")}[what], name)
            carry_out("start", name)
        return None

    def supervisor(self, command):
        if command in ("freeze-redis", "thaw-redis"):
            self.frozen = command == "freeze-redis"
            (primary,) = set(self.containers("redis-primary").values())
            carry_out("pause" if self.frozen else "unpause", primary)
        elif command in ("redis-away", "redis-back"):
            self.away = command == "redis-away"
            self.compose.tell("redis", "endpoint.sock", f"lead {NOWHERE if self.away else PRIMARY}")
        return self.status()

    def status(self):
        status = self.compose.status()
        if status is None:
            return None
        ready = is_ready(status["front"], self.compose.settings.instances, even_without_redis=self.away or self.frozen)
        return status | {"ready": ready, "redis": status["redis"] | {"away": self.away, "frozen": self.frozen}}
