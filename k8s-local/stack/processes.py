"""Processes of the stack on this machine: marked when they are started, found again by the mark, and ended.

Every process of a stack carries LOCAL_STACK=<the state's folder> in its environment, also those that its own processes
start. So what a crash left is found without any file about it. Linux only: it reads /proc.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .problem import Problem

MARK = "LOCAL_STACK"

# SIGTERM first; the front gives its instances 10 s of that.
END_WITHIN_S = 12


def environment(state, **more):
    """For a process of the stack: nothing of the caller's but the path and the mark."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR") if name in os.environ}
    return kept | {MARK: str(state)} | more


def spawn(state, command, log, **more):
    """Starts a process that doesn't outlive this one, its output in the file `log`."""
    if not shutil.which("setpriv"):
        raise Problem("setpriv isn't installed: it comes with util-linux, and the native runtime needs Linux")
    with open(log, "ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
            env=environment(state, **more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def marked(state):
    """The numbers of the running processes of a stack."""
    mark = f"{MARK}={state}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0") and not is_zombie(folder):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return [pid for pid in found if pid != os.getpid()]


def is_zombie(folder):
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def end_all(state, signals=(signal.SIGTERM, signal.SIGKILL)):
    """Ends what is left of a stack; the number of processes that were."""
    left = marked(state)
    for which in signals:
        for pid in marked(state):
            try:
                os.kill(pid, which)
                os.kill(pid, signal.SIGCONT)  # one that was frozen must hear it
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + END_WITHIN_S
        while marked(state) and time.monotonic() < deadline:
            time.sleep(0.05)
    return len(left)


def hold_port(port, setting):
    """A socket on the port, or on any free one for 0; a Problem says who has it. While it is open, nobody gets the port by
    chance: it is bound but doesn't listen, so whoever asks for its very number, with SO_REUSEADDR as all servers here do,
    gets it (Linux)."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(("127.0.0.1", port))
    except PermissionError as error:
        held.close()
        raise Problem(f"port {port} needs root: set {setting} to 1024 or more") from error
    except OSError as error:
        held.close()
        raise Problem(f"port {port} is taken by {holder(port)}: end it, or set {setting} to another one") from error
    return held


def check_port(port, setting):
    """A Problem if somebody has the port."""
    hold_port(port, setting).close()


def holder(port):
    """Who listens on a port, as far as this user may know."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                pid = link.parts[2]
                return f"{Path('/proc', pid, 'comm').read_text().strip()} (process {pid})"
        except OSError:
            continue
    return "another process"
