"""The stack in containers that compose runs. May use: docker, the secrets."""

import json
import os
import shutil
import subprocess
import time

from . import docker
from .control import NOWHERE, PRIMARY, is_ready
from .marker import Marker
from .problem import Problem
from .processes import check_port
from .redis_client import IN_CONTAINER, about_replication, is_linked
from .secret_files import SecretFiles
from .settings import HERE, make_state, remove_state

PROJECT = "confab-local"

READY_WITHIN_S = 300

# The oldest docker-compose of its own that reads compose.yaml as it is.
OLDEST = (1, 27)

# Images of somebody else's beside those of docker.BUILT, and what they are needed for.
OTHERS = {None: "LOCAL_REDIS_IMAGE", "observability": "LOCAL_OTEL_IMAGE", "tests": "LOCAL_PYTHON_IMAGE"}

# The label of its containers that has the folder of the state.
STATE = "confab.local.state"

# Settings of which compose's files have the number, beside how many instances there are.
NUMBERS = ("port", "redis_port", "grafana_port", "concurrency", "request_timeout_ms")


class Compose:
    """The compose runtime."""

    name = "compose"
    project = PROJECT

    def __init__(self, settings):
        self.settings, self.state = settings, settings.state
        self.marker = Marker(self.state, self.name)
        # Whether `up` has begun to start what nobody had up before, so that a failure has something to take down.
        self.begun = False

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

    def wanted(self):
        """What the settings ask for, as the marker keeps it. Nothing here starts the first instance at the first request."""
        wanted = {name: getattr(self.settings, name) for name in NUMBERS}
        return wanted | {"instances": max(self.settings.instances, 1), "layers": list(self.settings.layers)}

    def compose(self, *arguments, started=None, text=None, quiet=False):
        """Runs compose on the stack as it was started, or is to be."""
        program, missing = self.program()
        if program is None:
            raise Problem(missing)
        started = self.wanted() | (started or self.marker.read() or {})
        told = {"LOCAL_STATE": str(self.state), **self.settings.images}
        for name in (*NUMBERS, "instances"):
            told[f"LOCAL_{name.upper()}"] = str(started[name])
        files = ["compose.yaml", *(f"compose.{layer}.yaml" for layer in started["layers"])]
        return subprocess.run(
            [*program, "-p", PROJECT, *(part for file in files for part in ("-f", str(HERE / file))), *arguments],
            env=os.environ | told,
            cwd=HERE,
            input=text,
            text=True,
            capture_output=quiet,
            check=False,
        )

    def status(self):
        started = self.marker.read()
        if started is None:
            return None
        front = self.tell("front", "front.sock")
        endpoint = self.tell("redis", "endpoint.sock")
        if front is None or endpoint is None:
            return None
        broken = [f"{name} is frozen" for name in self.frozen()]
        primary = endpoint["target"].partition(":")[0]
        if endpoint["target"] == NOWHERE:
            broken.append("Redis's address leads nowhere")
            primary = "nobody"
        replicates = self.replicates()
        grafana = started.get("grafana_port") if "observability" in started["layers"] else None
        return {
            "ready": not broken and replicates and is_ready(front, started["instances"]),
            "broken": broken,
            "runtime": self.name,
            "url": f"http://127.0.0.1:{started['port']}/",
            "port": started["port"],
            "redis_port": started["redis_port"],
            "grafana_port": grafana,
            "grafana": f"http://127.0.0.1:{grafana}/" if grafana else None,
            "layers": started["layers"],
            "front": front,
            "redis": {"primary": primary, "replicates": replicates},
        }

    def replicates(self):
        asked = about_replication((self.state / "secrets" / "redis-users" / "operator").read_text())
        told = self.compose("exec", "-T", "redis-replica", *IN_CONTAINER, text=asked, quiet=True)
        return is_linked(told.stdout)

    def containers(self, *filters):
        """The names of the stack's containers."""
        asked = [part for one in (f"label=com.docker.compose.project={PROJECT}", *filters) for part in ("--filter", one)]
        return docker.carry_out("ps", "--all", *asked, "--format", "{{.Names}}").split()

    def folders(self):
        """The folders of the state of all whose containers docker has under the name: of one, unless docker was told by hand."""
        mine = ("--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", f"label={STATE}")
        return set(docker.carry_out("ps", "--all", *mine, "--format", f'{{{{.Label "{STATE}"}}}}').splitlines())

    def stranger(self):
        """What docker has of the stack of another folder, and what to do with it; None where it has none."""
        others = set() if docker.missing() else self.folders() - {str(self.state)}
        if not others:
            return None
        folder = sorted(others)[0]
        return f"docker has the stack of {folder}, and can have one: LOCAL_STATE={folder} make local-down takes that one down"

    def frozen(self):
        return self.containers("status=paused")

    def heal(self, status):
        """Ends what chaos broke and, ended itself, didn't mend."""
        for name in self.frozen():
            docker.carry_out("unpause", name)
        endpoint = self.tell("redis", "endpoint.sock")
        if endpoint and endpoint["target"] == NOWHERE:
            self.must_tell("redis", "endpoint.sock", f"lead {PRIMARY}")
        print(f"local: {', '.join(status['broken'])}: mended")

    def tell(self, service, control, command="status"):
        told = self.compose(
            "exec", "-T", service, "/usr/local/bin/confab-proxy", "tell", f"/run/control/{control}", *command.split(),
            quiet=True,
        )  # fmt: skip
        return json.loads(told.stdout) if told.returncode == 0 else None

    def must_tell(self, service, control, command):
        """The same, for what is worth nothing unless it was carried out."""
        if self.tell(service, control, command) is None:
            raise Problem(f"{command}: the container of {service} wasn't reached, or refused: make local-status")

    def probe(self, *arguments):
        """Runs `confab probe` in an instance, through the front: whether it worked, and what it said."""
        command = ["/usr/local/bin/confab", "probe", "ws://front:8080/ws", *arguments]
        done = self.compose("exec", "-T", "confab", *command, quiet=True)
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def up(self):
        wanted = self.wanted()
        ports = ["port", "redis_port", *(["grafana_port"] if "observability" in wanted["layers"] else [])]
        for name in ports:
            if not wanted[name]:
                raise Problem(f"LOCAL_{name.upper()}=0: compose needs a port; any free one is for native only")
        if stranger := self.stranger():
            raise Problem(stranger)
        running = self.status()
        if running and running["broken"]:
            self.heal(running)
        if not running and self.down():
            print("local: what an earlier start left is cleaned away")
        for name in ports:
            if not running or wanted[name] != running[name]:
                check_port(wanted[name], f"LOCAL_{name.upper()}")
        others = [image for layer, image in OTHERS.items() if layer is None or layer in wanted["layers"]]
        docker.prepare_images(self.settings.images, others)
        # The containers' users aren't this one; the folder above is this user's alone.
        make_state(self.state)
        SecretFiles(self.state / "secrets").make(mode=0o644)
        if not running:
            self.begun = True
            self.marker.write(**wanted)
        scale = ("--scale", f"confab={wanted['instances']}")
        if self.compose("up", "-d", "--remove-orphans", *scale, started=wanted).returncode:
            raise Problem("compose up failed: it says why above")
        self.marker.write(**wanted)
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            status = self.status()
            if status and status["ready"]:
                return status
            time.sleep(1)
        raise Problem(f"the containers don't get ready within {READY_WITHIN_S} s: docker compose -p {PROJECT} logs")

    def down(self):
        known = self.marker.exists()
        if missing := self.missing():
            if not known:
                return False
            raise Problem(f"compose brought the stack up, and its containers can't be taken down: {missing}")
        folders = self.folders()
        if not known and str(self.state) not in folders:
            return False
        if self.stranger():
            # Compose knows a stack by its name, and under that name is the other one.
            remove_state(self.state)
            return True
        done = self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")
        left = self.left()
        if done.returncode or left:
            what = f"these are left: {', '.join(left)}" if left else "nothing is left but its files"
            raise Problem(f"compose down failed, it says why above; {what}; run it again")
        remove_state(self.state)
        return True

    def left(self):
        """What docker still has of it."""
        mark = ("--filter", f"label=com.docker.compose.project={PROJECT}", "--format", "{{.Name}}")
        found = [f"container {name}" for name in self.containers()]
        for what in ("volume", "network"):
            found += [f"{what} {name}" for name in docker.carry_out(what, "ls", *mark).split()]
        return found

    def smoke_within(self):
        """The smoke test of the layer `tests`."""
        if self.compose("run", "--rm", "--no-deps", "smoke").returncode:
            raise Problem("the smoke test from within failed: it says why above")

    def logs(self, follow):
        self.compose("logs", "--tail", "100", *(["--follow"] if follow else []))
