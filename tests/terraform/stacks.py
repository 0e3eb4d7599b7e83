"""The stacks that terraform/ offers, as the tests use them.

Owns: folders, variables and what has to exist before. Must not know: how terraform is run. May use: nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from stack import TERRAFORM

IMAGE = "us-docker.pkg.dev/elsewhere/confab/confab@sha256:" + "ab" * 32
OTHER_IMAGE = "us-docker.pkg.dev/elsewhere/confab/confab@sha256:" + "cd" * 32


@dataclass(frozen=True)
class Offer:
    """One stack that a user may apply as it is."""

    name: str
    folder: Path
    variables: dict = field(default_factory=dict)
    var_file: Path | None = None
    seed: tuple = ()
    """What has to exist before: (type, identity, values)."""
    unprotect: dict = field(default_factory=dict)
    """Variables that have to be applied before a destroy."""

    def put_seed(self, project):
        for type_name, identity, values in self.seed:
            project.objects[f"{type_name} {identity}"] = values
        project.log.clear()

    def seeded(self):
        return [f"{type_name} {identity}" for type_name, identity, _ in self.seed]


def example(name, **more):
    folder = TERRAFORM / "examples" / name
    return Offer(name, folder, var_file=folder / f"{name}.tfvars", **more)


ROOT = Offer("root", TERRAFORM, {"project_id": "demo-project", "image": IMAGE})
MINIMAL = example("minimal", variables={"image": IMAGE})
PRODUCTION = example(
    "production",
    unprotect={"deletion_protection": False},
    seed=(
        (
            "google_artifact_registry_repository",
            "projects/my-chat-project/locations/europe-west1/repositories/confab",
            {"repository_id": "confab", "project": "my-chat-project", "location": "europe-west1"},
        ),
    ),
)
EXISTING_NETWORK = example(
    "existing-network",
    variables={"project_id": "my-chat-project", "image": IMAGE},
    seed=(
        (
            "google_compute_network",
            "projects/my-chat-project/global/networks/corporate",
            {"name": "corporate", "project": "my-chat-project"},
        ),
        (
            "google_compute_subnetwork",
            "projects/my-chat-project/regions/us-central1/subnetworks/serverless-us-central1",
            {
                "name": "serverless-us-central1",
                "project": "my-chat-project",
                "region": "us-central1",
                "network": "corporate",
                "ip_cidr_range": "10.20.0.0/28",
            },
        ),
    ),
)
DIRECT = Offer("direct-egress", TERRAFORM, ROOT.variables | {"egress": "direct"})
PRIVATE_ACCESS = Offer(
    "private-service-access", TERRAFORM, ROOT.variables | {"redis": {"connect_mode": "PRIVATE_SERVICE_ACCESS"}}
)
PRIVATE = Offer("private", TERRAFORM, ROOT.variables | {"public": False, "invokers": ["group:team@example.com"]})
DEV = Offer("dev", TERRAFORM, ROOT.variables | {"profile": "dev"})
WATCHED = Offer(
    "watched",
    TERRAFORM,
    ROOT.variables
    | {
        "observability": {"enabled": True, "notify": ["oncall@example.com"], "prober": {}},
        "telemetry": {"traces": True, "metrics": True, "otlp_endpoint": "https://telemetry.googleapis.com"},
    },
)

EXAMPLES = (MINIMAL, PRODUCTION, EXISTING_NETWORK)
COLLECTED = Offer(
    "collected",
    TERRAFORM,
    ROOT.variables
    | {
        "observability": {"enabled": True, "runbooks": "https://docs.example.com/operations"},
        "telemetry": {"collector": {"image": "example.com/collectors/otelcol-google:1"}},
    },
)
SWITCHED = (DIRECT, PRIVATE_ACCESS, PRIVATE, DEV, WATCHED, COLLECTED)
ALL = (ROOT, *EXAMPLES, *SWITCHED)
