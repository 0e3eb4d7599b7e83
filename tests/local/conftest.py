"""A stack of its own for the tests: its own folder, free ports, taken down in the end whatever happened."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "k8s-local" / "local"
sys.path.insert(0, str(ROOT / "k8s-local"))

# A shell that starts something in the background has it ignore Ctrl-C, and all that is started by it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Far longer than anything takes on a busy machine, a debug build in a cold cache included.
WITHIN_S = 900


def until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@dataclass
class Done:
    """What a command did."""

    code: int
    output: str


class LocalStack:
    """The command, with the settings of the tests."""

    def __init__(self, state, **settings):
        self.state = state
        self.environment = {name: value for name, value in os.environ.items() if name == "LOCAL_PROGRAM" or not name.startswith("LOCAL_")} | {
            "LOCAL_RUNTIME": "native",
            "LOCAL_PROFILE": "dev",
            "LOCAL_STATE": str(state),
            "LOCAL_PORT": "0",
            "LOCAL_REDIS_PORT": "0",
        }
        self.environment |= settings

    def start(self, *arguments, **settings):
        return subprocess.Popen(
            [LOCAL, *arguments],
            env=self.environment | settings,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments, **settings):
        process = self.start(*arguments, **settings)
        output, _ = process.communicate(timeout=WITHIN_S)
        return Done(process.returncode, output)

    def up(self, **settings):
        done = self.run("up", **settings)
        assert done.code == 0, done.output
        return self.status()

    def status(self):
        from stack.control import ask

        return ask(self.state / "supervisor.sock", "status")

    def processes(self):
        from stack.processes import marked

        return marked(self.state)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the slow tests too")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes, runs with --long")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "long" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="waits two minutes for clients that can't settle: runs with --long"))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The programs of a stack, so that no test's patience has to do for a compiler."""
    from stack.native import Native
    from stack.settings import load

    environment = LocalStack(tmp_path_factory.mktemp("built") / "state").environment
    Native(load(environment)).build()


@pytest.fixture
def local(built, tmp_path):
    """A stack that isn't up yet."""
    stack = LocalStack(tmp_path / "state")
    yield stack
    stack.run("down")


@pytest.fixture(scope="module")
def running(built, tmp_path_factory):
    """A stack that is up, shared by the tests of a module."""
    stack = LocalStack(tmp_path_factory.mktemp("stack") / "state")
    try:
        stack.up()
        yield stack
    finally:
        stack.run("down")
