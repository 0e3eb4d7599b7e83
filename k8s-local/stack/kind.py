"""The stack in a Kubernetes cluster of one node that kind makes. May use: docker, the secrets.

Any other cluster: `kubectl apply -k kustomize/overlays/cluster` and the secrets by `kubectl create secret`, as docs/local.md says.
"""

import json
import shutil
import string
import subprocess

from . import docker
from .control import is_ready
from .problem import Problem
from .processes import free_port
from .secret_files import SecretFiles
from .settings import HERE, make_state

CLUSTER = "confab-local"
CONTEXT = f"kind-{CLUSTER}"
NAMESPACE = "confab"

READY_WITHIN_S = 300

# Secret → its files, as the manifests mount them.
SECRETS = {
    "confab-redis-ca": ["redis-ca/ca.pem"],
    "confab-redis-auth": ["redis-auth/password"],
    "confab-token-keys": ["token-keys/keys"],
    "confab-redis-server": ["redis-server/server.pem", "redis-server/server.key"],
    "confab-redis-users": ["redis-users/users.acl", "redis-users/replication.conf"],
}


class Kind:
    """The kind runtime."""

    name = "kind"

    def __init__(self, settings):
        self.settings, self.state = settings, settings.state
        self.marker = self.state / "kind"

    def missing(self):
        for program in ("kind", "kubectl"):
            if not shutil.which(program):
                return f"{program} isn't installed"
        return docker.missing()

    def kubectl(self, *arguments, text=None, quiet=False):
        return subprocess.run(
            ["kubectl", "--context", CONTEXT, *arguments], input=text, text=True, capture_output=quiet, check=False
        )

    def must(self, what, done):
        if done.returncode:
            raise Problem(f"{what} failed: it says why above")

    def status(self):
        if not self.marker.exists():
            return None
        told = self.kubectl(
            "-n", NAMESPACE, "exec", "deploy/front", "--",
            "/usr/local/bin/confab-proxy", "tell", "/run/control/front.sock", "status", quiet=True,
        )  # fmt: skip
        if told.returncode:
            return None
        front = json.loads(told.stdout)
        return {
            "ready": is_ready(front, self.settings.instances),
            "runtime": self.name,
            "url": f"http://127.0.0.1:{self.settings.port}/",
            "port": self.settings.port,
            "redis_port": None,
            "front": front,
            "redis": {"primary": "redis-primary", "replicates": True},
        }

    def probe(self, *arguments):
        """Runs `confab probe` in a pod, on its own instance, for a pod may not reach the front: whether it worked, and what
        it said."""
        command = ["/usr/local/bin/confab", "probe", *arguments]
        done = self.kubectl("-n", NAMESPACE, "exec", "deploy/confab", "--", *command, quiet=True)
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def up(self):
        if not self.settings.port:
            raise Problem("LOCAL_PORT=0: kind needs a port; any free one is for native only")
        if not self.status():
            if self.down():
                print("local: what an earlier start left is cleaned away")
            free_port(self.settings.port, "LOCAL_PORT")
        docker.prepare_images(self.settings.images)
        make_state(self.state)
        secrets = SecretFiles(self.state / "secrets")
        secrets.make()
        if not self.marker.exists():
            self.marker.touch()
            cluster = string.Template((HERE / "kind.yaml").read_text()).substitute(LOCAL_PORT=self.settings.port)
            made = ["kind", "create", "cluster", "--name", CLUSTER, "--image", self.settings.images["LOCAL_NODE_IMAGE"]]
            self.must("kind create cluster", subprocess.run([*made, "--config=-"], input=cluster, text=True, check=False))
        for setting in docker.BUILT:
            load = ["kind", "load", "docker-image", "--name", CLUSTER, self.settings.images[setting]]
            self.must("kind load", subprocess.run(load, check=False))
        self.apply_secrets(secrets.home)
        instances = max(self.settings.instances, 1)
        self.must("kubectl apply", self.kubectl("apply", "-k", str(HERE / "kustomize" / "overlays" / "kind")))
        self.must("kubectl scale", self.kubectl("-n", NAMESPACE, "scale", "deploy/confab", f"--replicas={instances}"))
        for what in ("statefulset/redis-primary", "statefulset/redis-replica", "deploy/redis", "deploy/confab", "deploy/front"):
            waited = self.kubectl("-n", NAMESPACE, "rollout", "status", what, f"--timeout={READY_WITHIN_S}s")
            self.must(f"waiting for {what}", waited)
        return self.status() or {}

    def apply_secrets(self, home):
        namespace = HERE / "kustomize" / "overlays" / "kind" / "namespace.yaml"
        self.must("kubectl apply", self.kubectl("apply", "-f", str(namespace)))
        for name, files in SECRETS.items():
            given = [f"--from-file={home / file}" for file in files]
            made = self.kubectl(
                "-n", NAMESPACE, "create", "secret", "generic", name, *given, "--dry-run=client", "-o", "json", quiet=True
            )
            self.must(f"the secret {name}", made)
            self.must(f"the secret {name}", self.kubectl("apply", "-f", "-", text=made.stdout))

    def down(self):
        there = self.marker.exists()
        if there:
            subprocess.run(["kind", "delete", "cluster", "--name", CLUSTER], check=False)
            shutil.rmtree(self.state, ignore_errors=True)
        return there

    def logs(self, follow):
        selector = "app.kubernetes.io/name"
        self.kubectl("-n", NAMESPACE, "logs", "-l", selector, "--prefix", "--tail=100", *(["-f"] if follow else []))
