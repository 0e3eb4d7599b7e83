"""What the published schema leaves out, and the shape in which it is written down.

Owns: the record of one resource's hand-written rules and the checks that need only its configuration.
Must not know: any resource by name, the imaginary project. May use: values.
"""

import re
from dataclasses import dataclass, field

from .values import at, known
from .wire import UNKNOWN


@dataclass
class Rules:
    """The hand-written half of one resource."""

    identity: str = "{id}"
    """Format of the API's name for the object, from the resource's own arguments."""
    api: str | None = None
    """The API that has to be enabled first."""
    force_new: tuple = ()
    """Paths whose change replaces the object."""
    defaults: dict = field(default_factory=dict)
    """Path to the value that the provider puts there when the configuration has none."""
    enums: dict = field(default_factory=dict)
    """Path to the allowed values."""
    patterns: dict = field(default_factory=dict)
    """Path to the regular expression that the whole value has to match."""
    ranges: dict = field(default_factory=dict)
    """Path to the (lowest, highest) allowed number."""
    conflicts: tuple = ()
    """Groups of arguments of which at most one may be set."""
    exactly_one: tuple = ()
    """Groups of arguments of which one has to be set."""
    kept: tuple = ()
    """Blocks that are optional and computed in the provider: one that is left out stays as it was."""
    sensitive: tuple = ()
    """Attributes that terraform must not print."""
    protected_by: str | None = None
    """The argument that refuses a destroy while it is true in the state."""
    identify: object = None
    """Called with (project, values) before a create, where the API and not the caller names the object."""
    compute: object = None
    """Called with (project, values, prior) at a create or an update; fills what the API would answer."""
    check: object = None
    """Called with (project, values) before a create or an update; raises Refused as the API would."""
    check_delete: object = None
    """Called with (project, values) before a delete; raises Refused."""
    idempotent: bool = False
    """Whether making what exists already is no conflict: grants and enabled APIs."""
    survives: object = None
    """Called with (values): whether the object stays although terraform lets it go."""
    cascade: object = None
    """Called with (project, values) after a delete: what goes with the object."""


class Refused(Exception):
    """The imaginary API says no. `keep` is true if the object was made all the same (terraform taints it)."""

    def __init__(self, message, keep=False):
        super().__init__(message)
        self.keep = keep


def _is_set(config, path):
    # As in the plugin SDK: an empty string in the configuration counts as set.
    return any(value not in (None, []) for value in at(config, path))


def _undecided(config, group):
    return any(not known(value) for path in group for value in at(config, path))


def complaints(rules, config):
    """What the provider refuses before it asks the API: pairs of the argument's path and the message."""
    for path, allowed in rules.enums.items():
        for value in at(config, path):
            if value not in (None, UNKNOWN) and value not in allowed:
                yield path, f"expected {_last(path)} to be one of {sorted(allowed)}, got {value}"
    for path, pattern in rules.patterns.items():
        for value in at(config, path):
            if isinstance(value, str) and not re.fullmatch(pattern, value):
                yield path, f'"{_last(path)}" ("{value}") doesn\'t match regexp "{pattern}"'
    for path, (lowest, highest) in rules.ranges.items():
        for value in at(config, path):
            if value not in (None, UNKNOWN) and not lowest <= value <= highest:
                yield path, f"expected {_last(path)} to be in the range ({lowest} - {highest}), got {value}"
    for group in rules.conflicts:
        if _undecided(config, group):
            continue
        present = [path for path in group if _is_set(config, path)]
        for path in present[1:]:
            yield path, f'"{path}": conflicts with {present[0]}'
    for group in rules.exactly_one:
        if _undecided(config, group):
            continue
        present = [path for path in group if _is_set(config, path)]
        if not present:
            yield group[0], f"one of `{','.join(group)}` must be specified"
        elif len(present) > 1:
            yield (
                present[1],
                f"only one of `{','.join(group)}` can be specified, but `{','.join(present)}` were specified",
            )


def _last(path):
    return path.rpartition(".")[2]
