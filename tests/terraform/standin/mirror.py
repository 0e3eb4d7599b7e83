"""A filesystem mirror from which `terraform init` installs the stand-ins.

Owns: the mirror's layout and terraform's CLI configuration for it. May use: catalogue.

Each plugin is a three-line program that starts `python -m standin.mirror NAME VERSION`; terraform starts it as it
would the real one. The imaginary project is then kept in the file that CONFAB_STANDIN_PROJECT names.
"""

import os
import platform
import shutil
import sys
from pathlib import Path

from .catalogue import CACHE, HERE, NEW, OLD, google_schema, providers
from .project import Project
from .server import serve_as_plugin

VERSIONS = {"google": (NEW, OLD), "time": ("0.14.1",)}
TIME_VERSION = "0.14.2"
"""The genuine time provider, where it could be built; terraform prefers it to the stand-in, which is one older."""
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def build(folder: Path):
    """Makes the mirror in `folder` and returns the CLI configuration file that points to it."""
    registry = google_schema(NEW)["registry"]
    for name, versions in VERSIONS.items():
        for version in versions:
            home = folder / registry / "hashicorp" / name / version / f"linux_{ARCHITECTURE}"
            home.mkdir(parents=True, exist_ok=True)
            plugin = home / f"terraform-provider-{name}_v{version}"
            plugin.write_text(
                f'#!/bin/sh\nPYTHONPATH="{HERE}" exec "{sys.executable}" -m standin.mirror {name} {version}\n'
            )
            plugin.chmod(0o755)
    genuine = CACHE / "bin" / "terraform-provider-time"
    if genuine.exists():
        home = folder / registry / "hashicorp" / "time" / TIME_VERSION / f"linux_{ARCHITECTURE}"
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy2(genuine, home / f"terraform-provider-time_v{TIME_VERSION}")
    configuration = folder / "terraformrc"
    configuration.write_text(
        f'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{ path = "{folder}" }}\n}}\n'
    )
    return configuration


def main(name, version):
    file = os.environ.get("CONFAB_STANDIN_PROJECT")
    project = Project(Path(file) if file else None)
    served, _ = providers(project, version if name == "google" else NEW)
    serve_as_plugin(next(provider for provider in served if provider.name == name))


if __name__ == "__main__":
    main(*sys.argv[1:])
