"""The command line: which runtime, and what to do with it. Exit codes: 0 done, 1 it didn't work, 2 wrong use, 130 Ctrl-C."""

import argparse
import contextlib
import fcntl
import os
import time
import webbrowser

from . import chaos, compose_chaos, interrupts, kind_chaos, settings as stack_settings, smoke
from .compose import Compose
from .compose_chaos import ComposeStack
from .kind import Kind
from .kind_chaos import KindStack
from .native import Native
from .problem import Problem, of_the_machine

LOCKED_WITHIN_S = 120


def runtimes(settings):
    """In the order in which `auto` tries them, and `down` asks them: the native one removes the folder of the state."""
    return {runtime.name: runtime for runtime in (Compose(settings), Kind(settings), Native(settings))}


def pick(settings):
    """The runtime that is asked for, or the first that this machine has."""
    known = runtimes(settings)
    if settings.runtime != "auto":
        runtime = known[settings.runtime]
        missing = runtime.missing()
        if missing:
            raise Problem(f"LOCAL_RUNTIME={settings.runtime}: {missing}")
        print(f"local: {runtime.name}, as LOCAL_RUNTIME says")
        return with_layers(settings, runtime)
    reasons = []
    for runtime in known.values():
        if runtime.name == "kind":
            continue  # for whoever asks for it: a cluster takes minutes where the others take seconds
        missing = runtime.missing()
        if missing is None:
            why = f" ({'; '.join(reasons)})" if reasons else ""
            print(f"local: {runtime.name}, the first that this machine has{why}")
            return with_layers(settings, runtime)
        reasons.append(missing)
    raise Problem(f"nothing to run it on: {'; '.join(reasons)}")


def with_layers(settings, runtime):
    if settings.layers and runtime.name != "compose":
        raise Problem(f"LOCAL_LAYERS={','.join(settings.layers)}: layers are compose's; LOCAL_RUNTIME=compose, or leave them out")
    return runtime


def running(settings):
    """The runtime of the stack that is up, with its status."""
    for runtime in runtimes(settings).values():
        status = runtime.status()
        if status:
            return runtime, status
    raise Problem("nothing is up: make local-up")


@contextlib.contextmanager
def locked(settings):
    """One `up` or `down` at a time for stacks in one folder; the lock leaves no file."""
    settings.state.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(settings.state.parent, os.O_RDONLY)
    try:
        deadline = time.monotonic() + LOCKED_WITHIN_S
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Problem("another local-up or local-down is still at work: wait for it, or end it") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(folder)


def up(settings, _):
    begun = time.monotonic()
    with locked(settings):
        runtime = pick(settings)
        for other in runtimes(settings).values():
            if other.name != runtime.name and other.status():
                raise Problem(f"the stack is up on {other.name}: make local-down first, or LOCAL_RUNTIME={other.name}")
            if other.name not in (runtime.name, "native"):
                other.down()  # what a crash left of it
        try:
            status = runtime.up()
        except (KeyboardInterrupt, Problem, OSError) as why:
            with interrupts.held_off():
                if isinstance(why, KeyboardInterrupt):
                    print(f"\nlocal: interrupted, {'taking down what was started' if runtime.begun else 'nothing was changed'}")
                # What was up before stays: the failure isn't its.
                if runtime.begun:
                    runtime.down()
            raise
    print(f"local: ready after {time.monotonic() - begun:.1f} s")
    show(settings, status)
    print("  make local-open, local-smoke, local-chaos; make local-down takes it down")


def show(settings, status):
    print(f"  page   {status['url']}")
    if status["redis_port"]:
        secrets = settings.state / "secrets"
        print(f"  redis  127.0.0.1:{status['redis_port']} (TLS; {secrets}/redis-ca/ca.pem, {secrets}/redis-auth/password)")
    if status.get("grafana"):
        print(f"  grafana  {status['grafana']}")


