"""Service accounts and grants."""

import re

from ..rules import Refused, Rules
from .common import digest, fill, tail


def email_of(values):
    return f"{values['account_id']}@{values['project']}.iam.gserviceaccount.com"


def compute_account(_project, values, _prior):
    email = email_of(values)
    fill(values, "email", email)
    fill(values, "member", f"serviceAccount:{email}")
    fill(values, "name", f"projects/{values['project']}/serviceAccounts/{email}")
    fill(values, "unique_id", str(int(digest(email)[:16], 16)))
    values["id"] = values["name"]


ACCOUNT = Rules(
    identity="projects/{project}/serviceAccounts/{account_id}@{project}.iam.gserviceaccount.com",
    api="iam.googleapis.com",
    force_new=("account_id", "project"),
    defaults={"disabled": False},
    patterns={"account_id": r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])"},
    compute=compute_account,
)


def require_member(project, member):
    """IAM refuses a binding for an account of this project that doesn't exist."""
    found = re.fullmatch(r"serviceAccount:([a-z][-a-z0-9]+)@([-a-z0-9]+)\.iam\.gserviceaccount\.com", str(member))
    if not found or found[2].startswith("gcp-") or found[1].startswith("service-"):
        return
    if not any(
        email_of(account) == member.removeprefix("serviceAccount:") for account in project.of("google_service_account")
    ):
        raise Refused(f"Error 400: service account {member} does not exist. badRequest")


def member_rules(target, api, *, exists=None):
    """Rules of a `…_iam_member`, which names its target by the argument `target`."""

    def check(project, values):
        require_member(project, values["member"])
        if exists and not any(tail(values[target]) == tail(found[1]) for found in _named(project, exists)):
            raise Refused(f"Error 404: {exists} {values[target]} was not found. notFound")

    return Rules(
        identity="{" + target + "} {role} {member}",
        api=api,
        force_new=(target, "role", "member", "condition"),
        idempotent=True,
        patterns={"role": r"(roles|projects/[^/]+/roles|organizations/[^/]+/roles)/.+"},
        check=check,
        compute=lambda project, values, _prior: fill(values, "etag", digest(len(project.log))[:12]),
    )


def _named(project, type_name):
    for values in project.of(type_name):
        yield type_name, values.get("secret_id") or values.get("repository_id") or values.get("name")
