#!/usr/bin/env python3
"""Says whether the signed-in person (or CI account) may apply this stack, before an apply finds out half-way.

    python3 terraform/deploy_roles.py PROJECT_ID            asks Google and names what is missing
    python3 terraform/deploy_roles.py PROJECT_ID --build --telemetry --observability --prober --direct
    python3 terraform/deploy_roles.py --table               prints the table of README.md

It calls projects.testIamPermissions of the Resource Manager, which tells which of the asked permissions the caller has,
and changes nothing. The token is GOOGLE_OAUTH_ACCESS_TOKEN or comes from `gcloud auth print-access-token`. Exit code 0:
nothing is missing; 1: something is; 2: Google couldn't be asked.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

ENDPOINT = "https://cloudresourcemanager.googleapis.com/v1/"
TIMEOUT_S = 30

# What needs it: "always", or the switch of this script. Role, what for, permissions that prove it.
NEEDS = [
    ("always", "roles/serviceusage.serviceUsageAdmin", "enable the APIs",
     ["serviceusage.services.enable", "serviceusage.services.list"]),
    ("always", "roles/compute.networkAdmin", "make the network; with `egress = \"direct\"` its subnet",
     ["compute.networks.create", "compute.networks.delete"]),
    ("connector", "roles/vpcaccess.admin", "make the connector",
     ["vpcaccess.connectors.create", "vpcaccess.connectors.delete"]),
    ("always", "roles/redis.admin", "make Redis and read its password",
     ["redis.instances.create", "redis.instances.getAuthString"]),
    ("always", "roles/secretmanager.admin", "make the secrets, their versions and the grants on them",
     ["secretmanager.secrets.create", "secretmanager.versions.add", "secretmanager.versions.access",
      "secretmanager.secrets.setIamPolicy"]),
    ("always", "roles/iam.serviceAccountAdmin", "make the service accounts",
     ["iam.serviceAccounts.create", "iam.serviceAccounts.delete"]),
    ("always", "roles/iam.serviceAccountUser", "let the service (and the build) run as them",
     ["iam.serviceAccounts.actAs"]),
    ("always", "roles/run.admin", "make the service, open it without the IAM check or grant roles/run.invoker",
     ["run.services.create", "run.services.setIamPolicy"]),
    ("build", "roles/artifactregistry.admin", "make the repository and the grant on it",
     ["artifactregistry.repositories.create", "artifactregistry.repositories.setIamPolicy"]),
    ("build", "roles/storage.admin", "make the build's bucket and upload the sources",
     ["storage.buckets.create", "storage.buckets.setIamPolicy"]),
    ("build", "roles/cloudbuild.builds.editor", "start the build", ["cloudbuild.builds.create"]),
    ("telemetry", "roles/resourcemanager.projectIamAdmin", "grant the service's account its telemetry roles",
     ["resourcemanager.projects.setIamPolicy"]),
    ("observability", "roles/monitoring.editor", "make the dashboard, the alerts and the uptime check",
     ["monitoring.dashboards.create", "monitoring.alertPolicies.create", "monitoring.uptimeCheckConfigs.create"]),
    ("prober", "roles/cloudscheduler.admin", "make the schedule of the prober", ["cloudscheduler.jobs.create"]),
]

WHEN = {
    "always": "always",
    "connector": "with `egress = \"connector\"`",
    "build": "where `image` is null",
    "telemetry": "with `telemetry.collector`, `.traces` or `.metrics`",
    "observability": "with `observability.enabled`",
    "prober": "with `observability.prober`",
}


def table():
    lines = ["| role | what for | when |", "|---|---|---|"]
    lines += [f"| `{role}` | {why} | {WHEN[when]} |" for when, role, why, _ in NEEDS]
    return "\n".join(lines)


def token():
    given = os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN")
    if given:
        return given
    try:
        return subprocess.run(
            ["gcloud", "auth", "print-access-token"], check=True, capture_output=True, text=True, timeout=TIMEOUT_S
        ).stdout.strip()
    except FileNotFoundError:
        sys.exit("deploy_roles: gcloud is not on the PATH; install it, or set GOOGLE_OAUTH_ACCESS_TOKEN")
    except subprocess.CalledProcessError:
        sys.exit("deploy_roles: gcloud is not signed in; run 'gcloud auth login'")


def granted(project, permissions):
    """Which of the permissions the caller has on the project."""
    base = os.environ.get("GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT", ENDPOINT)
    request = urllib.request.Request(
        f"{base}projects/{project}:testIamPermissions",
        data=json.dumps({"permissions": permissions}).encode(),
        headers={"Authorization": f"Bearer {token()}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return set(json.load(answer).get("permissions", []))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("project", nargs="?")
    parser.add_argument("--table", action="store_true", help="print the table of roles and stop")
    parser.add_argument("--direct", action="store_true", help="Direct egress: no connector is made")
    parser.add_argument("--build", action="store_true", help="the image is built, `image` is null")
    parser.add_argument("--telemetry", action="store_true", help="telemetry.collector, .traces or .metrics is on")
    parser.add_argument("--observability", action="store_true", help="observability.enabled is on")
    parser.add_argument("--prober", action="store_true", help="observability.prober is on")
    chosen = parser.parse_args()
    if chosen.table:
        print(table())
        return 0
    if not chosen.project:
        parser.error("which project?")
    switches = {"always"} | ({"connector"} if not chosen.direct else set())
    switches |= {name for name in ("build", "telemetry", "observability", "prober") if getattr(chosen, name)}
    needed = [need for need in NEEDS if need[0] in switches]
    try:
        has = granted(chosen.project, [permission for need in needed for permission in need[3]])
    except urllib.error.HTTPError as error:
        print(f"deploy_roles: Google answered {error.code}: {error.read().decode(errors='replace')[:500]}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"deploy_roles: Google can't be reached: {error}", file=sys.stderr)
        return 2
    missing = 0
    for _, role, why, permissions in needed:
        lacking = [permission for permission in permissions if permission not in has]
        if lacking:
            missing += 1
            print(f"missing {', '.join(lacking)}: grant {role} ({why})")
    print(f"{len(needed) - missing} of {len(needed)} roles are there" + ("" if missing else ": the apply may go ahead"))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
