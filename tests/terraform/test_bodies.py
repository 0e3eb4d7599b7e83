"""What the plan would send, against Google's own description of its APIs."""

import json

import pytest

import discovery
import stacks
from discovery import BODIES, NO_BODY, Misfit
from standin.catalogue import google_schema


def arguments(type_name):
    """What a configuration may set: the rest is the provider's answer."""
    block = google_schema()["resources"][type_name]
    settable = {
        name for name, attribute in block["attributes"].items() if attribute["optional"] or attribute["required"]
    }
    return settable | set(block["blocks"])


def unknown_of(plan, address):
    change = next(change for change in plan.document["resource_changes"] if change["address"] == address)
    return {name for name, value in change["change"]["after_unknown"].items() if value is True}


@pytest.mark.parametrize("offer", stacks.ALL, ids=lambda offer: offer.name)
def test_every_planned_body_fits_googles_discovery_document(offered, offer):
    plan = offered(offer).plan()
    checked, misfits = 0, []
    for address, type_name, values in plan.resources:
        if type_name in NO_BODY:
            continue
        try:
            discovery.check(type_name, values, arguments(type_name), unknown_of(plan, address))
            checked += 1
        except Misfit as misfit:
            misfits.append(f"{address}: {misfit}")
    assert misfits == []
    assert checked >= 10


def test_a_dashboard_holds_nothing_that_the_api_would_leave_out_of_its_answer(offered):
    plan = offered(stacks.WATCHED).plan()
    (dashboard,) = [values for _, type_name, values in plan.resources if type_name == "google_monitoring_dashboard"]
    left_out = []

    def walk(value, path):
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, f"{path}.{name}")
        elif isinstance(value, list) and value:
            for inner in value:
                walk(inner, f"{path}[]")
        elif not value:
            left_out.append(path)

    walk(json.loads(dashboard["dashboard_json"]), "dashboard")
    assert left_out == [], "the provider would plan these anew for ever"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"tier": "GOLD"}, "tier is one of"),
        ({"memory_size_gb": "1 GB"}, "memorySizeGb is integer"),
        ({"colour": "red"}, "has no field colour"),
        ({"host": "10.0.0.1"}, "host is read-only"),
        ({"maintenance_policy": [{"weekly_maintenance_window": [{"day": "SOMEDAY"}]}]}, "day is one of"),
    ],
)
def test_the_check_refuses_what_the_api_would_not_understand(change, words):
    body = {"name": "rooms", "tier": "BASIC", "memory_size_gb": 1} | change
    with pytest.raises(Misfit, match=words):
        discovery.check("google_redis_instance", body, set(body))


def test_each_body_names_a_schema_that_exists():
    for api, schema in BODIES.values():
        assert "properties" in discovery.document(api)[schema]
