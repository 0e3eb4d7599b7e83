"""What the stack assumes of the program: its settings by docs/settings.md, its connections to Redis by their constants."""

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


def constant(file, name):
    return int(re.search(rf"const {name}: usize = (\d+);", (ROOT / "src/store/redis" / file).read_text())[1])


def test_the_connections_that_are_reckoned_with_are_no_fewer_than_the_program_opens():
    opened = constant("lane.rs", "LANES") + constant("dial.rs", "COLD_CONNECTIONS") + 1  # and the subscriber
    variables = (ROOT / "terraform/variables.tf").read_text()
    least = int(re.search(r"var\.redis\.sockets_per_instance >= (\d+)", variables)[1])
    default = int(re.search(r"sockets_per_instance\s*= optional\(number, (\d+)\)", variables)[1])
    assert least == opened <= default
