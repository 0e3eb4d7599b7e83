"""The environment of an instance that runs as a plain process: the one of the containers, with this machine's paths.

May use: the files that compose and Kubernetes take theirs from.
"""

from .settings import HERE, read_env_file

SECRETS = "/secrets"
REDIS = "redis:6378"


def of_containers():
    """What compose and Kubernetes give a container, beside what the platform itself sets."""
    return read_env_file(HERE / "kustomize" / "base" / "confab.env")


def of_processes(settings, secrets, redis_port):
    """The same where secrets are files in a folder of this user and Redis is a port of loopback."""
    told = {
        name: value.replace(SECRETS, str(secrets)).replace(REDIS, f"127.0.0.1:{redis_port}")
        for name, value in of_containers().items()
    }
    return told | {
        "CONFAB__HTTP__REQUEST_TIMEOUT_MS": str(settings.request_timeout_ms),
        "CONFAB__LIMITS__CONNECTIONS": str(settings.concurrency),
        # The front sets K_SERVICE as Cloud Run does, and with that the default is every address of the machine.
        "CONFAB__BIND": "127.0.0.1",
    }
