"""The google provider's schema, read from the published language bindings.

Owns: finding the bindings' package and parsing each resource's index.js. Must not know: defaults, rules, behaviour.
May use: the bindings that the run script has downloaded.

A generated class says per attribute whether it is computed, optional or required, its getter says the type, and the
table for HCL says whether it is a block. Sensitive isn't there; write-only is told by the `_wo` suffix.
"""

import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) ")
FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(")
ATTRIBUTE = re.compile(r"^    // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)$")
COMPLEX = re.compile(r"= new (?:cdktn\.)?(\w+)\(this, \"\w+\"(?:, (true|false))?")
GETTER = re.compile(r"return (cdktn\.Fn\.tolist\()?this\.get(\w+)Attribute\(")
HCL_NAME = re.compile(r"^ {4,12}(\w+): \{$")
HCL_BLOCK = re.compile(r"^\s+isBlock: (\w+),$")
HCL_NESTING = re.compile(r"^\s+type: \"(\w+)\",$")
HCL_STORAGE = re.compile(r"^\s+storageClassType: \"(\w+)\",$")
DOC_LINK = re.compile(r"https://([\w.]+)/providers/hashicorp/google/([\d.]+)/docs")

PRIMITIVES = {"String": "string", "Number": "number", "Boolean": "bool"}
STORAGE = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "stringMap": ["map", "string"],
    "booleanMap": ["map", "bool"],
}


class Bindings:
    """One version of the bindings: the provider's version, its address and the schema of any resource."""

    def __init__(self, wheel: Path):
        with zipfile.ZipFile(wheel) as outer:
            inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            archive = tarfile.open(fileobj=io.BytesIO(outer.read(inner)))
        self._sources = {
            member.name.split("/")[2]: archive.extractfile(member).read().decode()
            for member in archive
            if member.name.startswith("package/lib/")
            and member.name.endswith("/index.js")
            and member.name.count("/") == 3
        }
        self.registry, self.version = DOC_LINK.search(self._sources["redis-instance"]).groups()

    def provider(self):
        return _Source(self._sources["provider"]).block("TerraformProvider")

    def resource(self, type_name):
        return self._block(_folder(type_name), "TerraformResource", type_name)

    def data_source(self, type_name):
        return self._block("data-google-" + _folder(type_name), "TerraformDataSource", type_name)

    def _block(self, folder, base, type_name):
        if folder not in self._sources:
            raise KeyError(f"provider google {self.version} has no {type_name}")
        return _Source(self._sources[folder]).block(base)


def _folder(type_name):
    # "v2" and the like are words of their own in the generator: cloud_run_v2_service -> cloud-run-v2-service
    return type_name.removeprefix("google_").replace("_", "-")


