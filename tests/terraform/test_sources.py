"""What is uploaded for a build is what the Dockerfile copies: a file it needs that isn't hashed would be missing there."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def patterns(file):
    text = re.search(r"source_patterns\s*=\s*optional\(list\(string\), (\[.*?\])\)", file.read_text()) or re.search(
        r'variable "source_patterns" {.*?default\s*=\s*(\[.*?\])', file.read_text(), re.S
    )
    return json.loads(text[1])


def test_every_file_that_the_dockerfile_copies_is_uploaded():
    wanted = patterns(ROOT / "terraform/variables.tf")
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.M)
        for source in line.split()[:-1]
    ]
    assert copied, "the Dockerfile copies nothing from its context"
    uploaded = {pattern.removesuffix("/**") for pattern in wanted}
    assert {source.rstrip("/") for source in copied} - uploaded == set()


def test_root_stack_and_module_agree_on_the_sources():
    assert patterns(ROOT / "terraform/variables.tf") == patterns(ROOT / "terraform/modules/image/variables.tf")
