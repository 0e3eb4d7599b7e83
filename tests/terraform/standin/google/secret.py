"""Secret Manager."""

from ..rules import Refused, Rules
from ..wire import UNKNOWN
from .common import PROJECT_NUMBER, fill, tail


def forget_parts(project, values):
    """A secret's versions and grants go with it."""
    name = values["secret_id"]
    project.forget("google_secret_manager_secret_version", lambda version: tail(version["secret"]) == name)
    project.forget("google_secret_manager_secret_iam_member", lambda grant: tail(grant["secret_id"]) == name)


SECRET = Rules(
    identity="projects/{project}/secrets/{secret_id}",
    api="secretmanager.googleapis.com",
    force_new=("secret_id", "project", "replication"),
    defaults={"deletion_protection": False},
    patterns={"secret_id": r"[A-Za-z0-9_-]{1,255}"},
    cascade=forget_parts,
    exactly_one=(("replication.*.auto", "replication.*.user_managed"),),
    protected_by="deletion_protection",
    compute=lambda _project, values, _prior: (
        fill(values, "name", f"projects/{PROJECT_NUMBER}/secrets/{values['secret_id']}"),
        fill(values, "create_time", "2026-01-01T00:00:00Z"),
    ),
)


def find_secret(project, reference):
    return next(
        (found for found in project.of("google_secret_manager_secret") if found["secret_id"] == tail(reference)), None
    )


def check_version(project, values):
    if find_secret(project, values["secret"]) is None:
        raise Refused(f"Error 404: secret {values['secret']} was not found. notFound")


def identify_version(project, values):
    if values.get("project") in (None, UNKNOWN) and values["secret"].startswith("projects/"):
        values["project"] = values["secret"].split("/")[1]
    used = [
        entry
        for entry in project.log
        if entry["op"] == "create"
        and entry["type"] == "google_secret_manager_secret_version"
        and entry["id"].startswith(values["secret"] + "/versions/")
    ]
    number = str(len(used) + 1)
    fill(values, "version", number)
    fill(values, "name", f"{values['secret']}/versions/{values['version']}")
    if values.get("enabled") is UNKNOWN:
        values["enabled"] = True
    fill(values, "create_time", "2026-01-01T00:00:00Z")
    values["id"] = values["name"]


SECRET_VERSION = Rules(
    identity="{name}",
    api="secretmanager.googleapis.com",
    force_new=("secret", "secret_data", "secret_data_wo_version", "is_secret_data_base64"),
    defaults={"enabled": True, "deletion_policy": "DELETE", "is_secret_data_base64": False},
    enums={"deletion_policy": {"DELETE", "ABANDON", "DISABLE"}},
    exactly_one=(("secret_data", "secret_data_wo"),),
    sensitive=("secret_data",),
    identify=identify_version,
    check=check_version,
)
