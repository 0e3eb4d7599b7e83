"""What each description says about the one service, in one vocabulary: fact → value, both strings.

`cloud` is Terraform's plan, the others are k8s-local's. A value that only the apply knows is `KNOWN_LATER`.
"""

import http.server
import json
import os
import re
import subprocess
import threading
from pathlib import Path

from conftest import ROOT
from manifests import K8S_LOCAL, built, compose, named

KNOWN_LATER = "known after the apply"

# What Cloud Run sets without being told (its container contract), beside what is taken from the plan; and how long it waits
# between SIGTERM and SIGKILL.
PLATFORM = {"K_REVISION": KNOWN_LATER}
GRACE_S = "10"

PROBES = ("startup", "liveness", "readiness")


def mebibytes(text):
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]*)", str(text)).groups()
    return str(int(number) * {"mi": 1, "gi": 1024, "m": 1, "g": 1024, "mb": 1, "gb": 1024}[unit.lower()])


def probe_facts(name, path, period, timeout, failures):
    numbers = {"period_s": period, "timeout_s": timeout, "failures": failures}
    return {f"probe.{name}.path": path} | {f"probe.{name}.{key}": f"{value:g}" for key, value in numbers.items()}


def redis_conf_facts(text):
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {
        "redis.policy": lines["maxmemory-policy"],
        "redis.memory_mib": mebibytes(lines["maxmemory"]),
        "redis.tls": str("tls-port" in lines and lines["port"] == "0"),
        "redis.auth": str("aclfile" in lines),
        "redis.snapshots": str(lines["save"] != '""'),
    }


def front_facts(arguments, environment=None):
    """`environment` is what $(NAME) in an argument stands for, as in Kubernetes."""
    arguments = [re.sub(r"\$\((\w+)\)", lambda match: environment[match[1]], argument) for argument in arguments]
    told = dict(argument.removeprefix("--").split("=", 1) for argument in arguments if "=" in argument)
    return {"concurrency": told["concurrency"], "request_timeout_ms": told["request-timeout-ms"]}


def secret_facts(files):
    """Of files by their paths below /secrets: each is made by the stack, and is in the Secret that kind's runtime makes of it."""
    from stack.kind import SECRETS

    names = {file: name for name, made in SECRETS.items() for file in made}
    return {f"secret./secrets/{file}": names[file] for file in files}


def environment_facts(environment):
    return {f"env.{name}": str(value) for name, value in environment.items()}


