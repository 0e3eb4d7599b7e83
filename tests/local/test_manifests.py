"""The manifests against the schemas of those who read them, in every combination."""

import itertools
import re
import subprocess
import sys

import kubernetes_validate
import pytest
from conftest import ROOT
from manifests import (
    COMPONENTS, K8S_LOCAL, KUSTOMIZE_BUILD, LAYERS, NO_KUSTOMIZE, OVERLAYS, built, combined, compose, dockerfiles, named, yaml_files,
)  # fmt: skip
from stack.settings import LAYERS as KNOWN_LAYERS, load, read_env_file

kustomize = pytest.mark.skipif(not KUSTOMIZE_BUILD, reason=NO_KUSTOMIZE)

# The version that kind runs here, and the newest that the schemas know.
VERSIONS = (
    read_env_file(K8S_LOCAL / ".env")["LOCAL_NODE_IMAGE"].rpartition(":v")[2],
    kubernetes_validate.latest_version(),
)


def assert_valid(objects):
    for one in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def combinations():
    return [pick for count in range(len(COMPONENTS) + 1) for pick in itertools.combinations(COMPONENTS, count)]


@kustomize
@pytest.mark.parametrize("components", combinations(), ids="+".join)
def test_every_combination_of_components_is_valid(components, tmp_path):
    objects = built(combined(components, tmp_path))
    assert_valid(objects)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))


@kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_valid_and_asks_for_no_rights(overlay):
    objects = built(K8S_LOCAL / "kustomize" / "overlays" / overlay)
    assert_valid(objects)
    for one in objects:
        assert "rbac" not in one["apiVersion"] and one["kind"] != "ServiceAccount"
        pod = one.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        assert pod["automountServiceAccountToken"] is False
        assert pod["terminationGracePeriodSeconds"] == 10
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])


@kustomize
def test_what_is_mounted_is_what_the_runtime_makes():
    from stack.kind import SECRETS

    used = set()
    for one in built(K8S_LOCAL / "kustomize" / "overlays" / "kind"):
        pod = one.get("spec", {}).get("template", {}).get("spec", {})
        used |= {volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume}
    assert used == set(SECRETS)


@kustomize
def test_kind_is_told_the_settings_and_its_pods_follow_the_images(tmp_path):
    from stack.kind import NAMESPACE, Kind

    settings = load({
        "LOCAL_STATE": str(tmp_path / "state"), "LOCAL_CONCURRENCY": "7", "LOCAL_REQUEST_TIMEOUT_MS": "5000",
        "LOCAL_IMAGE": "registry.example:5000/confab:mine", "LOCAL_REDIS_IMAGE": "redis:7.2.9",
    })  # fmt: skip
    settings.state.mkdir()
    objects = built(Kind(settings).write_overlay(3, {"LOCAL_IMAGE": "sha256:a", "LOCAL_PROXY_IMAGE": "sha256:b"}))
    assert_valid(objects)
    assert {one["metadata"].get("namespace") for one in objects if one["kind"] != "Namespace"} == {NAMESPACE}
    (config,) = [one for one in objects if one["metadata"]["name"].startswith("confab-settings")]
    assert config["data"]["CONFAB__LIMITS__CONNECTIONS"] == "7"
    assert config["data"]["CONFAB__HTTP__REQUEST_TIMEOUT_MS"] == "5000"
    assert config["data"]["CONFAB__STORE__URL"] == "rediss://redis:6378", "what isn't set stays"
    service, front = named(objects, "Deployment", "confab"), named(objects, "Deployment", "front")
    assert service["spec"]["replicas"] == 3
    (instance,), (proxy,) = (one["spec"]["template"]["spec"]["containers"] for one in (service, front))
    assert instance["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    assert {one["valueFrom"]["configMapKeyRef"]["name"] for one in proxy["env"]} == {config["metadata"]["name"]}
    assert (instance["image"], proxy["image"]) == ("registry.example:5000/confab:mine", "confab-proxy:local")
    for node in ("redis-primary", "redis-replica"):
        (container,) = named(objects, "StatefulSet", node)["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "redis:7.2.9"
    for name, image in (("confab", "sha256:a"), ("front", "sha256:b"), ("redis", "sha256:b")):
        pod = named(objects, "Deployment", name)["spec"]["template"]["metadata"]
        assert pod["annotations"] == {"confab-local/image": image}, name


@kustomize
def test_the_recipe_for_any_cluster_names_the_host(tmp_path):
    (patch,) = re.findall(r"<<'END'\n(.*?)END\n", (ROOT / "docs" / "local.md").read_text(), re.DOTALL)
    combined([], tmp_path)
    overlay = tmp_path / "k8s-local" / "kustomize" / "overlays" / "cluster"
    with (overlay / "kustomization.yaml").open("a") as file:
        file.write(patch)
    objects = built(overlay)
    assert_valid(objects)
    assert [rule["host"] for rule in named(objects, "Ingress", "front")["spec"]["rules"]] == ["the.name.of.your.chat"]


def test_every_layer_can_be_asked_for():
    assert set(KNOWN_LAYERS) == set(LAYERS)


@pytest.mark.parametrize("layer", ["", *LAYERS])
def test_compose_files_are_valid(layer):
    file = K8S_LOCAL / (f"compose.{layer}.yaml" if layer else "compose.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_container_of_compose_is_limited_and_its_logs_rotate():
    for file in compose(*LAYERS):
        for name, service in file["services"].items():
            if "image" not in service:
                continue  # a layer's addition to a service of compose.yaml
            assert "mem_limit" in service, name
            if name != "smoke":
                assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
            if name not in ("smoke", "otel"):
                assert service["read_only"] and service["cap_drop"] == ["ALL"] and "healthcheck" in service, name


def test_every_variable_of_compose_has_the_default_of_the_env_file():
    env = read_env_file(K8S_LOCAL / ".env")
    assert compose(*LAYERS) == compose(*LAYERS, environ={name: value for name, value in env.items() if value})


def test_yaml_is_clean():
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-c", ".yamllint", *yaml_files()],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", dockerfiles(), ids=lambda file: str(file.parent.name))
def test_dockerfiles_are_clean(file):
    done = subprocess.run(["hadolint", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_shell_scripts_are_clean():
    done = subprocess.run([ROOT / "tests" / "shell"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
