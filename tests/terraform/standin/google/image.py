"""Where images and their sources are kept."""

from ..rules import Rules
from .common import NAME_63, digest, fill

REPOSITORY = Rules(
    identity="projects/{project}/locations/{location}/repositories/{repository_id}",
    api="artifactregistry.googleapis.com",
    force_new=("repository_id", "project", "location", "format", "kms_key_name", "mode"),
    defaults={"mode": "STANDARD_REPOSITORY"},
    enums={
        "mode": {"STANDARD_REPOSITORY", "VIRTUAL_REPOSITORY", "REMOTE_REPOSITORY"},
        "cleanup_policies.*.action": {"DELETE", "KEEP"},
        "cleanup_policies.*.condition.*.tag_state": {"TAGGED", "UNTAGGED", "ANY"},
    },
    patterns={"repository_id": NAME_63},
    compute=lambda _project, values, _prior: (
        fill(values, "name", values["repository_id"]),
        fill(
            values, "registry_uri", f"{values['location']}-docker.pkg.dev/{values['project']}/{values['repository_id']}"
        ),
        fill(values, "create_time", "2026-01-01T00:00:00Z"),
    ),
)

BUCKET = Rules(
    identity="{name}",
    api="storage.googleapis.com",
    force_new=("name", "project", "location"),
    defaults={"storage_class": "STANDARD", "force_destroy": False},
    patterns={"name": r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"},
    compute=lambda _project, values, _prior: (
        fill(values, "url", f"gs://{values['name']}"),
        fill(values, "self_link", f"https://www.googleapis.com/storage/v1/b/{values['name']}"),
    ),
)


def data_image(project, settings, values):
    name = values["image_name"].partition(":")[0].partition("@")[0]
    pushed = f"sha256:{digest(values['image_name'])}"
    where = f"{values['location']}-docker.pkg.dev/{settings.get('project')}/{values['repository_id']}"
    return {"self_link": f"{where}/{name}@{pushed}", "name": f"{name}@{pushed}", "id": f"{where}/{name}@{pushed}"}
