"""What the three container descriptions say: kustomize's output, compose's files, as Python objects."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml
from conftest import ROOT

K8S_LOCAL = ROOT / "k8s-local"
KUSTOMIZE = K8S_LOCAL / "kustomize"
OVERLAYS = sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (KUSTOMIZE / "components").iterdir())
LAYERS = ("observability", "tests")

# What builds a kustomization; nothing where there is neither.
KUSTOMIZE_BUILD = next(
    (command for command in (["kubectl", "kustomize"], ["kustomize", "build"]) if shutil.which(command[0])), None
)
NO_KUSTOMIZE = "neither kubectl nor kustomize is here, and none could be built: the overlays aren't checked"


def built(folder):
    """The objects of a kustomization."""
    done = subprocess.run([*KUSTOMIZE_BUILD, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def combined(components, into):
    """A kustomization of the base with some of the components, written into a folder inside the tree's copy."""
    tree = into / KUSTOMIZE.relative_to(ROOT)
    if not tree.exists():
        for folder in (KUSTOMIZE, K8S_LOCAL / "observability", ROOT / "terraform" / "modules" / "observability"):
            shutil.copytree(folder, into / folder.relative_to(ROOT), ignore=shutil.ignore_patterns(".terraform*"))
    folder = tree / ("with-" + "-".join(components or ("nothing",)))
    folder.mkdir()
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", "resources: [../base]"]
    if components:
        lines.append(f"components: [{', '.join(f'../components/{name}' for name in components)}]")
    (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return folder


def named(objects, kind, name):
    """The one object of a kind and name."""
    (found,) = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def compose(*layers, environ=None):
    """compose.yaml with layers on it, its variables filled in with their defaults or from `environ`."""
    text = [K8S_LOCAL / "compose.yaml", *(K8S_LOCAL / f"compose.{layer}.yaml" for layer in layers)]
    return [yaml.safe_load(filled(path.read_text(), environ or {})) for path in text]


def filled(text, environ):
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda match: environ.get(match[1], match[2] or ""), text)


def yaml_files():
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard", "k8s-local"], cwd=ROOT, text=True)
    return [ROOT / name for name in listed.split() if name.endswith(".yaml") and os.path.exists(ROOT / name)]


def dockerfiles():
    return [ROOT / "Dockerfile", Path(K8S_LOCAL / "proxy" / "Dockerfile")]
