"""The stack as plain processes: no container engine, Linux only.

Owns: bringing it up and down, and what a crash left. May use: processes, the supervisor's control socket.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

from . import processes
from .control import ask, must
from .problem import Problem
from .settings import HERE, ROOT, make_state, remove_state
from .supervisor import programs

READY_WITHIN_S = 120

# What the stack's files may take: logs and sockets, for Redis keeps nothing on disk.
ROOM_MIB = 32

# Lines of a log that are shown when a start fails.
TAIL = 5


class Native:
    """The native runtime."""

    name = "native"

    def __init__(self, settings):
        self.settings, self.state = settings, settings.state
        self.socket = self.state / "supervisor.sock"
        self.supervisor = None
        # Whether `up` has begun to change what runs, so that a failure has something to take down.
        self.begun = False

    def missing(self):
        """Why it can't run here; None where it can."""
        if platform.system() != "Linux":
            return "native needs Linux"
        if not os.path.exists("/proc/self/environ"):
            return "native needs /proc"
        for program in ("redis-server", "openssl", "setpriv"):
            if not shutil.which(program):
                return f"native needs {program}, which isn't installed"
        return None

    def status(self):
        return ask(self.socket, "status")

    def up(self):
        wanted = self.settings
        self.build()
        fingerprint = self.fingerprint()
        running = self.status()
        if running and running["fingerprint"] == fingerprint:
            if running["broken"]:
                self.heal(running)
            return self.wait()
        if not running and self.down():
            print("local: what an earlier start left is cleaned away")
        # Whatever can be known to fail fails before the running stack is touched.
        if full := self.full():
            raise Problem(full)
        asked = {"port": wanted.port, "redis_port": wanted.redis_port}
        for name, port in asked.items():
            if not running or port != running[name]:
                processes.check_port(port, f"LOCAL_{name.upper()}")
        self.begun = True
        if running:
            print("local: the running stack has other settings or programs: it is started again")
            self.down()
        with contextlib.ExitStack() as opened:
            held = [opened.enter_context(processes.hold_port(port, f"LOCAL_{name.upper()}")) for name, port in asked.items()]
            self.start(fingerprint, held)
        return self.wait()

    def start(self, fingerprint, held):
        """Starts the supervisor, which keeps the held sockets, of the front's port and Redis's, open for as long as it lives."""
        wanted = self.settings
        port, redis_port = (socket.getsockname()[1] for socket in held)
        make_state(self.state)
        (self.state / "logs").mkdir()
        with open(self.state / "logs" / "supervisor.log", "ab") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "stack.supervisor", fingerprint],
                cwd=HERE,
                env=processes.environment(
                    self.state,
                    LOCAL_STATE=str(self.state),
                    LOCAL_PROFILE=wanted.profile,
                    LOCAL_PROGRAM=str(wanted.program or ""),
                    LOCAL_PORT=str(port),
                    LOCAL_REDIS_PORT=str(redis_port),
                    LOCAL_INSTANCES=str(wanted.instances),
                    LOCAL_MAX_INSTANCES=str(wanted.max_instances),
                    LOCAL_IDLE_MS=str(wanted.idle_ms),
                    LOCAL_REQUEST_TIMEOUT_MS=str(wanted.request_timeout_ms),
                    LOCAL_CONCURRENCY=str(wanted.concurrency),
                    PYTHONDONTWRITEBYTECODE="1",
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[socket.fileno() for socket in held],
            )

    def heal(self, status):
        """Ends what chaos broke and, ended itself, didn't mend."""
        must(self.socket, "heal")
        print(f"local: {', '.join(status['broken'])}: mended")

    def fingerprint(self):
        """Differs where a running stack would have to be another one: settings, or programs that were built again."""
        built = [program.stat().st_mtime_ns for program in programs(self.settings)]
        return hashlib.sha256(repr((self.settings, built)).encode()).hexdigest()[:16]

    def wait(self):
        """Until it is ready; a Problem with what the logs say, where it doesn't get there."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            status = self.status()
            if status and status["ready"]:
                return status
            if self.supervisor and self.supervisor.poll() is not None:
                break
            time.sleep(0.1)
        said = self.tail("supervisor.log") or self.tail("instance-1.log") or "its logs say nothing"
        # A full disk leaves no log that could say so.
        raise Problem(self.full() or f"the stack doesn't get ready: {said}")

    def full(self):
        """That the disk is full; None where it isn't."""
        folder = self.state.parent
        left = shutil.disk_usage(folder).free >> 20
        if left >= ROOM_MIB:
            return None
        return f"the disk is full: {left} MiB are left for {folder}, {ROOM_MIB} are needed: make room, then run it again"

    def tail(self, log):
        try:
            return " / ".join((self.state / "logs" / log).read_text().strip().splitlines()[-TAIL:])
        except OSError:
            return ""

    def build(self):
        """Builds what is run; cargo knows what is up to date."""
        profile = [] if self.settings.profile == "dev" else [f"--{self.settings.profile}"]
        if shutil.which("cargo"):
            # Minutes the first time.
            print("local: building the programs (what hasn't changed is there)", flush=True)
            for folder in (HERE / "proxy", *([] if self.settings.program else [ROOT])):
                built = subprocess.run(["cargo", "build", "--locked", "--quiet", *profile], cwd=folder, check=False)
                if built.returncode:
                    raise Problem(f"cargo build failed in {folder}")
        for program in programs(self.settings):
            if not program.exists():
                raise Problem(f"{program} isn't there and cargo isn't installed: install Rust, or build it elsewhere")
            asked = subprocess.run([program, "--version"], capture_output=True, check=False)
            if asked.returncode:
                raise Problem(f"{program} doesn't run here: build it on this machine")

    def down(self):
        """Ends everything and removes every file; whether there was anything."""
        there = self.state.exists()
        status = self.status()
        if status:
            os.kill(status["pids"]["supervisor"], signal.SIGTERM)
            deadline = time.monotonic() + processes.END_WITHIN_S
            while processes.marked(self.state) and time.monotonic() < deadline:
                time.sleep(0.05)
        ended = processes.end_all(self.state)
        if left := processes.marked(self.state):
            raise Problem(f"processes {', '.join(map(str, left))} don't end: end them, then run it again")
        remove_state(self.state)
        return bool(status or ended or there)

    def stranger(self):
        """None: there may be any number of native stacks, each in a folder of its own."""

    def probe(self, *arguments):
        """Runs `confab probe` through the front: whether it worked, and what it said."""
        url = f"ws://127.0.0.1:{self.status()['port']}/ws"
        command = [programs(self.settings)[0], "probe", url, *arguments]
        done = subprocess.run(command, env=processes.environment(self.state), capture_output=True, text=True, check=False)
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def logs(self, follow):
        files = sorted((self.state / "logs").glob("*.log"))
        if not files:
            raise Problem("there are no logs: nothing is up (make local-up)")
        os.execvp("tail", ["tail", "-n", "100", *(["-F"] if follow else []), *map(str, files)])
