"""The environment that the service module sets is one the program knows: each name is a row of docs/settings.md."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_setting_of_the_stack_is_one_of_the_programs():
    set_by_us = set(
        re.findall(r"^\s+(CONFAB__[A-Z_]+)\s*=", (ROOT / "terraform/modules/service/settings.tf").read_text(), re.M)
    )
    rows = set(re.findall(r"^\| `([a-z_.]+)` \|", (ROOT / "docs/settings.md").read_text(), re.M))
    known = {"CONFAB__" + row.replace(".", "__").upper() for row in rows}
    assert len(set_by_us) >= 10 and len(known) >= 40, "the files have another form than this test reads"
    assert set_by_us - known == set()
