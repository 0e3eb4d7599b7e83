"""Things that go wrong on purpose, while recorded clients chat; their checker says what it cost.

The clients and the checker are those of the fault campaign (faults/, `witness`). May use: the control sockets, or what takes
the same words to containers.
"""

import contextlib
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Callable

from .control import ask, must
from .interrupts import held_off
from .problem import Problem
from .settings import PROFILES, ROOT

# How long the stack may take to be whole again after a fault.
WHOLE_WITHIN_S = 120

# Until clients have moved, come back, or noticed.
BETWEEN_S = 3

# How long something stays broken: as long as Memorystore's failover takes, or an outage that people notice. At most what the
# liveness probe leaves to an instance that is frozen.
FREEZE_S = {"short": 3, "long": 10}
AWAY_S = {"short": 5, "long": 60}
MOST_S = 60

# It gives up by itself before.
WITNESS_ENDS_WITHIN_S = 600


class Processes:
    """What takes chaos's words to a native stack: those who own the processes."""

    def __init__(self, state):
        self.state = state

    def status(self):
        return ask(self.state / "supervisor.sock", "status")

    def supervisor(self, command):
        must(self.state / "supervisor.sock", command)

    def front(self, command):
        must(self.state / "front.sock", command)


class Stack:
    """What chaos may do to a stack. A fault that isn't carried out is a Problem: nothing was lost by it."""

    def __init__(self, hands, freeze_s, away_s):
        self.status, self.supervisor, self.front = hands.status, hands.supervisor, hands.front
        self.freeze_s, self.away_s = freeze_s, away_s

    def busiest(self):
        status = self.status()
        ready = [one for one in status["front"]["instances"] if one["state"] == "ready"] if status else []
        if not ready:
            raise Problem("no instance is ready, so none can be broken: make local-status")
        return max(ready, key=lambda one: one["requests"])["name"]

    def await_whole(self):
        deadline = time.monotonic() + WHOLE_WITHIN_S
        while time.monotonic() < deadline:
            status = self.status()
            if status and status["ready"]:
                return
            time.sleep(0.2)
        raise Problem(f"the stack isn't whole again within {WHOLE_WITHIN_S} s: make local-status")


@contextlib.contextmanager
def broken(begin, end):
    """Something that is broken within the block and whole behind it, whatever ends the block: a Ctrl-C too."""
    try:
        begin()
        yield
    finally:
        with held_off():
            end()


def kill(stack):
    """kill the instance with the most sockets"""
    stack.front(f"kill {stack.busiest()}")


def freeze(stack):
    """freeze that instance for a while"""
    name = stack.busiest()
    with broken(lambda: stack.front(f"freeze {name}"), lambda: stack.front(f"thaw {name}")):
        time.sleep(stack.freeze_s)


def drain(stack):
    """end that instance with SIGTERM, as a scale-in does"""
    stack.front(f"stop {stack.busiest()}")


def roll(stack):
    """put a new revision in the place of the old one"""
    stack.front("roll")


def cut_subscribers(stack):
    """cut the connections on which instances hear each other"""
    stack.supervisor("cut-subscribers")


def fail_over(stack):
    """kill Redis's primary: the replica takes over"""
    stack.supervisor("failover")


def freeze_redis(stack):
    """freeze Redis's primary for a while"""
    with broken(lambda: stack.supervisor("freeze-redis"), lambda: stack.supervisor("thaw-redis")):
        time.sleep(stack.freeze_s)


def redis_away(stack):
    """nobody answers at Redis's address for a while"""
    with broken(lambda: stack.supervisor("redis-away"), lambda: stack.supervisor("redis-back")):
        time.sleep(stack.away_s)


def rotate(stack):
    """new authority, certificate and password of Redis"""
    stack.supervisor("rotate")


def drop_sockets(stack):
    """cut every socket, as the request timeout does"""
    stack.front("cut")


FAULTS = (kill, freeze, drain, roll, cut_subscribers, fail_over, freeze_redis, redis_away, rotate, drop_sockets)


