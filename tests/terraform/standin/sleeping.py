"""The time provider, as far as these stacks use it: sleeping.

Owns: its schema and behaviour; sleeping advances the imaginary project's clock and takes no real time.
Must not know: google. May use: rules.
"""

import re
import secrets

from .rules import Refused, Rules
from .wire import UNKNOWN

UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def _attribute(kind, *, computed=False):
    return {"type": kind, "required": False, "optional": not computed, "computed": computed}


SCHEMA = {
    "provider": {"attributes": {}, "blocks": {}},
    "resources": {
        "time_sleep": {
            "attributes": {
                "id": _attribute("string", computed=True),
                "create_duration": _attribute("string"),
                "destroy_duration": _attribute("string"),
                "triggers": _attribute(["map", "string"]),
            },
            "blocks": {},
        },
    },
    "data_sources": {},
}


def duration_s(text):
    """Seconds of a Go duration such as `1m30s`."""
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Refused(f'"{text}" must be a sequence of numbers and units such as 90s')
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)


def _identify(_project, values):
    if values.get("id") is UNKNOWN:
        values["id"] = secrets.token_hex(8)


def _sleep_at_create(project, values, prior):
    if prior is None and isinstance(values.get("create_duration"), str):
        project.sleep(duration_s(values["create_duration"]))


def _sleep_at_destroy(project, values):
    if isinstance(values.get("destroy_duration"), str):
        project.sleep(duration_s(values["destroy_duration"]))


RULES = {
    "time_sleep": Rules(
        force_new=("triggers",), identify=_identify, compute=_sleep_at_create, check_delete=_sleep_at_destroy
    )
}