def cloud():
    python = ROOT / ".cache" / "terraform" / "venv" / "bin" / "python"
    path = f"{os.environ['PATH']}:{ROOT / '.cache' / 'terraform' / 'path'}"
    done = subprocess.run(
        [python, "-B", Path(__file__).parent / "cloud_plan.py"],
        env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    plan = json.loads(done.stdout)
    (service,), (redis,) = plan["google_cloud_run_v2_service"], plan["google_redis_instance"]
    (template,) = service["template"]
    (container,) = template["containers"]
    (resources,), (port,) = container["resources"], container["ports"]
    environment = PLATFORM | {"PORT": str(port["container_port"]), "K_SERVICE": service["name"], "K_CONFIGURATION": service["name"]}
    environment |= {one["name"]: one.get("value") or KNOWN_LATER for one in container["env"]}
    folders = {mount["name"]: mount["mount_path"] for mount in container["volume_mounts"]}
    facts = environment_facts(environment) | {
        "port": str(port["container_port"]),
        "http": port["name"],
        "cpu": resources["limits"]["cpu"],
        "memory_mib": mebibytes(resources["limits"]["memory"]),
        "concurrency": str(template["max_instance_request_concurrency"]),
        "request_timeout_ms": str(int(template["timeout"].removesuffix("s")) * 1000),
        "grace_s": GRACE_S,
        "instances.least": str(template["scaling"][0]["min_instance_count"]),
        "redis.version": ".".join(redis["redis_version"].removeprefix("REDIS_").split("_")),
        "redis.policy": redis["redis_configs"]["maxmemory-policy"],
        "redis.memory_mib": str(redis["memory_size_gb"] * 1024),
        "redis.tls": str(redis["transit_encryption_mode"] == "SERVER_AUTHENTICATION"),
        "redis.auth": str(redis["auth_enabled"]),
        "redis.replica": str(redis["tier"] == "STANDARD_HA"),
        "redis.snapshots": str(redis["persistence_config"][0]["persistence_mode"] != "DISABLED"),
    }
    for volume in template["volumes"]:
        (secret,) = volume["secret"]
        for item in secret["items"]:
            facts[f"secret.{folders[volume['name']]}/{item['path']}"] = secret["secret"]
    for name in PROBES:
        (probe,) = container[f"{name}_probe"]
        facts |= probe_facts(
            name, probe["http_get"][0]["path"], probe["period_seconds"], probe["timeout_seconds"], probe["failure_threshold"]
        )
    return facts


def kubernetes(overlay):
    from stack.kind import SECRETS

    objects = built(K8S_LOCAL / "kustomize" / "overlays" / overlay)
    deployment = named(objects, "Deployment", "confab")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (port,) = container["ports"]
    (reference,) = container["envFrom"]
    settings = named(objects, "ConfigMap", reference["configMapRef"]["name"])["data"]
    (front,) = named(objects, "Deployment", "front")["spec"]["template"]["spec"]["containers"]
    references = {one["name"]: one["valueFrom"]["configMapKeyRef"] for one in front["env"]}
    told = {name: named(objects, "ConfigMap", one["name"])["data"][one["key"]] for name, one in references.items()}
    node = named(objects, "StatefulSet", "redis-primary")["spec"]["template"]["spec"]
    conf_name = next(volume["configMap"]["name"] for volume in node["volumes"] if volume["name"] == "conf")
    facts = environment_facts(settings | {one["name"]: one["value"] for one in container.get("env", [])}) | {
        "port": str(port["containerPort"]),
        "http": port["name"],
        "cpu": container["resources"]["limits"]["cpu"],
        "memory_mib": mebibytes(container["resources"]["limits"]["memory"]),
        "grace_s": str(pod["terminationGracePeriodSeconds"]),
        "instances.least": str(deployment["spec"]["replicas"]),
        "redis.version": re.search(r":(\d+\.\d+)", node["containers"][0]["image"])[1],
        "redis.replica": str(any(one["metadata"]["name"] == "redis-replica" for one in objects)),
    }
    facts |= front_facts(front["args"], told) | redis_conf_facts(named(objects, "ConfigMap", conf_name)["data"]["redis.conf"])
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        for file in SECRETS[secrets[mount["name"]]]:
            facts[f"secret.{mount['mountPath']}/{Path(file).name}"] = secrets[mount["name"]]
    for name in PROBES:
        probe = container[f"{name}Probe"]
        facts |= probe_facts(
            name, probe["httpGet"]["path"], probe["periodSeconds"], probe["timeoutSeconds"], probe["failureThreshold"]
        )
    return facts


def asked_by_health(program):
    """The path that `confab health` asks for, as a server hears it."""
    heard = []

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {"PATH": os.environ["PATH"], "PORT": str(server.server_port)}
        done = subprocess.run([program, "health"], env=environment, capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == 0 and len(heard) == 1, (done, heard)
    return heard[0]


def containers(program):
    from stack.settings import HERE, read_env_file

    env = read_env_file(HERE / ".env")
    (file,) = compose(environ=env | {"LOCAL_STATE": "/state"})
    service, front, redis = (file["services"][name] for name in ("confab", "front", "redis-primary"))
    environment = {}
    for path in service["env_file"]:
        environment |= read_env_file(HERE / path)
    environment |= service["environment"]
    check = service["healthcheck"]
    seconds = {key: float(check[key].removesuffix("s")) for key in ("interval", "timeout", "start_period")}
    facts = environment_facts(environment) | {
        "port": service["expose"][0],
        "cpu": str(service["cpus"]),
        "memory_mib": mebibytes(service["mem_limit"]),
        "grace_s": service["stop_grace_period"].removesuffix("s"),
        "instances.least": env["LOCAL_INSTANCES"],
        "redis.version": re.search(r":(\d+\.\d+)", redis["image"])[1],
        "redis.replica": str("redis-replica" in file["services"]),
    }
    facts |= front_facts(front["command"]) | redis_conf_facts((HERE / "kustomize/components/redis/redis.conf").read_text())
    assert check["test"] == ["CMD", "/usr/local/bin/confab", "health"]
    facts |= probe_facts("readiness", asked_by_health(program), seconds["interval"], seconds["timeout"], check["retries"])
    mounted = {volume.split(":")[1] for volume in service["volumes"]}
    files = [Path(value) for name, value in environment.items() if name.endswith("_FILE")]
    assert {str(file.parent) for file in files} == mounted
    return facts | secret_facts(str(file.relative_to("/secrets")) for file in files)


def processes(stack):
    """Of a stack that runs: what the kernel says the processes were given."""
    status = stack.status()
    environment = of_process(status["front"]["instances"][0]["pid"], "environ")
    environment = dict(line.split("=", 1) for line in environment)
    front = of_process(status["pids"]["front"], "cmdline")
    pairs = [f"{name}={value}" for name, value in zip(front, front[1:]) if name.startswith("--")]
    wanted = {name: value for name, value in environment.items() if name.startswith(("CONFAB__", "K_")) or name == "PORT"}
    facts = environment_facts(wanted) | front_facts(pairs) | {
        "port": wanted["PORT"],
        "grace_s": f"{status['front']['grace_s']:g}",
        "instances.least": str(len(status["front"]["instances"])),
        "redis.replica": str(status["redis"]["replicates"]),
        "redis.version": re.search(
            r"v=(\d+\.\d+)", subprocess.check_output(["redis-server", "--version"], text=True)
        )[1],
    }  # fmt: skip
    facts |= redis_conf_facts((stack.state / "redis-a.conf").read_text())
    for name, probe in status["front"]["probes"].items():
        facts |= probe_facts(name, probe["path"], probe["period_s"], probe["timeout_s"], probe["failures"])
    files = [Path(value) for name, value in wanted.items() if name.endswith("_FILE")]
    assert all(file.exists() for file in files), files
    return facts | secret_facts(str(file.relative_to(stack.state / "secrets")) for file in files)


def of_process(pid, what):
    return [part.decode() for part in Path(f"/proc/{pid}/{what}").read_bytes().split(b"\0") if part]


def settings_of_the_program(program):
    listed = json.loads(subprocess.check_output([program, "check", "--list"], text=True))
    return {row["env"] for row in listed}
