"""The manifests against the schemas of those who read them, in every combination."""

import itertools
import subprocess
import sys

import kubernetes_validate
import pytest
from manifests import COMPONENTS, HAS_KUBECTL, K8S_LOCAL, LAYERS, OVERLAYS, built, combined, compose, dockerfiles, yaml_files
from stack.settings import read_env_file

kubectl = pytest.mark.skipif(not HAS_KUBECTL, reason="kubectl isn't installed: kustomize's output isn't checked")

# The oldest version that still gets fixes, and the newest that the schemas know.
VERSIONS = ("1.34.0", "1.37.0")


def assert_valid(objects):
    for one in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def combinations():
    return [pick for count in range(len(COMPONENTS) + 1) for pick in itertools.combinations(COMPONENTS, count)]


@kubectl
@pytest.mark.parametrize("components", combinations(), ids="+".join)
def test_every_combination_of_components_is_valid(components, tmp_path):
    objects = built(combined(components, tmp_path))
    assert_valid(objects)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))


@kubectl
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


@kubectl
def test_what_is_mounted_is_what_the_runtime_makes():
    from stack.kind import SECRETS

    used = set()
    for one in built(K8S_LOCAL / "kustomize" / "overlays" / "kind"):
        pod = one.get("spec", {}).get("template", {}).get("spec", {})
        used |= {volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume}
    assert used == set(SECRETS)


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
