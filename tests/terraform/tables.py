#!/usr/bin/env python3
"""The generated tables in the READMEs of terraform/: variables, outputs, and what each module is made of.

    tests/terraform/tables            writes them
    tests/terraform/tables --check    says which are out of date

A README receives them between `<!-- tables -->` and `<!-- /tables -->`; without the two lines they go to its end.
"""

import json
import re
import sys
from pathlib import Path

import hcl2

TERRAFORM = Path(__file__).resolve().parent.parent.parent / "terraform"
BEGIN, END = "<!-- tables -->", "<!-- /tables -->"
SIMPLE = ("string", "number", "bool")


def folders():
    return [
        TERRAFORM,
        *sorted(folder for folder in (TERRAFORM / "modules").glob("*") if any(folder.glob("*.tf"))),
    ]


def plain(value):
    """The parser keeps the quotes of strings and the braces of expressions."""
    if isinstance(value, str):
        text = value
        if text.startswith('"') and text.endswith('"'):
            text = text[1:-1]
        return text.removeprefix("${").removesuffix("}") if text.startswith("${") else text
    return value


def blocks(folder, kind):
    """Name to body of every block of a kind."""
    found = {}
    for file in sorted(folder.glob("*.tf")):
        with file.open() as text:
            for block in hcl2.load(text).get(kind, []):
                for name, body in block.items():
                    if not name.startswith("__"):
                        found[plain(name)] = body
    return found


def cell(text):
    return " ".join(str(text).replace("|", "\\|").split())


def default_of(body):
    if "default" not in body:
        return "required"
    value = body["default"]
    if value is None or plain(value) == "null":
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{plain(value)}"`'
    if isinstance(value, list):
        return f"`{json.dumps([plain(element) for element in value])}`"
    return "`{}`" if value == {} else f"`{value}`"


def kind_of(body):
    kind = str(plain(body.get("type", "any"))).split("(")[0]
    return f"{kind}" if kind in SIMPLE else str(plain(body["type"])).split("(optional")[0].split("({")[0]


def tables(folder):
    lines = []
    variables = blocks(folder, "variable")
    if variables:
        lines += ["## Variables", "", "| name | type | default | what it is |", "|---|---|---|---|"]
        for name, body in sorted(variables.items(), key=lambda item: ("default" in item[1], item[0])):
            lines.append(f"| `{name}` | {kind_of(body)} | {default_of(body)} | {cell(plain(body['description']))} |")
        lines.append("")
    attributes = _attributes(folder)
    if attributes:
        lines += ["### Attributes of the objects", "", "| variable | attribute | type | default |", "|---|---|---|---|"]
        lines += [f"| `{variable}` | `{name}` | {kind} | {default} |" for variable, name, kind, default in attributes]
        lines.append("")
    outputs = blocks(folder, "output")
    if outputs:
        lines += ["## Outputs", "", "| name | what it is |", "|---|---|"]
        for name, body in sorted(outputs.items()):
            lines.append(f"| `{name}` | {cell(plain(body['description']))} |")
        lines.append("")
    resources = _resources(folder)
    if resources:
        lines += ["## Resources", "", ", ".join(resources), ""]
    return "\n".join(lines).rstrip()


OBJECT = re.compile(r'^variable "(\w+)" {\n(?:.*\n)*?  type\s+= (?:map\()?object\({\n((?:    .*\n)+?)  }\)', re.M)
ATTRIBUTE = re.compile(r"^    (\w+)\s*=\s*(.+?)(?:\s+#.*)?$", re.M)
OPTIONAL = re.compile(r"optional\((\w+(?:\(\w+\))?)(?:,\s*(.+))?\)")


def _attributes(folder):
    """What is in the object types, read from the text: variable, attribute, type and default of each."""
    found = []
    for file in sorted(folder.glob("*.tf")):
        for block in re.split(r"^(?=variable )", file.read_text(), flags=re.M):
            match = OBJECT.match(block)
            for name, kind in ATTRIBUTE.findall(match[2]) if match else ():
                optional = OPTIONAL.fullmatch(kind)
                if kind.startswith("optional(object"):
                    found.append((match[1], name, "object", "`null`"))
                elif optional:
                    found.append((match[1], name, optional[1], f"`{optional[2] or 'null'}`"))
                else:
                    found.append((match[1], name, kind, "required"))
    return sorted(found)


def _resources(folder):
    found = set()
    for file in sorted(folder.glob("*.tf")):
        with file.open() as text:
            for block in hcl2.load(text).get("resource", []):
                for kind, body in block.items():
                    found |= {f"`{plain(kind)}.{plain(name)}`" for name in body if not name.startswith("__")}
    return sorted(found)


def wanted(folder):
    """What the folder's README should be."""
    readme = folder / "README.md"
    text = readme.read_text() if readme.exists() else f"# {folder.name}\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables(folder)}\n{END}{rest.partition(END)[2]}"


def stale():
    return [
        folder
        for folder in folders()
        if not (folder / "README.md").exists() or wanted(folder) != (folder / "README.md").read_text()
    ]


def main(arguments):
    if "--check" in arguments:
        for folder in stale():
            print(f"{folder.relative_to(TERRAFORM.parent)}/README.md: run tests/terraform/tables", file=sys.stderr)
        return 1 if stale() else 0
    for folder in stale():
        (folder / "README.md").write_text(wanted(folder))
        print(f"wrote {folder.relative_to(TERRAFORM.parent)}/README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
