"""`tests/terraform/tf`: one terraform command against an imaginary project that is kept beside the stack's state.

Owns: the command line. May use: catalogue, server.

CONFAB_STANDIN_FAULTS=type[,type…] makes the next create of each type fail, CONFAB_STANDIN_BAD_IMAGES=image[,image…]
names images whose container never starts, CONFAB_STANDIN_VERSION=7.46.1 serves the older schema.
"""

import os
import subprocess
import sys
from pathlib import Path

from .catalogue import NEW, providers
from .project import Project
from .server import Running


def main(folder, *command):
    stack = Path(folder).resolve()
    file = stack / ".terraform" / "standin-project.json"
    file.parent.mkdir(exist_ok=True)
    project = Project(file)
    project.faults = {name: 1 for name in _listed("CONFAB_STANDIN_FAULTS")}
    project.bad_images = _listed("CONFAB_STANDIN_BAD_IMAGES")
    served, registry = providers(project, os.environ.get("CONFAB_STANDIN_VERSION", NEW), extra=[stack])
    running = Running(served, registry)
    # An empty configuration keeps the user's own mirrors and credentials out of it.
    environment = os.environ | running.environment | {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    try:
        return subprocess.run(["terraform", f"-chdir={stack}", *command], env=environment, check=False).returncode
    finally:
        running.stop()


def _listed(variable):
    return [entry for entry in os.environ.get(variable, "").split(",") if entry]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
