"""Asking a process of the stack over its control socket: one line in, one line of JSON out."""

import json
import socket

from .problem import Problem

# A roll waits for new instances, a failover for Redis.
WITHIN_S = 60


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
