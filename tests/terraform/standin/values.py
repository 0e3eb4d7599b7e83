"""Walking values beside their schema.

Owns: paths, copies, comparison. Must not know: rules, the imaginary project. May use: wire's UNKNOWN.

A path is written `template.*.scaling.*.max_instance_count`: `*` stands for every element of a list or set.
"""

import copy
import json

from .wire import UNKNOWN


def copied(value):
    return copy.deepcopy(value)


def known(value):
    """Whether nothing in `value` is unknown."""
    if value is UNKNOWN:
        return False
    if isinstance(value, dict):
        return all(known(inner) for inner in value.values())
    if isinstance(value, list):
        return all(known(inner) for inner in value)
    return True


def at(value, path):
    """Every value at `path`, missing ones left out."""
    return [inner for inner, _ in _walk(value, path.split("."))]


def one(value, path):
    """The first value at `path`, or None."""
    return next(iter(at(value, path)), None)


def _walk(value, parts):
    if value is None or value is UNKNOWN:
        return
    head, rest = parts[0], parts[1:]
    if head == "*":
        for element in value:
            yield from _walk(element, rest) if rest else [(element, value)]
    elif isinstance(value, dict) and head in value:
        if rest:
            yield from _walk(value[head], rest)
        else:
            yield value[head], value


def set_missing(value, path, default):
    """Puts `default` wherever `path` leads to a null."""
    *_, name = path.split(".")
    parent = path.rpartition(".")[0]
    for holder in at(value, parent) if parent else [value]:
        if isinstance(holder, dict) and holder.get(name, 0) is None:
            holder[name] = copied(default)


def canonical(schema, value):
    """`value` with its sets in one order, so that equal values compare equal."""
    if not isinstance(value, dict):
        return value
    result = {}
    for name, attribute in schema["attributes"].items():
        inner = value.get(name)
        if isinstance(attribute["type"], list) and attribute["type"][0] == "set" and isinstance(inner, list):
            inner = sorted(inner, key=_sort_key)
        result[name] = inner
    for name, nested in schema["blocks"].items():
        inner = value.get(name)
        if isinstance(inner, list):
            inner = [canonical(nested["block"], element) for element in inner]
            if nested["nesting"] == "set":
                inner = sorted(inner, key=_sort_key)
        elif isinstance(inner, dict):
            inner = canonical(nested["block"], inner)
        result[name] = inner
    return result


def _sort_key(value):
    return json.dumps(value, default=repr, sort_keys=True)


def mark_computed(schema, value):
    """Puts UNKNOWN in every null that the provider will compute."""
    if not isinstance(value, dict):
        return
    for name, attribute in schema["attributes"].items():
        if attribute["computed"] and value.get(name) is None:
            value[name] = UNKNOWN
    for name, nested in schema["blocks"].items():
        inner = value.get(name)
        for element in inner if isinstance(inner, list) else [inner]:
            mark_computed(nested["block"], element)


def settle(schema, value):
    """Puts the empty value of its type in place of everything still unknown."""
    if not isinstance(value, dict):
        return
    for name, attribute in schema["attributes"].items():
        if value.get(name) is UNKNOWN:
            value[name] = _empty(attribute["type"])
    for name, nested in schema["blocks"].items():
        inner = value.get(name)
        if inner is UNKNOWN:
            value[name] = []
            continue
        for element in inner if isinstance(inner, list) else [inner]:
            settle(nested["block"], element)


def _empty(kind):
    if isinstance(kind, list):
        return {} if kind[0] == "map" else []
    return {"string": "", "number": 0, "bool": False}[kind]


def clear_write_only(schema, value):
    """Removes what terraform must never store."""
    if not isinstance(value, dict):
        return
    for name, attribute in schema["attributes"].items():
        if attribute.get("write_only"):
            value[name] = None
    for name, nested in schema["blocks"].items():
        inner = value.get(name)
        for element in inner if isinstance(inner, list) else [inner]:
            clear_write_only(nested["block"], element)
