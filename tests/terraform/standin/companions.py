"""The random and time providers, as far as a stack like this one uses them.

Owns: their schemas and behaviour; time's sleeping advances the imaginary project's clock and takes no real time.
Must not know: google. May use: rules, project.
"""

import base64
import re
import secrets
import string

from .rules import Rules
from .wire import UNKNOWN

UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
SPECIAL = "!@#$%&*()-_=+[]{}<>:?"


def attribute(kind, *, required=False, computed=False, optional=None, sensitive=False):
    optional = (not required and not computed) if optional is None else optional
    return {"type": kind, "required": required, "optional": optional, "computed": computed, "sensitive": sensitive}


def block(**attributes):
    return {"attributes": attributes, "blocks": {}}


STRINGS = ["map", "string"]


def duration_s(text):
    """Seconds of a Go duration such as `1m30s`."""
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text} is not a duration such as 90s")
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)


# -- random --------------------------------------------------------------------------------------------------------

SECRET_STRING = {
    "length": attribute("number", required=True),
    "override_special": attribute("string"),
    **{name: attribute("bool", computed=True, optional=True) for name in ("lower", "upper", "numeric", "special", "number")},
    **{name: attribute("number", computed=True, optional=True) for name in ("min_lower", "min_upper", "min_numeric", "min_special")},
}

RANDOM_SCHEMA = {
    "provider": block(),
    "resources": {
        "random_password": block(
            id=attribute("string", computed=True),
            keepers=attribute(STRINGS),
            result=attribute("string", computed=True, sensitive=True),
            bcrypt_hash=attribute("string", computed=True, sensitive=True),
            **SECRET_STRING,
        ),
        "random_string": block(
            id=attribute("string", computed=True),
            keepers=attribute(STRINGS),
            result=attribute("string", computed=True),
            **SECRET_STRING,
        ),
        "random_id": block(
            id=attribute("string", computed=True),
            keepers=attribute(STRINGS),
            byte_length=attribute("number", required=True),
            prefix=attribute("string"),
            **{name: attribute("string", computed=True) for name in ("b64_std", "b64_url", "dec", "hex")},
        ),
        "random_bytes": block(
            keepers=attribute(STRINGS),
            length=attribute("number", required=True),
            **{name: attribute("string", computed=True, sensitive=True) for name in ("base64", "hex")},
        ),
    },
    "data_sources": {},
    "ephemeral": {
        "random_password": block(
            result=attribute("string", computed=True, sensitive=True),
            bcrypt_hash=attribute("string", computed=True, sensitive=True),
            **SECRET_STRING,
        ),
    },
}


def characters(values):
    chosen = "".join(
        letters
        for name, letters in (
            ("lower", string.ascii_lowercase),
            ("upper", string.ascii_uppercase),
            ("numeric", string.digits),
            ("special", values.get("override_special") or SPECIAL),
        )
        if values.get(name) is not False
    )
    return "".join(secrets.choice(chosen) for _ in range(values["length"]))


def make_string(_project, values):
    values["result"] = characters(values)
    values["id"] = "none"


def make_bytes(_project, values):
    made = secrets.token_bytes(values.get("byte_length") or values["length"])
    encodings = {
        "hex": made.hex(),
        "base64": base64.b64encode(made).decode(),
        "b64_std": base64.b64encode(made).decode(),
        "b64_url": base64.urlsafe_b64encode(made).decode().rstrip("="),
        "dec": str(int.from_bytes(made)),
    }
    prefix = values.get("prefix") or ""
    values |= {name: prefix + text for name, text in encodings.items() if name in values}
    if "id" in values:
        values["id"] = base64.urlsafe_b64encode(made).decode().rstrip("=")


_SETTINGS = tuple(SECRET_STRING) + ("keepers",)
RANDOM_RULES = {
    "random_password": Rules(identity="{result}", force_new=_SETTINGS, identify=make_string),
    "random_string": Rules(identity="{result}", force_new=_SETTINGS, identify=make_string),
    "random_id": Rules(identity="{hex}", force_new=("keepers", "byte_length", "prefix"), identify=make_bytes),
    "random_bytes": Rules(identity="{hex}", force_new=("keepers", "length"), identify=make_bytes),
}
RANDOM_EPHEMERAL = {"random_password": lambda config: {"result": characters(config), "bcrypt_hash": "not-computed-here"}}


# -- time ----------------------------------------------------------------------------------------------------------

TIME_SCHEMA = {
    "provider": block(),
    "resources": {
        "time_sleep": block(
            id=attribute("string", computed=True),
            create_duration=attribute("string"),
            destroy_duration=attribute("string"),
            triggers=attribute(STRINGS),
        ),
        "time_static": block(
            id=attribute("string", computed=True),
            triggers=attribute(STRINGS),
            rfc3339=attribute("string", computed=True, optional=True),
            unix=attribute("number", computed=True),
        ),
    },
    "data_sources": {},
}


def sleep_at_create(project, values, prior):
    if prior is None and isinstance(values.get("create_duration"), str):
        project.sleep(duration_s(values["create_duration"]))


def sleep_at_destroy(project, values):
    if isinstance(values.get("destroy_duration"), str):
        project.sleep(duration_s(values["destroy_duration"]))


def compute_static(_project, values, _prior):
    if values.get("rfc3339") is UNKNOWN:
        values["rfc3339"] = "2026-01-01T00:00:00Z"
    values["unix"] = 1767225600


def identify_serial(project, values):
    if values.get("id") is UNKNOWN:
        values["id"] = f"{len(project.log)}-{secrets.token_hex(4)}"


TIME_RULES = {
    "time_sleep": Rules(
        force_new=("triggers",), identify=identify_serial, compute=sleep_at_create, check_delete=sleep_at_destroy
    ),
    "time_static": Rules(force_new=("triggers", "rfc3339"), identify=identify_serial, compute=compute_static),
}
