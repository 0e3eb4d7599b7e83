"""The provider: plan, apply, read and import over any schema with any rules.

Owns: what the plugin SDK does in a real provider. Must not know: a resource by name. May use: values, rules, project.
"""

import string
from dataclasses import dataclass, field

from . import rules as rules_module
from .rules import Refused, Rules
from .values import at, canonical, clear_write_only, copied, known, mark_computed, set_missing, settle
from .wire import UNKNOWN

ANONYMOUS_IDENTITY = ("project", "region", "location", "name", "role", "member")
"""What names an object for which nobody has written rules yet."""


@dataclass
class Provider:
    """One provider: its schema, its hand-written rules and the project it works on."""

    name: str
    schema: dict
    rules: dict
    project: object
    settings: dict = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    """Data source type to a function (provider, config) -> values."""

    def rules_of(self, type_name):
        return self.rules.get(type_name, Rules())

    def block(self, type_name):
        return self.schema["resources"][type_name]

    def validate(self, type_name, config):
        return [
            *_unconfigurable(self.block(type_name), config),
            *rules_module.complaints(self.rules_of(type_name), config),
        ]

    def plan(self, type_name, prior, config, proposed):
        """The planned state and the paths whose change needs a new object."""
        if config is None:
            return None, []
        block, rules = self.block(type_name), self.rules_of(type_name)
        planned = copied(proposed)
        for path, default in rules.defaults.items():
            set_missing(planned, path, default)
        self._inherit(block, config, planned, prior)
        self._labels(block, planned)
        if prior is None:
            mark_computed(block, planned)
        else:
            for name in rules.kept:
                planned[name] = planned.get(name) or copied(prior.get(name))
            self._mark_new_blocks(block, planned, prior)
        clear_write_only(block, planned)
        replace = []
        if prior is not None:
            before, after = canonical(block, prior), canonical(block, planned)
            replace = [path for path in rules.force_new if at(before, path) != at(after, path)]
        return planned, replace

    def _inherit(self, block, config, planned, prior):
        for name in ("project", "region"):
            open_ = block["attributes"].get(name, {}).get("computed") and config.get(name) is None
            if open_ and name in self.settings and (prior is None or prior.get(name) is None):
                planned[name] = self.settings[name]

    def _labels(self, block, planned):
        if "effective_labels" not in block["attributes"]:
            return
        labels = planned.get("labels")
        if labels is UNKNOWN or not known(labels):
            planned["terraform_labels"] = planned["effective_labels"] = UNKNOWN
            return
        own = dict(labels or {}) | {"goog-terraform-provisioned": "true"}
        planned["terraform_labels"] = own
        planned["effective_labels"] = dict(own)

    def _mark_new_blocks(self, block, planned, prior):
        for name, nested in block["blocks"].items():
            after, before = planned.get(name), prior.get(name)
            if not isinstance(after, list):
                continue
            for index, element in enumerate(after):
                if isinstance(before, list) and index < len(before) and nested["nesting"] == "list":
                    self._mark_new_blocks(nested["block"], element, before[index])
                else:
                    mark_computed(nested["block"], element)

    def identity(self, type_name, values):
        rules = self.rules.get(type_name)
        if rules is None:
            return "/".join(str(values[name]) for name in ANONYMOUS_IDENTITY if isinstance(values.get(name), str))
        names = [part for _, part, _, _ in string.Formatter().parse(rules.identity) if part]
        return rules.identity.format(**{name: values.get(name) for name in names})

    def apply(self, type_name, prior, planned, config):
        """The new state and, if the API refused, its message. The state is None after a delete."""
        with self.project.open() as project:
            if planned is None:
                return self._delete(project, type_name, prior)
            return self._write(project, type_name, prior, planned, config)

    def _delete(self, project, type_name, prior):
        rules = self.rules_of(type_name)
        try:
            if rules.protected_by and prior.get(rules.protected_by):
                raise Refused(
                    f"cannot destroy {type_name} without setting {rules.protected_by}=false and running"
                    " `terraform apply`"
                )
            identity = self.identity(type_name, prior)
            if prior.get("deletion_policy") == "PREVENT":
                raise Refused(f"cannot destroy {type_name} {identity}: its deletion_policy is PREVENT")
            if prior.get("deletion_policy") == "ABANDON" or rules.survives and rules.survives(prior):
                project.record("abandon", type_name, identity)
                return None, None
            project.inject_delete(type_name, identity)
            if rules.check_delete:
                rules.check_delete(project, prior)
            if project.get(type_name, identity) is not None:
                project.drop(type_name, identity)
                if rules.cascade:
                    rules.cascade(project, prior)
        except Refused as refusal:
            return prior, str(refusal)
        return None, None

    def _write(self, project, type_name, prior, planned, config):
        block, rules = self.block(type_name), self.rules_of(type_name)
        values = copied(planned)
        if prior is None and rules.identify:
            rules.identify(project, values)
        if "project" in values and values["project"] in (None, UNKNOWN):
            return prior, "project: required field is not set"
        identity = self.identity(type_name, values)
        kept = None
        try:
            if prior is None:
                project.require_api(rules.api)
                project.inject(type_name, planned)
                if not rules.idempotent and project.get(type_name, identity) is not None:
                    raise Refused(f"Error 409: {type_name} {identity} already exists. alreadyExists")
            if rules.check:
                rules.check(project, values)
        except Refused as refusal:
            if not refusal.keep:
                return prior, str(refusal)
            kept = str(refusal)
        if "id" in values and prior is None and values["id"] is UNKNOWN:
            values["id"] = identity
        if rules.compute:
            rules.compute(project, values, prior)
        settle(block, values)
        self._keep_payload(project, identity, config)
        clear_write_only(block, values)
        project.put("create" if prior is None else "update", type_name, identity, values)
        return values, kept

    def _keep_payload(self, project, identity, config):
        for name, value in (config or {}).items():
            if (name.endswith("_wo") or name == "secret_data") and isinstance(value, str):
                project.payloads[identity] = value

    def read(self, type_name, state):
        with self.project.open() as project:
            return project.get(type_name, self.identity(type_name, state))

    def import_(self, type_name, wanted):
        """The state of an object that exists under `wanted`, in full or as its tail; None if there is none."""
        with self.project.open() as project:
            for values in project.of(type_name):
                identity = self.identity(type_name, values)
                if wanted in (identity, values.get("id")) or identity.endswith("/" + wanted):
                    return values
        return None

    def read_data(self, type_name, config):
        block = self.schema["data_sources"][type_name]
        values = copied(config)
        self._inherit(block, config, values, None)
        mark_computed(block, values)
        with self.project.open() as project:
            if type_name in self.data:
                values |= self.data[type_name](project, self.settings, values)
        settle(block, values)
        return values


def _unconfigurable(block, config, prefix=""):
    """What the configuration sets although only the provider may."""
    if not isinstance(config, dict):
        return
    for name, attribute in block["attributes"].items():
        computed_only = attribute["computed"] and not attribute["optional"]
        if computed_only and config.get(name) is not None:
            yield prefix + name, f'Value for unconfigurable attribute: can\'t configure a value for "{prefix}{name}"'
    for name, nested in block["blocks"].items():
        inner = config.get(name)
        for element in inner if isinstance(inner, list) else [inner]:
            yield from _unconfigurable(nested["block"], element, f"{prefix}{name}.*.")
