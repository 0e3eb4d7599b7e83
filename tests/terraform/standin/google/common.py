"""What every resource's rules lean on: names, references and made-up answers.

Owns: helpers without a resource of their own. Must not know: any rule. May use: rules, wire.
"""

import hashlib

from ..rules import Refused
from ..wire import UNKNOWN

PROJECT_NUMBER = "123456789012"
NAME_63 = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


def digest(*parts):
    """A stable stand-in for what the API would make up."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


def fill(values, name, value):
    if values.get(name) is UNKNOWN:
        values[name] = value


def tail(reference):
    return str(reference).rpartition("/")[2]


def networks_named(project, reference):
    return [network for network in project.of("google_compute_network") if network["name"] == tail(reference)]


def require_network(project, reference):
    if reference not in (None, "", UNKNOWN) and not networks_named(project, reference):
        raise Refused(f"Error 404: the resource '{reference}' was not found: network. notFound")