class _Source:
    """One index.js, split into classes and HCL tables."""

    def __init__(self, text):
        self.classes, self.bases, self.tables = {}, {}, {}
        current, table, attribute, row = None, None, None, None
        for line in text.splitlines():
            if found := CLASS.match(line):
                current, table = self.classes.setdefault(found[1], {}), None
                self.bases[found[2]] = found[1]
                name, attribute = found[1], None
            elif found := FUNCTION.match(line):
                current, table = None, self.tables.setdefault(found[1][0].upper() + found[1][1:], {})
            elif line.startswith("    synthesizeHclAttributes("):
                attribute, table = None, self.tables.setdefault(name, {})
            elif table is not None:
                if found := HCL_NAME.match(line):
                    row = table.setdefault(found[1], {})
                elif row is not None:
                    for key, pattern in (("block", HCL_BLOCK), ("nesting", HCL_NESTING), ("storage", HCL_STORAGE)):
                        if found := pattern.match(line):
                            row[key] = found[1]
            elif current is not None:
                if found := ATTRIBUTE.match(line):
                    attribute = current.setdefault(found[1], {})
                    for key, value in zip(("computed", "optional", "required"), found.groups()[1:], strict=True):
                        attribute[key] = value == "true"
                elif attribute is not None and "kind" not in attribute:
                    if found := COMPLEX.search(line):
                        attribute["kind"] = "complex"
                        attribute["class"], attribute["set"] = found[1], found[2] == "true"
                    elif found := GETTER.search(line):
                        attribute["kind"] = "simple"
                        attribute["type"] = _getter_type(found[2], bool(found[1]))

    def block(self, base):
        return self._block_of(self.bases[base])

    def _block_of(self, class_name):
        table = self.tables.get(class_name.removesuffix("OutputReference"), {})
        block = {"attributes": {}, "blocks": {}}
        for name, found in self.classes[class_name].items():
            row = table.get(name, {})
            if row.get("block") == "true":
                block["blocks"][name] = self._nested(name, found, row)
            else:
                block["attributes"][name] = self._attribute(name, found, row)
        return block

    def _nested(self, name, found, row):
        # A provider's own blocks have no typed accessor: the table names their class.
        class_name = found.get("class") or row["storage"]
        many = class_name.endswith("List")
        element = class_name.removesuffix("List")
        if not element.endswith("OutputReference"):
            element += "OutputReference"
        inner = self._block_of(element) if element in self.classes else self._table_block(element)
        if name == "timeouts":
            return {"nesting": "single", "min": 0, "max": 0, "block": inner}
        return {
            "nesting": "set" if row["nesting"] == "set" else "list",
            "min": int(found["required"]),
            "max": 0 if many else 1,
            "block": inner,
        }

    def _table_block(self, element):
        rows = self.tables.get(element.removesuffix("OutputReference"), {})
        return {
            "attributes": {
                name: {"type": STORAGE[row["storage"]], "computed": False, "optional": True, "required": False}
                for name, row in rows.items()
            },
            "blocks": {},
        }

    def _attribute(self, name, found, row):
        attribute = {key: found[key] for key in ("computed", "optional", "required")}
        if found.get("kind") == "complex":
            attribute["type"] = self._object_type(found)
        else:
            attribute["type"] = found.get("type") or STORAGE[row["storage"]]
        if name.endswith("_wo"):
            attribute["write_only"] = attribute["sensitive"] = True
        return attribute

    def _object_type(self, found):
        class_name = found["class"]
        if class_name.endswith("Map") and class_name.removesuffix("Map") in PRIMITIVES:
            return ["map", PRIMITIVES[class_name.removesuffix("Map")]]
        element = class_name.removesuffix("List")
        if not element.endswith("OutputReference"):
            element += "OutputReference"
        fields = {}
        for name, inner in self.classes[element].items():
            fields[name] = self._object_type(inner) if inner.get("kind") == "complex" else inner["type"]
        return ["set" if found["set"] else "list", ["object", fields]]


def _getter_type(getter, is_set):
    if getter == "List":
        return ["set" if is_set else "list", "string"]
    if getter.endswith("List"):
        return ["set" if is_set else "list", PRIMITIVES[getter.removesuffix("List")]]
    if getter.endswith("Map"):
        return ["map", PRIMITIVES[getter.removesuffix("Map")]]
    return PRIMITIVES[getter]


def load(wheel: Path, resources, data_sources, cache: Path):
    """The schema of the named resources and data sources, from `cache` if it holds all of them."""
    if cache.exists():
        known = json.loads(cache.read_text())
        if set(resources) <= set(known["resources"]) and set(data_sources) <= set(known["data_sources"]):
            return known
    bindings = Bindings(wheel)
    known = {
        "registry": bindings.registry,
        "version": bindings.version,
        "provider": bindings.provider(),
        "resources": {name: bindings.resource(name) for name in sorted(resources)},
        "data_sources": {name: bindings.data_source(name) for name in sorted(data_sources)},
    }
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(".part")
    part.write_text(json.dumps(known))
    part.rename(cache)
    return known
