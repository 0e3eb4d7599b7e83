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
from manifests import HAS_KUBECTL, OVERLAYS

HERE = Path(__file__).parent
DIFFERENCES = tomllib.loads((HERE / "differences.toml").read_text())["difference"]


@pytest.fixture(scope="module")
def descriptions(running):
    if not shutil.which("terraform") and not (ROOT / ".cache/terraform/path/terraform").exists():
        pytest.skip("terraform isn't installed and couldn't be had: nothing to compare with")
    found = {"cloud": facts.cloud(), "compose": facts.containers(), "processes": facts.processes(running)}
    if HAS_KUBECTL:
        found |= {overlay: facts.kubernetes(overlay) for overlay in OVERLAYS}
    return found


def differing(descriptions):
    """(where, fact, value there, value in the cloud) of everything that differs."""
    cloud = descriptions["cloud"]
    for where, local in descriptions.items():
        if where == "cloud":
            continue
        for fact in sorted(cloud.keys() | local.keys()):
            if local.get(fact) != cloud.get(fact):
                yield where, fact, local.get(fact, "absent"), cloud.get(fact, "absent")


def reason(where, fact, value):
    """Why it may differ, by the file."""
    for row in DIFFERENCES:
        same = where in row["where"] and fnmatch.fnmatchcase(fact, row["fact"]) and fnmatch.fnmatchcase(value, row["value"])
        if same:
            return row
    return None


def test_whatever_differs_has_a_reason(descriptions):
    unexplained = [
        f"{where}: {fact} is {value}, in the cloud {in_cloud}"
        for where, fact, value, in_cloud in differing(descriptions)
        if reason(where, fact, value) is None
    ]
    assert not unexplained, "not in differences.toml:\n" + "\n".join(unexplained)


def test_every_reason_is_needed(descriptions):
    needed = {(id(reason(where, fact, value)), where) for where, fact, value, _ in differing(descriptions)}
    stale = [
        f"{where}: {row['fact']}"
        for row in DIFFERENCES
        for where in row["where"]
        if where in descriptions and (id(row), where) not in needed and not row.get("depends_on_the_machine")
    ]
    assert not stale, f"in differences.toml, and no difference: {stale}"


def test_most_facts_are_equal_everywhere(descriptions):
    """So that a description that lost its facts doesn't pass for one that agrees."""
    for where, local in descriptions.items():
        same = [fact for fact, value in local.items() if descriptions["cloud"].get(fact) == value]
        assert len(same) >= (20 if where in ("compose", "processes") else 30), (where, same)


def test_every_setting_is_one_that_the_program_knows(descriptions):
    program = os.environ.get("LOCAL_PROGRAM") or ROOT / "target" / "debug" / "confab"
    known = facts.settings_of_the_program(program)
    assert len(known) > 40
    for where, local in descriptions.items():
        used = {fact.removeprefix("env.") for fact in local if fact.startswith("env.CONFAB__")}
        assert len(used) >= 9 and used <= known, (where, used - known)
