"""Cloud Run jobs and Cloud Scheduler."""

import re

from ..rules import Refused, Rules
from ..values import at, one
from .common import digest, fill
from .identity import require_member

LONGEST_TASK_S = 168 * 3600
FIELD = r"(\*|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*"
"""A field of a crontab line, without names."""


def check_job(project, values):
    task = values["template"][0]["template"][0]
    account = task.get("service_account")
    if isinstance(account, str) and account:
        require_member(project, f"serviceAccount:{account}")
    timeout = task.get("timeout")
    if isinstance(timeout, str) and not 1 <= float(timeout.removesuffix("s")) <= LONGEST_TASK_S:
        raise Refused(f"Error 400: timeout {timeout} must be between 1s and {LONGEST_TASK_S}s")
    for limits in at(task, "containers.*.resources.*.limits"):
        if isinstance(limits, dict) and float(limits.get("cpu") or 1) < 1:
            raise Refused("Error 400: a job's cpu is 1 at least")


def compute_job(_project, values, _prior):
    for template in values["template"]:
        fill(template, "task_count", 1)
        fill(template, "parallelism", 0)
    fill(values, "launch_stage", "GA")
    fill(values, "uid", digest(values["name"], values["location"])[:32])
    fill(values, "etag", digest(values["name"], "etag")[:16])
    fill(values, "generation", "1")


JOB = Rules(
    identity="projects/{project}/locations/{location}/jobs/{name}",
    api="run.googleapis.com",
    force_new=("name", "project", "location"),
    defaults={"deletion_protection": True, "template.*.template.*.max_retries": 3},
    enums={
        "launch_stage": {"UNIMPLEMENTED", "PRELAUNCH", "EARLY_ACCESS", "ALPHA", "BETA", "GA", "DEPRECATED"},
        "template.*.template.*.execution_environment": {"EXECUTION_ENVIRONMENT_GEN1", "EXECUTION_ENVIRONMENT_GEN2"},
    },
    patterns={"name": r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?"},
    ranges={"template.*.template.*.max_retries": (0, 10)},
    protected_by="deletion_protection",
    check=check_job,
    compute=compute_job,
)


def check_schedule(project, values):
    if not re.fullmatch(f"{FIELD}( {FIELD}){{4}}", str(values["schedule"])):
        raise Refused(f"Error 400: schedule '{values['schedule']}' is no crontab line")
    deadline = values.get("attempt_deadline")
    if isinstance(deadline, str) and not 15 <= float(deadline.removesuffix("s")) <= 1800:
        raise Refused(f"Error 400: attempt_deadline {deadline} must be between 15s and 30m")
    account = one(values, "http_target.*.oauth_token.*.service_account_email")
    if isinstance(account, str):
        require_member(project, f"serviceAccount:{account}")
        if not re.match(r"https://([-a-z0-9]+\.)*googleapis\.com/", str(one(values, "http_target.*.uri"))):
            raise Refused("Error 400: an OAuth token is for a host under googleapis.com")


SCHEDULER_JOB = Rules(
    identity="projects/{project}/locations/{region}/jobs/{name}",
    api="cloudscheduler.googleapis.com",
    force_new=("name", "project", "region"),
    defaults={"time_zone": "Etc/UTC", "attempt_deadline": "180s"},
    patterns={"name": r"[-_a-zA-Z0-9]{1,500}"},
    exactly_one=(("http_target", "pubsub_target", "app_engine_http_target"),),
    check=check_schedule,
    compute=lambda _project, values, _prior: fill(values, "state", "ENABLED"),
)
