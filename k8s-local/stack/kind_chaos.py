"""What chaos may do to a stack in a cluster: the same words as to a native one, carried out by kubectl and the proxy's control
sockets.

Pods can be deleted and rolled, Redis's address led nowhere, sockets cut. Nothing in the cluster kills or freezes a process of a
pod at once: also a deletion by force leaves it a moment, and the images have no shell.
"""

import json

from .control import NOWHERE, PRIMARY
from .problem import Problem

# Faults of chaos.py that can be had here.
POSSIBLE = ("drain", "roll", "redis-away", "drop-sockets")

ROLLED_WITHIN = "--timeout=300s"


class KindStack:
    """What `chaos.Stack` asks for, of pods."""

    def __init__(self, kind):
        self.kind = kind

    def status(self):
        return self.kind.status()

    def front(self, command):
        what, _, instance = command.partition(" ")
        if what == "cut":
            self.kind.must_tell("front", "front.sock", "cut")
        elif what == "roll":
            self.kind.carry_out("rollout", "restart", "deploy/confab")
            self.kind.carry_out("rollout", "status", "deploy/confab", ROLLED_WITHIN)
        elif what == "stop":
            self.kind.carry_out("delete", "pod", self.pod_at(instance.rpartition(":")[0]))
        else:
            raise Problem(f"{command}: that can't be done to a pod")

    def supervisor(self, command):
        if command not in ("redis-away", "redis-back"):
            raise Problem(f"{command}: that can't be done in a cluster")
        self.kind.must_tell("redis", "endpoint.sock", f"lead {NOWHERE if command == 'redis-away' else PRIMARY}")

    def pod_at(self, address):
        """The name of the instance's pod."""
        pods = json.loads(self.kind.carry_out("get", "pods", "-l", "app.kubernetes.io/name=confab", "-o", "json"))["items"]
        for pod in pods:
            if pod["status"].get("podIP") == address:
                return pod["metadata"]["name"]
        raise Problem(f"no pod has the address {address}: make local-status")
