"""Each module's own tests, run by terraform."""

import re

import pytest

from stack import TERRAFORM

FOLDERS = sorted(
    {file.parent.parent for file in TERRAFORM.rglob("tests/*.tftest.hcl") if ".terraform" not in file.parts}
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(TERRAFORM.parent)))
def test_terraform_test_passes(stack_of, folder):
    done = stack_of(folder).terraform("test")
    assert done.code == 0, done.output
    passed = re.search(r"Success! (\d+) passed, 0 failed", done.output)
    assert passed and int(passed[1]) > 0, done.output
