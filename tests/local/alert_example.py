"""An alert set off by a fault and cleared: two instances over one Redis, writers, and a Prometheus with the rules.

Owns: what runs, the fault, and what Prometheus said when. Must not know: how it is told. May use: redis-server, prometheus
and the program as they are. `scale` makes every time of the rules shorter by so much; 1 takes them as they are.
"""

import contextlib
import http.client
import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field

import yaml
from stack.processes import hold_port
from stack.websocket import WebSocket

WITHIN_S = 120
"""For anything to start or to happen, beside what the rules themselves wait for."""
UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = re.compile(r"(\d+)([smhd])")
ROOM = "example"
A_WRITER_SAYS_EVERY_S = 0.25


def shorter(duration, scale):
    number, unit = DURATION.fullmatch(duration).groups()
    milliseconds = int(number) * UNIT_MS[unit] / scale
    assert milliseconds == int(milliseconds) > 0, f"{duration} can't be divided by {scale}"
    return f"{int(milliseconds)}ms"


def scaled(rules, scale):
    """The rules with every window, wait and interval shorter by `scale`."""
    for group in rules["groups"]:
        group["interval"] = shorter(group["interval"], scale)
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\w+)\]", lambda window: f"[{shorter(window[1], scale)}]", rule["expr"])
            if "for" in rule:
                rule["for"] = shorter(rule["for"], scale)
    return rules


@dataclass
class Example:
    """What happened, in order."""

    scale: int
    events: list = field(default_factory=list)
    """(Unix time, what was done or None, {(alert, burn): state})"""
    fired: dict = None
    """The alert as Prometheus told it when it fired."""
    outage_at: float = 0
    back_at: float = 0
    fired_at: float = 0
    cleared_at: float = 0


class Writer(threading.Thread):
    """Says something again and again, whatever the answer."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stopped, self.acknowledged = port, threading.Event(), 0

    def run(self):
        while not self.stopped.is_set():
            with contextlib.suppress(Exception):
                self.write()
            self.stopped.wait(A_WRITER_SAYS_EVERY_S)

    def write(self):
        with WebSocket(self.port) as socket:
            number = 0

            def ask(command):
                nonlocal number
                number += 1
                socket.send(json.dumps(command | {"id": number}))
                while True:
                    for line in socket.receive().splitlines():
                        told = json.loads(line)
                        if told["type"] == "ping":
                            socket.send('{"type":"pong"}')
                        elif told.get("id") == number:
                            return told

            ask({"type": "hello", "name": "Ada"})
            while ask({"type": "join", "room": ROOM})["type"] == "error":
                self.stopped.wait(A_WRITER_SAYS_EVERY_S)
            while not self.stopped.wait(A_WRITER_SAYS_EVERY_S):
                told = ask({"type": "send", "room": ROOM, "key": f"k{time.time_ns()}", "text": "hello"})
                self.acknowledged += told["type"] == "sent"
                if told.get("code") == "not_joined":
                    return


def until(condition, what, within_s=WITHIN_S):
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(0.1)
    return found


def answers(port, path):
    """The body of a 200, else None."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read()
    return None


class Running:
    """The processes; they end with the block."""

    def __init__(self, folder):
        self.folder, self.processes = folder, contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.processes.close()

    def start(self, name, *command, environment=None):
        log = self.processes.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            list(map(str, command)), cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.processes.callback(end, process)
        return process

    def port(self):
        """One that nobody else gets meanwhile."""
        held = hold_port(0, "the port")
        self.processes.callback(held.close)
        return held.getsockname()[1]

    def redis(self, port):
        options = ("--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
        process = self.start("redis", "redis-server", *options)
        until(lambda: redis_answers(port), "Redis answers")
        return process


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def redis_answers(port):
    return subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True, check=False).stdout == "PONG\n"


def run(program, rules, scale, folder, alert=("ConfabFailedWrites", "fast")):
    """Kills Redis under two instances that are written to, waits for the alert, starts Redis again, waits for its end."""
    example = Example(scale)
    with Running(folder) as running:
        redis_port, prometheus_port = running.port(), running.port()
        redis = running.redis(redis_port)
        ports = [(running.port(), running.port()) for _ in range(2)]
        for number, (port, operations) in enumerate(ports):
            running.start(f"instance-{number}", program, environment={
                "PORT": str(port),
                "CONFAB__OPS__PORT": str(operations),
                "CONFAB__STORE__URL": f"redis://127.0.0.1:{redis_port}",
                "CONFAB__INSTANCE": f"instance-{number}",
            })  # fmt: skip
        for port, _ in ports:
            until(lambda port=port: answers(port, "/health/ready"), "an instance is ready")
        (folder / "rules.yaml").write_text(yaml.safe_dump(scaled(rules, scale)))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump({
            "global": {"scrape_interval": shorter("30s", scale)},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{
                "job_name": "confab",
                "static_configs": [{"targets": [f"127.0.0.1:{operations}" for _, operations in ports]}],
            }],
        }))  # fmt: skip
        running.start(
            "prometheus", "prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        )  # fmt: skip
        writers = [Writer(port) for port, _ in ports]
        for writer in writers:
            writer.start()

        def asked(path):
            body = answers(prometheus_port, path)
            return json.loads(body)["data"] if body else None

        def states(done=None):
            """What is pending or firing now; noted where it is news."""
            told = (asked("/api/v1/alerts") or {"alerts": []})["alerts"]
            now = {(one["labels"]["alertname"], one["labels"]["burn"]): one["state"] for one in told}
            if done or not example.events or example.events[-1][2] != now:
                example.events.append((time.time(), done, now))
            return {key: one for key, one in zip(now, told, strict=True)}

        def firing():
            one = states().get(alert)
            return one if one and one["state"] == "firing" else None

        until(lambda: all(writer.acknowledged > 10 for writer in writers), "both write")
        # Acknowledgements in more than one scrape, so that there is a rate before the fault.
        healthy = "/api/v1/query?query=sum(rate(confab_acknowledgements_total%5B2m%5D))%3E0"
        rate = healthy.replace("2m", shorter("2m", scale))
        until(lambda: (asked(rate) or {"result": []})["result"], "Prometheus sees them", WITHIN_S + 300 / scale)
        assert not firing(), "nothing is wrong yet"

        redis.send_signal(signal.SIGKILL)
        redis.wait()
        example.outage_at = time.time()
        states("Redis is killed")
        example.fired = until(firing, f"{alert} fires", WITHIN_S + 1200 / scale)
        example.fired_at = time.time()
        running.redis(redis_port)
        example.back_at = time.time()
        states("Redis is started again, empty")
        until(lambda: alert not in states(), f"{alert} ends", WITHIN_S + 2400 / scale)
        example.cleared_at = time.time()
        for writer in writers:
            writer.stopped.set()
        for writer in writers:
            writer.join(WITHIN_S)
    return example
