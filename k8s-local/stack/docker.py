"""Docker as this machine has it: what is missing, and the images of the stack.

Must not know: compose or Kubernetes.
"""

import re
import shutil
import subprocess

from .problem import Problem
from .settings import HERE, ROOT

# Where each image that isn't somebody else's is built; others are taken as they are.
BUILT = {"LOCAL_IMAGE": ("confab:local", ROOT), "LOCAL_PROXY_IMAGE": ("confab-proxy:local", HERE / "proxy")}

ANSWER_WITHIN_S = 15

# It gives a container 10 s to stop.
DONE_WITHIN_S = 60

PULLED_WITHIN_S = 600


def ask(*command, within=ANSWER_WITHIN_S):
    """What a command says, and whether it worked."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=within, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr).strip()


def carry_out(*command):
    """What docker says to a command; a Problem where it fails."""
    worked, said = ask("docker", *command, within=DONE_WITHIN_S)
    if not worked:
        raise Problem(f"docker {' '.join(command[:2])} failed: {said}")
    return said


def missing():
    """Why docker can't be used here; None where it can."""
    if not shutil.which("docker"):
        return "docker isn't installed"
    works, said = ask("docker", "info", "--format", "{{.ServerVersion}}")
    if works:
        return None
    if "permission denied" in said.lower():
        return "this user may not use docker: add it to the group docker, then log in again"
    if "no space left" in said.lower():
        return "docker's disk is full: make room (docker system prune)"
    return "docker doesn't answer: start its daemon"


def prepare_images(images, others):
    """Builds what is ours, from the sources as they are now, so no image is stale; `others` are the settings of those that
    are somebody else's, which are pulled where they aren't here. All must be for this machine."""
    for setting, (name, folder) in BUILT.items():
        if images[setting] == name:
            print(f"local: building {name} (what hasn't changed is cached)", flush=True)
            if subprocess.run(["docker", "build", "--quiet", "--tag", name, *labels(folder), str(folder)], check=False).returncode:
                raise Problem(f"docker build failed for {name}: run docker build {folder} to see why")
    for setting in (*BUILT, *others):
        check_processor(setting, images[setting])


def labels(folder):
    """What an image says of the sources that it is built from."""
    version = re.search(r'^version = "(.*)"', (folder / "Cargo.toml").read_text(), re.MULTILINE)[1]
    known, revision = ask("git", "-C", str(ROOT), "rev-parse", "HEAD")
    return ["--build-arg", f"VERSION={version}", *(["--build-arg", f"REVISION={revision}"] if known else [])]


def check_processor(setting, image):
    works, ours = ask("docker", "image", "inspect", "--format", "{{.Architecture}}", image)
    if not works:
        works, said = ask("docker", "pull", "--quiet", image, within=PULLED_WITHIN_S)
        if not works:
            raise Problem(f"{setting}={image}: it isn't here and can't be pulled: {said.splitlines()[-1] if said else 'no reason given'}")
        _, ours = ask("docker", "image", "inspect", "--format", "{{.Architecture}}", image)
    works, machine = ask("docker", "version", "--format", "{{.Server.Arch}}")
    if not works:
        raise Problem(f"docker doesn't say what processor it is for: {machine}")
    if ours != machine:
        raise Problem(f"{setting}={image} is for {ours} and this machine is {machine}: build or pull it for this one")


def image_id(image):
    """What its name stands for at the moment."""
    return carry_out("image", "inspect", "--format", "{{.Id}}", image)
