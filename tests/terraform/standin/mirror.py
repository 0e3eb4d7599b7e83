"""A filesystem mirror from which `terraform init` installs the stand-ins.

Owns: the mirror's layout and terraform's CLI configuration for it. May use: catalogue.

Each plugin is a three-line program that starts `python -m standin.mirror NAME VERSION`; terraform starts it as it
would the real one. The imaginary project is then kept in the file that CONFAB_STANDIN_PROJECT names.
"""

import os
import platform
import sys
from pathlib import Path

from .catalogue import CACHE, HERE, NEW, OLD, google_schema, providers
from .project import Project
from .server import serve_as_plugin

VERSIONS = {"google": (NEW, OLD), "random": ("3.7.2",), "time": ("0.13.1",)}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def build():
    """Makes the mirror and returns the CLI configuration file that points to it."""
    folder = CACHE / "mirror"
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
    configuration = CACHE / "terraformrc"
    configuration.write_text(
        f'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{folder}"\n  }}\n}}\n'
    )
    return configuration


def main(name, version):
    file = os.environ.get("CONFAB_STANDIN_PROJECT")
    project = Project(Path(file) if file else None)
    served, _ = providers(project, version if name == "google" else NEW)
    serve_as_plugin(next(provider for provider in served if provider.name == name))


if __name__ == "__main__":
    main(*sys.argv[1:])
