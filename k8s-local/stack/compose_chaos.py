"""What chaos may do to a stack of containers: the same words as to a native one, carried out by docker and the proxy's
control sockets.

Containers can be killed, paused and stopped, Redis's address led nowhere, sockets cut. A roll, a failover, new secrets and
the subscribers alone need what only the native runtime owns.
"""

from .control import NOWHERE, PRIMARY
from .docker import carry_out
from .interrupts import held_off
from .problem import Problem

# Faults of chaos.py that can be had here.
POSSIBLE = ("kill", "freeze", "drain", "freeze-redis", "redis-away", "drop-sockets")


class ComposeStack:
    """What `chaos.Stack` asks for, of containers."""

    def __init__(self, compose):
        self.compose = compose

    def status(self):
        return self.compose.status()

    def of_service(self, service):
        """The containers of a service: address → name."""
        addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        names = self.compose.containers(f"label=com.docker.compose.service={service}")
        return {address: name for name in names for address in carry_out("inspect", "--format", addresses, name).split()}

    def front(self, command):
        what, _, instance = command.partition(" ")
        if what == "cut":
            self.compose.must_tell("front", "front.sock", "cut")
            return
        address = instance.partition(":")[0]
        name = self.of_service("confab").get(address)
        if name is None:
            raise Problem(f"{command}: no container has the address {address}: make local-status")
        if what in ("freeze", "thaw"):
            self.pause(name, what == "freeze")
            return
        try:
            carry_out(*{"kill": ("kill",), "stop": ("stop", "--time", "10")}[what], name)
        finally:
            # Neither is followed by a restart of docker's own.
            with held_off():
                carry_out("start", name)

    def supervisor(self, command):
        if command in ("freeze-redis", "thaw-redis"):
            primaries = set(self.of_service("redis-primary").values())
            if not primaries:
                raise Problem(f"{command}: no container of redis-primary runs: make local-status")
            for primary in primaries:
                self.pause(primary, command == "freeze-redis")
        elif command in ("redis-away", "redis-back"):
            self.compose.must_tell("redis", "endpoint.sock", f"lead {NOWHERE if command == 'redis-away' else PRIMARY}")

    def pause(self, name, paused):
        # docker refuses to do it twice.
        if (name in self.compose.frozen()) != paused:
            carry_out("pause" if paused else "unpause", name)
