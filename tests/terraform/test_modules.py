"""Each module's own tests, run by terraform, and the examples in the modules' READMEs."""

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


EXAMPLE = re.compile(r"```hcl\n(.*?)```", re.DOTALL)
CHECKOUT = TERRAFORM / "modules" / "image" / "tests" / "checkout"


def test_the_examples_in_the_modules_readmes_fit_together(text_stack):
    """One configuration of all of them: they refer to each other, so each is planned with what another hands out."""
    modules = sorted(folder for folder in (TERRAFORM / "modules").iterdir() if folder.is_dir())
    examples = "\n".join(EXAMPLE.search((folder / "README.md").read_text())[1] for folder in modules)
    text = examples.replace('"./modules/', f'"{TERRAFORM}/modules/').replace("/path/to/the/checkout", str(CHECKOUT))
    planned = text_stack(text.replace("sha256:…", "sha256:" + "0" * 64)).plan()
    planned_modules = {address.split(".")[1] for address in planned.actions if address.startswith("module.")}
    assert planned_modules == {folder.name.replace("-", "_") for folder in modules}
