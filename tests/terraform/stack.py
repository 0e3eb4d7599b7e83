"""One terraform stack under test: a folder, its variables, a state outside the tree, and the imaginary project.

Owns: running terraform and reading its plans. Must not know: what a stack contains. May use: standin.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from standin.catalogue import NEW, ROOT, providers
from standin.project import Project
from standin.server import Running

TERRAFORM = ROOT / "terraform"
TIMEOUT_S = 600


@dataclass
class Outcome:
    """What a terraform command did."""

    code: int
    output: str

    @property
    def why(self):
        """The output from the first error on: what a failed test shows."""
        return self.output[max(self.output.find("Error:"), 0) :]

    @property
    def flat(self):
        """The output as one line without terraform's frame, so that a wrapped message can be searched."""
        return " ".join(self.output.replace("│", " ").split())


class Stack:
    """`folder` is planned and applied in place; everything terraform writes goes to `scratch`."""

    def __init__(
        self, folder: Path, scratch: Path, variables=None, project=None, version=NEW, path=None, var_file=None
    ):
        self.folder, self.scratch, self.var_file = folder, scratch, var_file
        self.variables = dict(variables or {})
        self.project = project or Project()
        served, registry = providers(self.project, version, extra=[folder])
        self._running = Running(served, registry)
        scratch.mkdir(parents=True, exist_ok=True)
        self.environment = (
            os.environ
            | self._running.environment
            | {
                "TF_CLI_CONFIG_FILE": os.devnull,
                "TF_DATA_DIR": str(scratch / ".terraform"),
                "TF_IN_AUTOMATION": "1",
                "TF_INPUT": "0",
                "CHECKPOINT_DISABLE": "1",
                # Terraform lives for half a second: collecting its garbage would cost a fifth of that.
                "GOGC": "off",
                "GOMEMLIMIT": "1GiB",
                "TF_CLI_ARGS": "-no-color",
            }
        )
        if path:
            self.environment["PATH"] = f"{path}:{os.environ['PATH']}"

    def close(self):
        self._running.stop()

    def terraform(self, *arguments):
        done = subprocess.run(
            ["terraform", f"-chdir={self.folder}", *arguments],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Outcome(done.returncode, done.stdout)

    def _arguments(self, variables):
        given = [f"-state={self.scratch}/terraform.tfstate", "-lock=false"]
        if self.var_file:
            given.append(f"-var-file={self.var_file}")
        for name, value in (self.variables | variables).items():
            given.append(f"-var={name}={value if isinstance(value, str) else json.dumps(value)}")
        return given

    def init(self):
        done = self.terraform("init", "-backend=false")
        assert done.code == 0, done.why
        return self

    def plan(self, *more, **variables):
        """The plan as terraform describes it in JSON; fails the test if there is none."""
        file = self.scratch / "plan"
        done = self.terraform("plan", f"-out={file}", *self._arguments(variables), *more)
        assert done.code == 0, done.why
        shown = self.terraform("show", "-json", str(file))
        assert shown.code == 0, shown.why
        return Plan(json.loads(shown.output), done)

    def try_plan(self, **variables):
        return self.terraform("plan", *self._arguments(variables))

    def try_apply(self, **variables):
        return self.terraform("apply", "-auto-approve", *self._arguments(variables))

    def apply(self, **variables):
        done = self.try_apply(**variables)
        assert done.code == 0, done.why
        return done

    def apply_through_faults(self):
        """Applies with every create failing once, until nothing fails any more; then it has to be settled."""
        self.project.fail_each_create_once = True
        applies = 1
        while (done := self.try_apply()).code != 0:
            assert "injected fault" in done.flat, done.why[-3000:]
            applies += 1
            assert applies < 40, "the stack never settles"
        self.assert_settled()
        assert len(self.project.failed) == len(self.project.order("create")), "not every create has failed once"
        self.project.fail_each_create_once = False

    def apply_planned(self):
        """Applies what `plan` has just planned."""
        done = self.terraform("apply", f"-state={self.scratch}/terraform.tfstate", str(self.scratch / "plan"))
        assert done.code == 0, done.why
        return done

    def assert_settled(self, **variables):
        """Nothing is left to do: neither a change nor a new output."""
        done = self.terraform("plan", "-detailed-exitcode", *self._arguments(variables))
        assert done.code == 0, done.output

    def try_destroy(self, **variables):
        return self.terraform("destroy", "-auto-approve", *self._arguments(variables))

    def destroy(self, **variables):
        done = self.try_destroy(**variables)
        assert done.code == 0, done.why
        return done

    def state(self):
        return json.loads((self.scratch / "terraform.tfstate").read_text())

    def outputs(self):
        return {name: output["value"] for name, output in self.state()["outputs"].items()}


class Plan:
    """A plan: what happens to which address."""

    def __init__(self, document, outcome):
        self.document, self.outcome = document, outcome

    @property
    def actions(self):
        """Address to `create`, `update`, `delete` or `replace`; what stays and what is only read is left out."""
        found = {}
        for change in self.document.get("resource_changes", []):
            actions = change["change"]["actions"]
            if actions not in (["no-op"], ["read"]):
                found[change["address"]] = "replace" if len(actions) == 2 else actions[0]
        return found

    @property
    def resources(self):
        """Every managed resource after the apply: (address, type, values)."""

        def walk(module):
            for resource in module.get("resources", []):
                if resource["mode"] == "managed":
                    yield resource["address"], resource["type"], resource["values"]
            for child in module.get("child_modules", []):
                yield from walk(child)

        return list(walk(self.document["planned_values"]["root_module"]))


def left_over(project):
    """What a destroy should have taken away; APIs stay enabled on purpose."""
    return [key for key in project.objects if not key.startswith("google_project_service ")]


def has_terraform():
    return shutil.which("terraform") is not None
