"""The stack in containers that compose runs. May use: docker, the secrets."""

import json
import os
import shutil
import subprocess
import time

from . import docker
from .control import is_ready
from .problem import Problem
from .processes import free_port
from .secret_files import SecretFiles
from .settings import HERE, make_state

PROJECT = "confab-local"

READY_WITHIN_S = 300

# The oldest docker-compose of its own that reads compose.yaml as it is.
OLDEST = (1, 27)


class Compose:
    """The compose runtime."""

    name = "compose"
    project = PROJECT

    def __init__(self, settings):
        self.settings, self.state = settings, settings.state
        self.marker = self.state / "compose"

    @staticmethod
    def program():
        """The command, or why there is none."""
        if docker.ask("docker", "compose", "version")[0]:
            return ["docker", "compose"], None
        if not shutil.which("docker-compose"):
            return None, "docker has no compose: install its plugin (docker-compose-plugin)"
        works, version = docker.ask("docker-compose", "version", "--short")
        try:
            new_enough = works and tuple(int(part) for part in version.lstrip("v").split(".")[:2]) >= OLDEST
        except ValueError:
            new_enough = False
        if not new_enough:
            oldest = ".".join(map(str, OLDEST))
            return None, f"docker-compose {version} is too old: install docker's compose plugin, or {oldest} and newer"
        return ["docker-compose"], None

    def missing(self):
        missing = docker.missing()
        return missing if missing else self.program()[1]

    def compose(self, *arguments, quiet=False):
        program, missing = self.program()
        if program is None:
            raise Problem(missing)
        told = {"LOCAL_STATE": str(self.state), **self.settings.images}
        for name in ("port", "redis_port", "concurrency", "request_timeout_ms"):
            told[f"LOCAL_{name.upper()}"] = str(getattr(self.settings, name))
        return subprocess.run(
            [*program, "-p", PROJECT, "-f", str(HERE / "compose.yaml"), *arguments],
            env=os.environ | told,
            cwd=HERE,
            text=True,
            capture_output=quiet,
            check=False,
        )

    def status(self):
        if not self.marker.exists():
            return None
        front = self.tell("front", "front.sock")
        endpoint = self.tell("redis", "endpoint.sock")
        if front is None or endpoint is None:
            return None
        return {
            "ready": is_ready(front, self.settings.instances),
            "runtime": self.name,
            "url": f"http://127.0.0.1:{self.settings.port}/",
            "port": self.settings.port,
            "redis_port": self.settings.redis_port,
            "front": front,
            "redis": {"primary": endpoint["target"].partition(":")[0], "replicates": True},
        }

    def tell(self, service, control, command="status"):
        told = self.compose(
            "exec", "-T", service, "/usr/local/bin/confab-proxy", "tell", f"/run/control/{control}", *command.split(),
            quiet=True,
        )  # fmt: skip
        return json.loads(told.stdout) if told.returncode == 0 else None

    def probe(self, *arguments):
        """Runs `confab probe` in an instance, through the front: whether it worked, and what it said."""
        command = ["/usr/local/bin/confab", "probe", "ws://front:8080/ws", *arguments]
        done = self.compose("exec", "-T", "confab", *command, quiet=True)
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def up(self):
        for name in ("port", "redis_port"):
            if not getattr(self.settings, name):
                raise Problem(f"LOCAL_{name.upper()}=0: compose needs a port; any free one is for native only")
        if not self.status():
            if self.down():
                print("local: what an earlier start left is cleaned away")
            for name in ("port", "redis_port"):
                free_port(getattr(self.settings, name), f"LOCAL_{name.upper()}")
        docker.prepare_images(self.settings.images)
        # The containers' users aren't this one; the folder above is this user's alone.
        make_state(self.state)
        SecretFiles(self.state / "secrets").make(mode=0o644)
        self.marker.touch()
        instances = max(self.settings.instances, 1)
        started = self.compose("up", "-d", "--remove-orphans", "--scale", f"confab={instances}")
        if started.returncode:
            raise Problem("compose up failed: it says why above")
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            status = self.status()
            if status and status["ready"]:
                return status
            time.sleep(1)
        raise Problem(f"the containers don't get ready within {READY_WITHIN_S} s: docker compose -p {PROJECT} logs")

    def down(self):
        there = self.marker.exists()
        if there:
            self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")
            shutil.rmtree(self.state, ignore_errors=True)
        return there

    def logs(self, follow):
        self.compose("logs", "--tail", "100", *(["--follow"] if follow else []))
