"""Which resources the stacks use, and the providers that serve them.

Owns: finding resource types in .tf files, putting schema, rules and project together.
Must not know: how anything is served. May use: bindings, google, sleeping.
"""

import functools
import os
import re
from pathlib import Path

from . import bindings, google, sleeping
from .project import Project
from .provider import Provider

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("CONFAB_TERRAFORM_CACHE", ROOT / ".cache" / "terraform"))
NEW, OLD = "8.7.0", "7.46.1"
"""The provider versions that the bindings' versions below describe."""
BINDINGS = {NEW: "21.1.0", OLD: "20.3.1"}

RESOURCE = re.compile(r'^\s*resource\s+"(google_\w+)"', re.MULTILINE)
DATA_SOURCE = re.compile(r'^\s*data\s+"(google_\w+)"', re.MULTILINE)


@functools.cache
def used(folder: Path = ROOT / "terraform"):
    """The google resource and data source types that the .tf files under `folder` name."""
    text = "\n".join(file.read_text() for file in sorted(folder.rglob("*.tf")))
    return frozenset(RESOURCE.findall(text)), frozenset(DATA_SOURCE.findall(text))


def wheel(version):
    found = list((CACHE / "wheels").glob(f"cdktn_provider_google-{BINDINGS[version]}-*.whl"))
    if not found:
        raise FileNotFoundError(
            f"the bindings {BINDINGS[version]} aren't in {CACHE}/wheels: tests/terraform/run gets them"
        )
    return found[0]


def google_schema(version=NEW, extra=()):
    resources, data_sources = map(set, used())
    for folder in extra:
        more = used(folder)
        resources |= more[0]
        data_sources |= more[1]
    return _schema(version, frozenset(resources | set(google.RULES)), frozenset(data_sources | set(google.DATA)))


@functools.cache
def _schema(version, resources, data_sources):
    return bindings.load(wheel(version), resources, data_sources, CACHE / f"schema-{version}.json")


def providers(project: Project, version=NEW, extra=()):
    """The stand-ins over one project, and the registry under which terraform looks for them."""
    schema = google_schema(version, extra)
    return [
        Provider("google", schema, google.RULES, project, data=google.DATA),
        Provider("time", sleeping.SCHEMA, sleeping.RULES, project),
    ], schema["registry"]