@dataclass
class Witness:
    """The clients that chat meanwhile."""

    process: subprocess.Popen

    @classmethod
    def start(cls, settings, port):
        folder = PROFILES[settings.profile]
        profile = [] if settings.profile == "dev" else [f"--{settings.profile}"]
        if shutil.which("cargo"):
            build = ["cargo", "build", "--locked", "--quiet", "--bin", "witness", *profile]
            if subprocess.run(build, cwd=ROOT / "faults", check=False).returncode:
                raise Problem("cargo build failed in faults/")
        program = ROOT / "faults" / "target" / folder / "witness"
        if not program.exists():
            raise Problem(f"{program} isn't there and cargo isn't installed: install Rust, or build it elsewhere")
        # Where the system can do it, no client outlives a chaos that is killed.
        with_us = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        process = subprocess.Popen(
            [*with_us, program, "--door", f"127.0.0.1:{port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            line = process.stdout.readline().strip()
            if line != "ready":
                raise Problem(f"the clients don't get in: {line or 'no reason given'}")
        except BaseException:
            process.kill()
            raise
        return cls(process)

    def note(self, text):
        try:
            self.process.stdin.write(text + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.judge()  # which says why, where they said so themselves
            raise Problem("the clients ended before the faults did") from None

    def judge(self):
        """Waits until everybody has settled, and gives what the checker found."""
        try:
            output, _ = self.process.communicate(timeout=WITNESS_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise Problem(f"the clients have no result within {WITNESS_ENDS_WITHIN_S} s") from None
        try:
            report = json.loads(output.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise Problem(f"the clients ended with {self.process.returncode} and no result") from None
        if "error" in report:
            raise Problem(f"the clients have no result: {report['error']}")
        return report


def by_name(name):
    for fault in FAULTS:
        if fault.__name__.replace("_", "-") == name:
            return fault
    raise Problem(f"no fault is called {name}; there are: {', '.join(names())}")


def names():
    return [fault.__name__.replace("_", "-") for fault in FAULTS]


def automatic(wanted):
    """The faults of a run, one after the other."""
    yield from (by_name(name) for name in wanted)


def asked_for(possible, read: Callable[[str], str] = input):
    """The faults that somebody picks from a menu of the possible ones, until they have enough."""
    faults = [by_name(name) for name in possible]
    while True:
        for number, fault in enumerate(faults, 1):
            print(f"  {number:2}  {fault.__doc__}")
        try:
            picked = read("which? (empty: enough, judge) ").strip()
        except EOFError:
            return
        if not picked:
            return
        if picked.isdigit() and 1 <= int(picked) <= len(faults):
            yield faults[int(picked) - 1]
        else:
            print(f"  allowed are 1 to {len(faults)}")


def run(settings, hands, port, faults, length, seconds=None):
    """Breaks the stack by the hands that reach it and has it judged; a Problem if something was found. `seconds` is how long
    something stays broken, where that isn't by the length."""
    stack = Stack(hands, seconds or FREEZE_S[length], seconds or AWAY_S[length])
    witness = Witness.start(settings, port)
    done = 0
    try:
        for fault in faults:
            print(f"chaos: {fault.__doc__}", flush=True)
            witness.note(fault.__name__)
            begun = time.monotonic()
            fault(stack)
            stack.await_whole()
            witness.note("heal")
            print(f"       whole again after {time.monotonic() - begun:.1f} s", flush=True)
            done += 1
            time.sleep(BETWEEN_S)
        print("chaos: waiting until everybody has settled", flush=True)
        report = witness.judge()
    except KeyboardInterrupt:
        print("\nchaos: interrupted: what was broken is mended, and nothing is judged")
        raise
    finally:
        witness.process.kill()
    resumes = report["seen"].get("resume", 0)
    print(
        f"chaos: {done} faults, {resumes} resumes, {report['acknowledged']} acknowledged, {report['delivered']} delivered, "
        f"{report['lost']} lost, {report['duplicates']} twice, {report['inversions']} out of order, {report['gaps']} gaps; "
        f"longest pause {report['longest_pause_ms'] / 1000:.1f} s"
    )
    if not report["clean"]:
        raise Problem("chaos: " + "; ".join(report["violations"][:5]))
