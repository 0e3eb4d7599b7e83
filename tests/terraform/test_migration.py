"""Taking over what somebody made by the tutorial's commands, by the words of docs/from-the-tutorial.md."""

import re
import shutil

import pytest

from stack import TERRAFORM
from stacks import IMAGE
from standin.catalogue import ROOT

NAMES = {"PROJECT_ID": "demo-project", "REGION": "us-central1", "INSTANCE_ID": "chat-redis", "CONNECTOR": "chat-way"}
ADOPTED = {
    "module.redis.google_redis_instance.this",
    "module.connector[0].google_vpc_access_connector.this",
    "module.identity.google_service_account.this",
    "module.service.google_cloud_run_v2_service.this",
}
BY_HAND = """
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}
provider "google" {
  project = "demo-project"
  region  = "us-central1"
}
resource "google_project_service" "all" {
  for_each = toset(["vpcaccess", "redis", "run", "iam"])
  service  = "${each.key}.googleapis.com"
}
resource "google_redis_instance" "tutorial" {
  name               = "chat-redis"
  memory_size_gb     = 1
  redis_version      = "REDIS_7_0"
  authorized_network = "projects/demo-project/global/networks/default"
  depends_on         = [google_project_service.all]
}
resource "google_vpc_access_connector" "tutorial" {
  name          = "chat-way"
  network       = "default"
  ip_cidr_range = "10.8.0.0/28"
  min_instances = 2
  max_instances = 10
  depends_on    = [google_project_service.all]
}
resource "google_service_account" "tutorial" {
  account_id = "chat-identity"
  depends_on = [google_project_service.all]
}
resource "google_cloud_run_v2_service" "tutorial" {
  name                = "chat-app"
  location            = "us-central1"
  deletion_protection = false
  template {
    service_account = google_service_account.tutorial.email
    timeout         = "3600s"
    containers {
      image = "us-central1-docker.pkg.dev/elsewhere/cloud-run-source-deploy/chat-app:1"
      env {
        name  = "REDISHOST"
        value = google_redis_instance.tutorial.host
      }
    }
    vpc_access {
      connector = google_vpc_access_connector.tutorial.id
    }
  }
}
"""
"""What the tutorial's gcloud commands leave in a project, as the API would describe it."""


BY_HAND_DIRECT = re.sub(
    r'resource "google_vpc_access_connector".*?\n}\n',
    "",
    BY_HAND.replace(
        "connector = google_vpc_access_connector.tutorial.id",
        'network_interfaces {\n        network    = "default"\n        subnetwork = "default"\n      }',
    ),
    flags=re.DOTALL,
)
"""The same by the page's newer form, with Direct VPC egress."""


@pytest.fixture
def follow_tutorial(stack_of, tmp_path):
    """Leaves a project as somebody has it who followed the tutorial."""

    def follow(text):
        folder = tmp_path / "by-hand"
        folder.mkdir()
        (folder / "main.tf").write_text(text)
        stack = stack_of(folder)
        stack.project.objects["google_compute_network projects/demo-project/global/networks/default"] = {
            "name": "default",
            "project": "demo-project",
        }
        subnetwork = "projects/demo-project/regions/us-central1/subnetworks/default"
        stack.project.objects[f"google_compute_subnetwork {subnetwork}"] = {
            "name": "default",
            "project": "demo-project",
            "region": "us-central1",
            "network": "default",
            "ip_cidr_range": "10.128.0.0/20",
        }
        stack.apply()
        stack.project.log.clear()
        return stack.project

    return follow


def documented():
    """The two files that the document gives, with a reader's names put in."""
    text = (ROOT / "docs" / "from-the-tutorial.md").read_text()
    imports, variables = re.findall(r"```hcl\n(.*?)```", text, re.DOTALL)[:2]
    for name, value in NAMES.items():
        imports, variables = imports.replace(name, value), variables.replace(name, value)
    return imports, variables


def adopt(stack_of, project, tmp_path, imports, variables, adopted):
    """A stack of the real files over what is there already, adopted and settled."""
    copy = tmp_path / "terraform"
    shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    (copy / "imports.tf").write_text(imports)
    (copy / "adopt.tfvars").write_text(variables)
    stack = stack_of(copy, {"image": IMAGE}, project=project, var_file=copy / "adopt.tfvars")
    plan = stack.plan()
    assert {
        change["address"] for change in plan.document["resource_changes"] if "importing" in change["change"]
    } == adopted
    assert {plan.actions.get(address, "none") for address in adopted} <= {"update", "none"}, plan.actions
    assert "replace" not in plan.actions.values() and "delete" not in plan.actions.values()
    stack.apply()
    assert "google_redis_instance" not in project.order("create")
    (copy / "imports.tf").unlink()
    stack.assert_settled()
    return stack


def test_a_service_with_direct_egress_is_adopted_without_a_connector(stack_of, follow_tutorial, tmp_path):
    imports, variables = documented()
    imports = re.sub(r"import {\n  to = module\.connector.*?\n}\n", "", imports, flags=re.DOTALL)
    kept = [line for line in variables.splitlines() if not line.startswith(("network", "connector"))]
    direct = re.search(
        r'`(egress = "direct")` and `(network = .*?)` instead', (ROOT / "docs" / "from-the-tutorial.md").read_text()
    )
    project = follow_tutorial(BY_HAND_DIRECT)
    adopted = ADOPTED - {"module.connector[0].google_vpc_access_connector.this"}
    adopt(stack_of, project, tmp_path, imports, "\n".join([*kept, *direct.groups(), ""]), adopted)
    assert "google_vpc_access_connector" not in project.order("create")


def test_adopting_replaces_nothing_and_moving_leaves_a_stack_like_any_other(stack_of, follow_tutorial, tmp_path):
    imports, variables = documented()
    tutorial = follow_tutorial(BY_HAND)
    stack = adopt(stack_of, tutorial, tmp_path, imports, variables, ADOPTED)

    # "Take out network, connector and everything of redis but its name."
    kept = [
        line
        for line in variables.splitlines()
        if line.startswith(("project_id", "region", "name", "service_account_id"))
    ]
    stack.var_file.write_text("\n".join([*kept, f'redis = {{ name = "{NAMES["INSTANCE_ID"]}" }}', ""]))
    stack.apply()
    stack.assert_settled()
    (redis,) = tutorial.of("google_redis_instance")
    assert (redis["tier"], redis["auth_enabled"]) == ("STANDARD_HA", True)
    stack.destroy()
