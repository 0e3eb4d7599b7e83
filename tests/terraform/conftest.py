"""Fixtures: a stack per test, closed at its end; nothing that needs terraform runs without it."""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from stack import Stack, has_terraform  # noqa: E402
from standin.catalogue import NEW  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "long" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="slow: runs with --long"))
        if {"stack_of"} & set(item.fixturenames) and not has_terraform():
            item.add_marker(pytest.mark.skip(reason="terraform isn't installed"))


@pytest.fixture
def stack_of(tmp_path):
    """Makes an initialised Stack of a folder: stack_of(folder, variables, …)."""
    made, numbers = [], itertools.count()

    def make(folder, variables=None, **more):
        stack = Stack(Path(folder), tmp_path / f"run{next(numbers)}", variables, **more)
        made.append(stack)
        return stack.init()

    yield make
    for stack in made:
        stack.close()


@pytest.fixture
def text_stack(stack_of, tmp_path):
    """Makes a Stack of a few lines of HCL, with the providers set up."""
    numbers = itertools.count()

    def make(text, **more):
        folder = tmp_path / f"text{next(numbers)}"
        folder.mkdir()
        (folder / "main.tf").write_text(PREAMBLE + text)
        stack = stack_of(folder, **more)
        stack.edit = lambda old, new: (folder / "main.tf").write_text(
            (folder / "main.tf").read_text().replace(old, new)
        )
        return stack

    return make


PREAMBLE = """
terraform {
  required_providers {
    google = { source = "hashicorp/google" }
    time   = { source = "hashicorp/time" }
  }
}
provider "google" {
  project = "demo-project"
  region  = "europe-west1"
}
resource "google_project_service" "all" {
  for_each = toset(["compute", "vpcaccess", "redis", "run", "secretmanager", "iam", "cloudresourcemanager", "cloudscheduler"])
  service  = "${each.key}.googleapis.com"
}
"""


@pytest.fixture
def offered(stack_of):
    """Makes an initialised Stack of one of the offered stacks: offered(stacks.ROOT, more="variables")."""

    def make(offer, version=NEW, path=None, **variables):
        stack = stack_of(offer.folder, offer.variables | variables, var_file=offer.var_file, version=version, path=path)
        offer.put_seed(stack.project)
        return stack

    return make


NOT_CHECKED = (
    "quotas, prices, regional availability and how long Google takes",
    "whether whoever applies has the rights (terraform/deploy_roles.py asks Google)",
    "the container itself: here a revision starts unless a test says that it doesn't",
    "what the provider or an API refuses and standin/google/ doesn't know",
)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("what a stand-in can't know")
    for line in NOT_CHECKED:
        terminalreporter.line(f"not checked here: {line}")
