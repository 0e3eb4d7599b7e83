"""One contract: Terraform, Kubernetes, compose and the plain processes describe the same service.

A fact that differs from what Terraform plans must stand in differences.toml with its value and the reason, and what stands
there must really differ.
"""

import fnmatch
import os
import shutil
import tomllib
from pathlib import Path

import facts
import pytest
from conftest import ROOT
from manifests import KUSTOMIZE_BUILD, NO_KUSTOMIZE, OVERLAYS

HERE = Path(__file__).parent
DIFFERENCES = tomllib.loads((HERE / "differences.toml").read_text())["difference"]


@pytest.fixture(scope="module")
def descriptions(running):
    if not shutil.which("terraform") and not (ROOT / ".cache/terraform/path/terraform").exists():
        pytest.skip("terraform isn't installed and couldn't be had: nothing to compare with")
    found = {"cloud": facts.cloud(), "compose": facts.containers(program()), "processes": facts.processes(running)}
    if KUSTOMIZE_BUILD:
        found |= {overlay: facts.kubernetes(overlay) for overlay in OVERLAYS}
    return found


def program():
    return os.environ.get("LOCAL_PROGRAM") or ROOT / "target" / "debug" / "confab"


@pytest.fixture(params=["compose", "processes", *OVERLAYS])
def where(request):
    """One of those that are compared with the cloud."""
    if request.param in OVERLAYS and not KUSTOMIZE_BUILD:
        pytest.skip(NO_KUSTOMIZE)
    return request.param


def differing(descriptions, where):
    """(fact, value there, value in the cloud) of everything that differs."""
    cloud, local = descriptions["cloud"], descriptions[where]
    for fact in sorted(cloud.keys() | local.keys()):
        if local.get(fact) != cloud.get(fact):
            yield fact, local.get(fact, "absent"), cloud.get(fact, "absent")


def reason(where, fact, value):
    """Why it may differ, by the file."""
    for row in DIFFERENCES:
        same = where in row["where"] and fnmatch.fnmatchcase(fact, row["fact"]) and fnmatch.fnmatchcase(value, row["value"])
        if same:
            return row
    return None


def test_whatever_differs_has_a_reason(descriptions, where):
    unexplained = [
        f"{fact} is {value}, in the cloud {in_cloud}"
        for fact, value, in_cloud in differing(descriptions, where)
        if reason(where, fact, value) is None
    ]
    assert not unexplained, f"not in differences.toml for {where}:\n" + "\n".join(unexplained)


def test_every_reason_is_needed(descriptions, where):
    needed = {id(reason(where, fact, value)) for fact, value, _ in differing(descriptions, where)}
    stale = [
        row["fact"]
        for row in DIFFERENCES
        if where in row["where"] and id(row) not in needed and not row.get("depends_on_the_machine")
    ]
    assert not stale, f"in differences.toml for {where}, and no difference: {stale}"


def test_no_reason_is_for_somewhere_else():
    assert {where for row in DIFFERENCES for where in row["where"]} <= {"compose", "processes", *OVERLAYS}


def test_most_facts_are_equal_everywhere(descriptions, where):
    """So that a description that lost its facts doesn't pass for one that agrees."""
    same = [fact for fact, value in descriptions[where].items() if descriptions["cloud"].get(fact) == value]
    assert len(same) >= (20 if where in ("compose", "processes") else 30), same


def test_every_setting_is_one_that_the_program_knows(descriptions, where):
    assert_known(descriptions[where])


def test_every_setting_of_the_cloud_is_one_that_the_program_knows(descriptions):
    assert_known(descriptions["cloud"])


def assert_known(description):
    known = facts.settings_of_the_program(program())
    assert len(known) > 40
    used = {fact.removeprefix("env.") for fact in description if fact.startswith("env.CONFAB__")}
    assert len(used) >= 9 and used <= known, used - known
