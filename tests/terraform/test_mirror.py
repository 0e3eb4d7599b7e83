"""Installed by `terraform init` from a mirror, as real providers are: version constraints and the genuine time."""

import json
import os
import shutil
import subprocess

import pytest

import stacks
from stack import TERRAFORM, has_terraform
from standin import mirror, sleeping
from standin.catalogue import CACHE, NEW, OLD

pytestmark = pytest.mark.skipif(not has_terraform(), reason="terraform isn't installed")
PIN = """
terraform {
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "VERSION"
    }
  }
}
"""
TIME = CACHE / "bin" / "terraform-provider-time"


@pytest.fixture
def installed(tmp_path):
    """Runs terraform on a copy of the tree whose providers come from the mirror."""
    shutil.copytree(TERRAFORM, tmp_path / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
    environment = os.environ | {
        "TF_CLI_CONFIG_FILE": str(mirror.build(tmp_path / "mirror")),
        "TF_CLI_ARGS": "-no-color",
        "CONFAB_STANDIN_PROJECT": str(tmp_path / "project.json"),
    }

    def terraform(*arguments):
        done = subprocess.run(
            ["terraform", f"-chdir={tmp_path}/terraform", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    terraform.folder = tmp_path / "terraform"
    return terraform


VARIABLES = [f"-var={name}={value}" for name, value in stacks.ROOT.variables.items()]


@pytest.mark.parametrize("version", [NEW, OLD])
def test_the_constraints_admit_both_provider_generations(installed, version):
    pin = installed.folder / "versions_override.tf"
    pin.write_text(PIN.replace("VERSION", version))
    assert f"Installing hashicorp/google v{version}" in installed("init")
    installed("validate")
    assert "to add, 0 to change, 0 to destroy" in installed("plan", *VARIABLES)


@pytest.mark.skipif(not TIME.exists(), reason="the genuine time provider isn't built: go isn't installed")
def test_the_genuine_time_provider_has_what_the_stand_in_serves(installed):
    installed("init")
    document = json.loads(installed("providers", "schema", "-json"))["provider_schemas"]
    (genuine,) = [schema for address, schema in document.items() if address.endswith("/hashicorp/time")]
    for type_name, served in sleeping.SCHEMA["resources"].items():
        attributes = genuine["resource_schemas"][type_name]["block"]["attributes"]
        for name, attribute in served["attributes"].items():
            assert attributes[name]["type"] == attribute["type"], f"{type_name}.{name}"
            assert attributes[name].get("computed", False) == attribute["computed"], f"{type_name}.{name}"
    version = installed("version")
    assert "hashicorp/time v" + mirror.TIME_VERSION in version
