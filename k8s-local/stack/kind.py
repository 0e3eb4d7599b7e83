"""The stack in a Kubernetes cluster of one node that kind makes. May use: docker, the secrets.

Any other cluster: `kubectl apply -k kustomize/overlays/cluster` and the secrets by `kubectl create secret`, as docs/local.md says.
"""

import json
import os
import shutil
import string
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

CLUSTER = "confab-local"
CONTEXT = f"kind-{CLUSTER}"
NAMESPACE = "confab"

READY_WITHIN_S = 300

# Pods whose logs are read at a time: more than there are with the most instances.
LOGS = 110

# Where each image is in the manifests: setting → name.
IMAGES = {"LOCAL_IMAGE": "confab", "LOCAL_PROXY_IMAGE": "confab-proxy", "LOCAL_REDIS_IMAGE": "docker.io/library/redis"}

# Deployments whose pods have to be others when an image of the same name is: setting → pattern of their names.
ROLLED = {"LOCAL_IMAGE": "confab", "LOCAL_PROXY_IMAGE": "front|redis"}

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
        self.marker = Marker(self.state, self.name)
        # Whether `up` has begun to start what nobody had up before, so that a failure has something to take down.
        self.begun = False

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
        started = self.marker.read()
        if started is None:
            return None
        front = self.tell("front", "front.sock")
        endpoint = self.tell("redis", "endpoint.sock")
        if front is None or endpoint is None:
            return None
        away = endpoint["target"] == NOWHERE
        asked = about_replication((self.state / "secrets" / "redis-users" / "operator").read_text())
        node = self.kubectl("-n", NAMESPACE, "exec", "-i", "redis-replica-0", "--", *IN_CONTAINER, text=asked, quiet=True)
        replicates = is_linked(node.stdout)
        return {
            "ready": not away and replicates and is_ready(front, started["instances"]),
            "broken": ["Redis's address leads nowhere"] if away else [],
            "runtime": self.name,
            "url": f"http://127.0.0.1:{started['port']}/",
            "port": started["port"],
            "redis_port": None,
            "front": front,
            "redis": {"primary": "nobody" if away else endpoint["target"].partition(":")[0], "replicates": replicates},
        }

    def tell(self, deployment, control, command="status"):
        told = self.kubectl(
            "-n", NAMESPACE, "exec", f"deploy/{deployment}", "--",
            "/usr/local/bin/confab-proxy", "tell", f"/run/control/{control}", *command.split(), quiet=True,
        )  # fmt: skip
        return json.loads(told.stdout) if told.returncode == 0 else None

    def must_tell(self, deployment, control, command):
        """The same, for what is worth nothing unless it was carried out."""
        if self.tell(deployment, control, command) is None:
            raise Problem(f"{command}: the pod of {deployment} wasn't reached, or refused: make local-status")

    def carry_out(self, *command):
        """What kubectl says to a command in the namespace; a Problem where it fails."""
        done = self.kubectl("-n", NAMESPACE, *command, quiet=True)
        if done.returncode:
            raise Problem(f"kubectl {' '.join(command[:3])} failed: {done.stderr.strip()}")
        return done.stdout

    def heal(self, status):
        """Ends what chaos broke and, ended itself, didn't mend."""
        self.must_tell("redis", "endpoint.sock", f"lead {PRIMARY}")
        print(f"local: {', '.join(status['broken'])}: mended")

    def probe(self, *arguments):
        """Runs `confab probe` in a pod, on its own instance, for a pod may not reach the front: whether it worked, and what
        it said."""
        command = ["/usr/local/bin/confab", "probe", *arguments]
        done = self.kubectl("-n", NAMESPACE, "exec", "deploy/confab", "--", *command, quiet=True)
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def up(self):
        wanted = {"port": self.settings.port, "instances": max(self.settings.instances, 1)}
        if not wanted["port"]:
            raise Problem("LOCAL_PORT=0: kind needs a port; any free one is for native only")
        running = self.status()
        if running and running["port"] != wanted["port"]:
            raise Problem(f"LOCAL_PORT={wanted['port']}: the cluster has port {running['port']} for good: make local-down first")
        if running and running["broken"]:
            self.heal(running)
        if not running:
            if self.down():
                print("local: what an earlier start left is cleaned away")
            if stranger := self.stranger():
                raise Problem(stranger)
            check_port(wanted["port"], "LOCAL_PORT")
        docker.prepare_images(self.settings.images, [setting for setting in IMAGES if setting not in docker.BUILT])
        make_state(self.state)
        secrets = SecretFiles(self.state / "secrets")
        secrets.make()
        if not running:
            self.begun = True
            self.marker.write(**wanted)
            cluster = string.Template((HERE / "kind.yaml").read_text()).substitute(LOCAL_PORT=wanted["port"])
            made = ["kind", "create", "cluster", "--name", CLUSTER, "--image", self.settings.images["LOCAL_NODE_IMAGE"]]
            self.must("kind create cluster", subprocess.run([*made, "--config=-"], input=cluster, text=True, check=False))
        for setting in IMAGES:
            load = ["kind", "load", "docker-image", "--name", CLUSTER, self.settings.images[setting]]
            self.must("kind load", subprocess.run(load, check=False))
        self.apply_secrets(secrets.home)
        ids = {setting: docker.image_id(self.settings.images[setting]) for setting in ROLLED}
        self.must("kubectl apply", self.kubectl("apply", "-k", str(self.write_overlay(wanted["instances"], ids))))
        self.marker.write(**wanted)
        for what in ("statefulset/redis-primary", "statefulset/redis-replica", "deploy/redis", "deploy/confab", "deploy/front"):
            waited = self.kubectl("-n", NAMESPACE, "rollout", "status", what, f"--timeout={READY_WITHIN_S}s")
            self.must(f"waiting for {what}", waited)
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            status = self.status()
            if status and status["ready"]:
                return status
            time.sleep(1)
        raise Problem(f"the pods don't get ready within {READY_WITHIN_S} s: kubectl --context {CONTEXT} -n {NAMESPACE} get pods")

    def write_overlay(self, instances, ids):
        """The kind overlay with the settings on it, as a kustomization in the state's folder. `ids` are what the images'
        names stand for at the moment: pods of another one are replaced, and a second `up` with the same replaces none."""
        folder = self.state / "kustomize"
        folder.mkdir(exist_ok=True)
        told = {
            "CONFAB__LIMITS__CONNECTIONS": self.settings.concurrency,
            "CONFAB__HTTP__REQUEST_TIMEOUT_MS": self.settings.request_timeout_ms,
        }
        images = []
        for setting, name in IMAGES.items():
            image, tag = split_image(self.settings.images[setting])
            images.append({"name": name, "newName": image, "newTag": tag})
        annotated = [
            {
                "target": {"kind": "Deployment", "name": names},
                "patch": json.dumps([{
                    "op": "add", "path": "/spec/template/metadata/annotations", "value": {"confab-local/image": ids[setting]}
                }]),
            }
            for setting, names in ROLLED.items()
        ]  # fmt: skip
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            # Relative, because kustomize takes no other.
            "resources": [os.path.relpath(HERE / "kustomize" / "overlays" / "kind", folder.resolve())],
            "images": images,
            "replicas": [{"name": "confab", "count": instances}],
            "configMapGenerator": [{
                "name": "confab-settings", "namespace": NAMESPACE, "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in told.items()],
            }],
            "patches": annotated,
        }  # fmt: skip
        # JSON is YAML.
        (folder / "kustomization.yaml").write_text(json.dumps(overlay, indent=2))
        return folder

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

    def stranger(self):
        """That there is a cluster of the name that this folder doesn't know of, and what to do with it; None where there is
        none."""
        if self.marker.exists() or self.missing():
            return None
        works, clusters = docker.ask("kind", "get", "clusters")
        if not works or CLUSTER not in clusters.split():
            return None
        whose = f"kind has a cluster {CLUSTER} that isn't of {self.state}"
        return f"{whose}: make local-down with the LOCAL_STATE that it is of, or kind delete cluster --name {CLUSTER}"

    def down(self):
        if not self.marker.exists():
            return False
        if missing := self.missing():
            raise Problem(f"kind made the cluster {CLUSTER}, and it can't be taken down: {missing}")
        deleted = subprocess.run(["kind", "delete", "cluster", "--name", CLUSTER], check=False).returncode == 0
        works, clusters = docker.ask("kind", "get", "clusters")
        if not deleted or not works or CLUSTER in clusters.split():
            left = f"the cluster {CLUSTER} is left" if not works or CLUSTER in clusters.split() else "its files are left"
            raise Problem(f"kind delete cluster failed, it says why above; {left}; run it again")
        remove_state(self.state)
        return True

    def logs(self, follow):
        selector = ("-l", "app.kubernetes.io/name", "--prefix", "--tail=100", f"--max-log-requests={LOGS}")
        self.kubectl("-n", NAMESPACE, "logs", *selector, *(["-f"] if follow else []))


def split_image(image):
    """The name and the tag of an image."""
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "latest")
