"""The one process that holds the native stack together: it starts Redis, the address of Redis and the front, mends what
dies, carries out what the control socket asks for, and takes everything with it when it ends.

Its children end with it in whatever way it ends. May use: Redis's pair, processes. Run by native.py.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

from . import environment, settings as stack_settings
from .control import ask, is_ready, must
from .problem import Problem, of_the_machine
from .processes import spawn
from .redis_client import RedisError
from .redis_pair import RedisPair
from .secret_files import SecretFiles
from .settings import PROFILES, ROOT

# How often it looks whether somebody died.
LOOK_S = 0.2

# The front gives its instances 10 s.
FRONT_ENDS_WITHIN_S = 12

START_WITHIN_S = 60

# The front asks its instances in turn, which takes 2 s where one is frozen.
STATUS_WITHIN_S = 10


def programs(settings):
    """The service and the proxy, as cargo leaves them."""
    folder = PROFILES[settings.profile]
    return (
        settings.program or ROOT / "target" / folder / "confab",
        ROOT / "k8s-local" / "proxy" / "target" / folder / "confab-proxy",
    )


class Ended(Exception):
    """The supervisor was told to end."""


class Supervisor:
    """Everything of one stack."""

    def __init__(self, settings, fingerprint):
        self.settings, self.state, self.fingerprint = settings, settings.state, fingerprint
        self.secrets = SecretFiles(self.state / "secrets")
        self.service, self.proxy = programs(settings)
        self.redis = None
        self.endpoint = self.front = None
        self.said = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(LOOK_S)

    def start(self):
        self.listener.bind(str(self.state / "supervisor.sock"))
        self.listener.listen(16)
        self.secrets.make()
        self.redis = RedisPair(self.state, self.secrets)
        self.redis.start()
        self.start_endpoint()
        self.start_front()

    def start_endpoint(self):
        self.endpoint = self.run_proxy(
            "endpoint", self.settings.redis_port, "--target", self.redis.primary.address
        )  # fmt: skip

    def start_front(self):
        told = environment.of_processes(self.settings, self.secrets.home, self.settings.redis_port)
        self.front = self.run_proxy(
            "front", self.settings.port,
            "--request-timeout-ms", self.settings.request_timeout_ms,
            "--concurrency", self.settings.concurrency,
            "--minimum", self.settings.instances,
            "--maximum", self.settings.max_instances,
            "--idle-ms", self.settings.idle_ms,
            "--logs", self.state / "logs",
            "--", self.service, "serve",
            **told,
        )  # fmt: skip

    def run_proxy(self, role, port, *arguments, **told):
        control = self.state / f"{role}.sock"
        control.unlink(missing_ok=True)
        command = [self.proxy, role, "--listen", f"127.0.0.1:{port}", "--control", control, *arguments]
        process = spawn(self.state, command, self.state / "logs" / f"{role}.log", **told)
        deadline = time.monotonic() + START_WITHIN_S
        # It makes the socket once it listens.
        while not control.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self.state / "logs" / f"{role}.log").read_text().strip().splitlines()
                raise Problem(f"the {role} doesn't start: {log[-1] if log else 'it says nothing'}")
            time.sleep(0.02)
        return process

    def run(self):
        """Until it is told to end."""
        while True:
            self.mend()
            try:
                client, _ = self.listener.accept()
            except TimeoutError:
                continue
            with client:
                client.settimeout(1)
                try:
                    line = client.makefile().readline()
                    client.sendall(json.dumps(self.carry_out(line.split())).encode() + b"\n")
                except OSError:
                    pass  # whoever asked is gone

    def mend(self):
        try:
            self.redis.mend()
            if self.endpoint.poll() is not None:
                print("supervisor: the endpoint died and is started again", flush=True)
                self.start_endpoint()
                self.redis.lead()
            if self.front.poll() is not None:
                print("supervisor: the front died and is started again", flush=True)
                self.start_front()
        except (Problem, RedisError, OSError) as error:  # the next look tries again, and says so once
            if str(error) != self.said:
                print(f"supervisor: {error}", flush=True)
            self.said = str(error)

    def carry_out(self, words):
        commands = {
            "status": lambda: None,
            "failover": self.redis.fail_over,
            "freeze-redis": lambda: self.redis.freeze(True),
            "thaw-redis": lambda: self.redis.freeze(False),
            "redis-away": lambda: self.redis.be_away(True),
            "redis-back": lambda: self.redis.be_away(False),
            "cut-subscribers": self.redis.cut_subscribers,
            "rotate": self.redis.rotate,
            "heal": self.heal,
        }
        command = commands.get(" ".join(words))
        if command is None:
            return {"error": f"commands: {', '.join(commands)}"}
        try:
            command()
        except (Problem, RedisError, OSError) as error:  # told to whoever asked
            return {"error": f"{words[0]}: {error}"}
        return self.status()

    def heal(self):
        """Ends everything that chaos began: whoever began it may be gone."""
        if self.redis.frozen:
            self.redis.freeze(False)
        if self.redis.away:
            self.redis.be_away(False)
        for one in self.front_status()["instances"]:
            if one["frozen"]:
                must(self.state / "front.sock", f"thaw {one['name']}")

    def front_status(self):
        return ask(self.state / "front.sock", "status", within=STATUS_WITHIN_S) or {"instances": []}

    def status(self):
        front, redis = self.front_status(), self.redis.status()
        broken = [f"{one['name']} is frozen" for one in front["instances"] if one["frozen"]]
        if redis["frozen"]:
            broken.append(f"Redis's primary ({redis['primary']}) is frozen")
        if redis["away"]:
            broken.append("Redis's address leads nowhere")
        return {
            "ready": not broken and redis["replicates"] and is_ready(front, self.settings.instances),
            "broken": broken,
            "runtime": "native",
            "fingerprint": self.fingerprint,
            "url": f"http://127.0.0.1:{self.settings.port}/",
            "port": self.settings.port,
            "redis_port": self.settings.redis_port,
            "front": front,
            "redis": redis,
            "pids": {"supervisor": os.getpid(), "front": self.front.pid, "endpoint": self.endpoint.pid},
        }

    def stop(self):
        if self.front is not None and self.front.poll() is None:
            self.front.terminate()
            try:
                self.front.wait(FRONT_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.front.kill()
        if self.endpoint is not None:
            self.endpoint.kill()
        if self.redis is not None:
            self.redis.stop()


def main():
    supervisor = Supervisor(stack_settings.load(), sys.argv[1])

    def end(*_):
        raise Ended

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for whoever started it
    code = 0
    try:
        supervisor.start()
        supervisor.run()
    except Ended:
        pass
    except Problem as problem:
        print(problem, flush=True)
        code = 1
    except RedisError as error:
        print(f"Redis refuses what the stack needs: {error}", flush=True)
        code = 1
    except OSError as error:
        print(of_the_machine(error), flush=True)
        code = 1
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
