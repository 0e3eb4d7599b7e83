"""Asking a process of the stack over its control socket, one line in, one line of JSON out, and what its answers mean."""

import json
import socket

from .problem import Problem

# A roll waits for new instances, a failover for Redis.
WITHIN_S = 60

# Where Redis's address leads in containers, and in all runtimes while Redis is away: a port of the endpoint's own loopback where
# nobody listens (RFC 1078's tcpmux).
PRIMARY = "redis-primary:6378"
NOWHERE = "127.0.0.1:1"


def ask(path, command, within=WITHIN_S):
    """The answer; None where nobody listens. A Problem where the command is refused."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(within)
        try:
            client.connect(str(path))
            client.sendall(command.encode() + b"\n")
            answer = client.makefile().readline()
        except OSError:
            return None
    if not answer:
        return None
    answer = json.loads(answer)
    if "error" in answer:
        raise Problem(answer["error"])
    return answer


def must(path, command):
    """The answer; a Problem where there is none too, for what is worth nothing unless it was carried out."""
    answer = ask(path, command)
    if answer is None:
        raise Problem(f"{command}: nobody answered at {path.name}: make local-status")
    return answer


def is_ready(front, instances):
    """Whether enough instances get requests, by the status of the front, and each of these reaches Redis. An instance's own
    readiness says nothing about Redis: an outage must not take all instances out."""
    serving = [one for one in front["instances"] if one["state"] == "ready"]
    return len(serving) >= instances and all(one["reaches_redis"] for one in serving)
