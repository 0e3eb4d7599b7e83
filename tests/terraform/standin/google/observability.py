"""Alerts, channels, dashboards and uptime checks."""

import json

from ..rules import Refused, Rules
from .common import PROJECT_NUMBER, digest, fill


def numbered(kind):
    """The API makes up the last part of the name."""

    def identify(project, values):
        fill(values, "name", f"projects/{values['project']}/{kind}/{int(digest(kind, len(project.log))[:12], 16)}")
        values["id"] = values["name"]

    return identify


ALERT = Rules(
    identity="{name}",
    api="monitoring.googleapis.com",
    force_new=("project",),
    defaults={"enabled": True},
    enums={
        "combiner": {"AND", "OR", "AND_WITH_MATCHING_RESOURCE"},
        "severity": {"CRITICAL", "ERROR", "WARNING"},
        "conditions.*.condition_threshold.*.comparison": {
            "COMPARISON_GT",
            "COMPARISON_GE",
            "COMPARISON_LT",
            "COMPARISON_LE",
            "COMPARISON_EQ",
            "COMPARISON_NE",
        },
    },
    identify=numbered("alertPolicies"),
)

CHANNEL = Rules(
    identity="{name}",
    api="monitoring.googleapis.com",
    force_new=("project",),
    defaults={"enabled": True, "force_delete": False},
    identify=numbered("notificationChannels"),
)



def check_dashboard(_project, values):
    if not json.loads(values["dashboard_json"]).get("displayName"):
        raise Refused("Error 400: dashboard.display_name is required")


def name_dashboard(project, values):
    values["id"] = f"projects/{PROJECT_NUMBER}/dashboards/{digest('dashboard', len(project.log))[:32]}"


DASHBOARD = Rules(
    identity="{id}",
    api="monitoring.googleapis.com",
    force_new=("project",),
    check=check_dashboard,
    identify=name_dashboard,
)

UPTIME = Rules(
    identity="{name}",
    api="monitoring.googleapis.com",
    force_new=("project", "monitored_resource", "http_check.*.request_method"),
    defaults={"period": "300s"},
    enums={"period": {"60s", "300s", "600s", "900s"}},
    exactly_one=(("http_check", "tcp_check"),),
    identify=numbered("uptimeCheckConfigs"),
)
