"""Prints, as JSON, what Terraform plans for the service and Redis with the minimal example. Run with the environment of
tests/terraform, whose stand-in provider it uses."""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "terraform"))

from stack import Stack  # noqa: E402
from stacks import MINIMAL  # noqa: E402

WANTED = ("google_cloud_run_v2_service", "google_redis_instance", "google_secret_manager_secret")

with tempfile.TemporaryDirectory() as scratch:
    stack = Stack(MINIMAL.folder, Path(scratch), MINIMAL.variables, var_file=MINIMAL.var_file)
    try:
        plan = stack.init().plan()
    finally:
        stack.close()
found = {kind: [values for _, type_name, values in plan.resources if type_name == kind] for kind in WANTED}
json.dump(found, sys.stdout)
