"""The imaginary Google Cloud project.

Owns: which objects exist, in which order things happened, a clock that only sleeping advances, and planned faults.
Must not know: terraform, schemas. May use: nothing.

One `Project` outlives many terraform runs, as a real project does. It can be kept in a file, for providers that
terraform starts as processes of their own.
"""

import json
import threading
from contextlib import contextmanager
from pathlib import Path

from .rules import Refused

CHOSEN = (
    "service",
    "name",
    "account_id",
    "secret_id",
    "secret",
    "secret_data_wo_version",
    "repository_id",
    "bucket",
    "display_name",
    "role",
    "member",
    "create_duration",
    "destroy_duration",
    "triggers",
)
"""Arguments that tell one object from another before it has a name."""


class Project:
    """Objects by type and identity. Every access goes through `open`, which makes it atomic."""

    def __init__(self, file: Path | None = None):
        self._lock, self._file = threading.RLock(), file
        self.objects = {}
        self.payloads = {}
        """What was written and can't be read back through terraform: the secret versions' data, by identity."""
        self.log = []
        """Every change: {"op", "type", "id", "clock"}, oldest first."""
        self.clock = 0.0
        """Seconds. Only sleeping advances it."""
        self.leftovers = {}
        """Things that linger after their owner was deleted: what it blocks, to when it is gone."""
        self.faults = {}
        """Type to the number of creates that are still to fail."""
        self.fail_each_create_once = False
        self.fail_each_delete_once = False
        self.failed = []
        """Which creates and deletes were made to fail."""
        self.bad_images = []
        """Images whose container never answers its startup probe."""
        if file and file.exists():
            vars(self).update(json.loads(file.read_text()))

    @contextmanager
    def open(self):
        with self._lock:
            yield self
            if self._file:
                kept = {name: value for name, value in vars(self).items() if not name.startswith("_")}
                self._file.write_text(json.dumps(kept, indent=1))

    def _key(self, type_name, identity):
        return f"{type_name} {identity}"

    def get(self, type_name, identity):
        return self.objects.get(self._key(type_name, identity))

    def of(self, type_name):
        """Every object of a type."""
        return [value for key, value in self.objects.items() if key.startswith(type_name + " ")]

    def put(self, op, type_name, identity, values):
        self.objects[self._key(type_name, identity)] = values
        self.record(op, type_name, identity)

    def drop(self, type_name, identity):
        del self.objects[self._key(type_name, identity)]
        self.record("delete", type_name, identity)

    def forget(self, type_name, where):
        """Removes the objects of a type for which `where` holds: they went with their owner."""
        for key in [key for key, value in self.objects.items() if key.startswith(type_name + " ") and where(value)]:
            del self.objects[key]

    def record(self, op, type_name, identity):
        self.log.append({"op": op, "type": type_name, "id": identity, "clock": self.clock})

    def order(self, op):
        """The types of the log's entries of one kind, in order."""
        return [entry["type"] for entry in self.log if entry["op"] == op]

    def inject(self, type_name, values):
        """Raises where a fault was planned for this create. Recognises a second attempt by what the caller chose."""
        chosen = [f"{name}={values[name]}" for name in CHOSEN if isinstance(values.get(name), (str, dict))]
        key = " ".join([type_name, *chosen])
        if self.faults.get(type_name, 0) > 0:
            self.faults[type_name] -= 1
        elif not self.fail_each_create_once or key in self.failed:
            return
        self.failed.append(key)
        raise Refused(f"Error 503: injected fault while creating {key}")

    def inject_delete(self, type_name, identity):
        """Raises where a fault was planned for this delete."""
        key = f"delete {self._key(type_name, identity)}"
        if self.fail_each_delete_once and key not in self.failed:
            self.failed.append(key)
            raise Refused(f"Error 503: injected fault while deleting {type_name} {identity}")

    def require_api(self, api):
        if api and not any(service["service"] == api for service in self.of("google_project_service")):
            raise Refused(
                f"Error 403: {api} has not been used in this project before or it is disabled. SERVICE_DISABLED"
            )

    def linger(self, what, seconds):
        self.leftovers[what] = self.clock + seconds

    def lingering(self, what):
        return self.leftovers.get(what, 0) > self.clock

    def sleep(self, seconds):
        self.clock += seconds
