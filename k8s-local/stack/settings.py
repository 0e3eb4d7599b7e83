"""What the local stack is told: k8s-local/.env, and the environment over it. Checked once, told all at once.

Must not know: what runs where. May use: nothing.
"""

import contextlib
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .problem import Problem

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent

RUNTIMES = ("auto", "compose", "kind", "native")
LAYERS = ("observability", "tests")
PROFILES = {"release": "release", "dev": "debug"}

# What no file should hold, because it differs from machine to machine: where the stack keeps its files, which of cargo's
# profiles it builds, or a service that is built already.
OUTSIDE_FILE = ("LOCAL_STATE", "LOCAL_PROFILE", "LOCAL_PROGRAM")

# In the state's folder from its making on: what is removed with everything in it is the stack's own.
OWN = ".confab-local"

# A path to a socket may have 107 bytes (unix(7)); the longest name below the state's folder needs so many.
SOCKET_NAME = 24
SOCKET_PATH = 107


@dataclass(frozen=True)
class Settings:
    """See .env for what each means."""

    runtime: str
    port: int
    redis_port: int
    grafana_port: int
    instances: int
    max_instances: int
    idle_ms: int
    request_timeout_ms: int
    concurrency: int
    layers: tuple
    profile: str
    program: Path | None
    state: Path
    images: dict


def read_env_file(path):
    """The pairs of a file of NAME=value lines."""
    pairs = {}
    for line in path.read_text().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            pairs[name] = value
    return pairs


def load(environ=None):
    """The settings in force; a Problem names everything that is wrong with them."""
    environ = os.environ if environ is None else environ
    given = read_env_file(HERE / ".env")
    given |= {name: value for name, value in environ.items() if name in given or name in OUTSIDE_FILE}
    wrong = []

    def number(name, low, high):
        try:
            value = int(given[name])
            if low <= value <= high:
                return value
        except ValueError:
            pass
        wrong.append(f"{name}={given[name]}: allowed is a whole number from {low} to {high}")
        return low

    def choice(name, allowed, default):
        value = given.get(name, default)
        if value not in allowed:
            wrong.append(f"{name}={value}: allowed is one of {', '.join(allowed)}")
        return value

    layers = tuple(given["LOCAL_LAYERS"].replace(",", " ").split())
    if not set(layers) <= set(LAYERS):
        wrong.append(f"LOCAL_LAYERS={given['LOCAL_LAYERS']}: allowed are {', '.join(LAYERS)}, and nothing")

    settings = Settings(
        runtime=choice("LOCAL_RUNTIME", RUNTIMES, "auto"),
        port=number("LOCAL_PORT", 0, 65535),
        redis_port=number("LOCAL_REDIS_PORT", 0, 65535),
        grafana_port=number("LOCAL_GRAFANA_PORT", 0, 65535),
        instances=number("LOCAL_INSTANCES", 0, 100),
        max_instances=number("LOCAL_MAX_INSTANCES", 1, 100),
        idle_ms=number("LOCAL_IDLE_MS", 1, 86_400_000),
        request_timeout_ms=number("LOCAL_REQUEST_TIMEOUT_MS", 1_000, 3_600_000),
        concurrency=number("LOCAL_CONCURRENCY", 1, 1_000),
        layers=layers,
        profile=choice("LOCAL_PROFILE", tuple(PROFILES), "release"),
        program=Path(given["LOCAL_PROGRAM"]).resolve() if given.get("LOCAL_PROGRAM") else None,
        state=Path(given.get("LOCAL_STATE") or ROOT / ".local").resolve(),
        images={name: value for name, value in given.items() if name.endswith("_IMAGE")},
    )
    if settings.max_instances < settings.instances:
        wrong.append(f"LOCAL_MAX_INSTANCES={settings.max_instances}: allowed is LOCAL_INSTANCES ({settings.instances}) or more")
    ports = {"LOCAL_PORT": settings.port, "LOCAL_REDIS_PORT": settings.redis_port}
    if "observability" in layers:
        ports["LOCAL_GRAFANA_PORT"] = settings.grafana_port
    for (one, port), (other, same) in itertools.combinations(ports.items(), 2):
        if port and port == same:
            wrong.append(f"{one} and {other} are both {port}: allowed are different ports")
    if len(os.fsencode(settings.state)) + SOCKET_NAME > SOCKET_PATH:
        wrong.append(f"LOCAL_STATE={settings.state}: too long for the sockets in it; allowed are {SOCKET_PATH - SOCKET_NAME} bytes")
    if is_foreign(settings.state):
        wrong.append(f"LOCAL_STATE={settings.state}: not empty and not a local stack's; allowed is a folder that isn't there yet")
    if wrong:
        raise Problem("; ".join(wrong))
    return settings


def is_foreign(folder):
    """Whether it holds something that no stack of ours put there."""
    if not folder.exists():
        return False
    return not folder.is_dir() or (any(folder.iterdir()) and not (folder / OWN).exists())


def make_state(folder):
    """Makes the state's folder, this user's alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / OWN).touch()


def remove_state(folder):
    """Removes it with everything in it; a Problem where something stays. The mark that it is the stack's own goes last, so
    that whatever ends this in the middle leaves a folder of which the next one knows whose it is."""
    if not folder.exists():
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != OWN:
            with contextlib.suppress(OSError):
                entry.unlink()
    if left := sorted(entry.name for entry in folder.iterdir() if entry.name != OWN):
        raise Problem(f"{folder}: {', '.join(left)} can't be removed: another user's, or in use; mend that, then run it again")
    (folder / OWN).unlink(missing_ok=True)
    folder.rmdir()