def down(settings, _):
    begun = time.monotonic()
    with locked(settings):
        known = runtimes(settings).values()
        was = [runtime.name for runtime in known if runtime.down()]
        strangers = [line for runtime in known if (line := runtime.stranger())]
    if was:
        print(f"local: {', '.join(was)} is down, nothing is left, after {time.monotonic() - begun:.1f} s")
    else:
        print("local: nothing was up")
    for line in strangers:
        print(f"local: left alone: {line}")


def status(settings, _):
    runtime, status = running(settings)
    print(f"local: {runtime.name}, {'ready' if status['ready'] else 'not ready'}")
    for what in status["broken"]:
        print(f"  {what}: make local-up mends it")
    show(settings, status)
    for one in status["front"]["instances"]:
        process = f"  process {one['pid']}" if one["pid"] else ""
        print(f"  {one['name']}  {one['state']}  requests {one['requests']}{process}  revision {one['revision']}")
    redis = status["redis"]
    print(f"  {redis['primary']}  primary, {'replicated' if redis['replicates'] else 'not replicated'}")
    return 0 if status["ready"] else 1


def logs(settings, arguments):
    running(settings)[0].logs(follow=arguments.follow)


def open_page(settings, _):
    url = running(settings)[1]["url"]
    if not webbrowser.open(url):
        print(f"local: no browser here; open {url}")


def run_smoke(settings, _):
    runtime, status = running(settings)
    if "tests" in status.get("layers", ()):
        return runtime.smoke_within()
    instances = status["front"]["instances"]
    smoke.run(
        status["port"],
        len(instances),
        replica=status["redis"]["replicates"],
        ops=[one["operations_port"] for one in instances if one["state"] == "ready" and one["operations_port"]],
        probe=runtime.probe,
    )


def run_chaos(settings, arguments):
    runtime, status = running(settings)
    if runtime.name == "native":
        hands, possible = chaos.Processes(settings.state), chaos.names()
    elif runtime.name == "compose":
        hands, possible = ComposeStack(runtime), compose_chaos.POSSIBLE
    else:
        hands, possible = KindStack(runtime), kind_chaos.POSSIBLE
    for name in arguments.fault:
        chaos.by_name(name)
        if name not in possible:
            raise Problem(f"{name} can't be had on {runtime.name}; there are: {', '.join(possible)}")
    faults = chaos.asked_for(possible) if arguments.menu else chaos.automatic(arguments.fault or possible)
    if status["broken"]:
        runtime.heal(status)
    chaos.run(settings, hands, status["port"], faults, "short" if arguments.short else "long", arguments.seconds)


def seconds(text):
    """Of the command line: how long something stays broken."""
    if not text.isdecimal() or not 1 <= int(text) <= chaos.MOST_S:
        raise argparse.ArgumentTypeError(f"{text}: allowed is a whole number from 1 to {chaos.MOST_S}")
    return int(text)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="local", description="The cloud on one machine; settings are in k8s-local/.env")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, text in (
        ("up", up, "bring the stack up and print its URLs"),
        ("down", down, "take it down; nothing is left"),
        ("status", status, "what runs"),
        ("logs", logs, "the end of every log"),
        ("open", open_page, "open the page"),
        ("smoke", run_smoke, "check that the stack does what it is for"),
        ("chaos", run_chaos, "break it while recorded clients chat, and judge what it cost"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        if name == "logs":
            command.add_argument("--follow", action="store_true", help="go on")
        if name == "chaos":
            command.add_argument("fault", nargs="*", help=f"only these, in this order: {', '.join(chaos.names())}")
            command.add_argument("--menu", action="store_true", help="pick them one by one")
            command.add_argument("--short", action="store_true", help="shorter freezes and outages")
            command.add_argument("--seconds", type=seconds, help=f"freezes and outages of so long, from 1 to {chaos.MOST_S}")
    given = parser.parse_args(arguments)
    interrupts.listen()
    try:
        return given.run(stack_settings.load(), given) or 0
    except Problem as problem:
        print(f"local: {problem}")
        return 1
    except OSError as error:
        print(f"local: {of_the_machine(error)}")
        return 1
    except KeyboardInterrupt:
        return 130
