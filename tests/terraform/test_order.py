"""What has to come before what, read from the order in which things really happened."""

import pytest

import stacks

CREATED_BEFORE = [
    ("google_project_service", "google_compute_network"),
    ("google_project_service", "google_vpc_access_connector"),
    ("google_project_service", "google_redis_instance"),
    ("google_project_service", "google_cloud_run_v2_service"),
    ("google_project_service", "google_secret_manager_secret"),
    ("google_project_service", "google_service_account"),
    ("google_compute_network", "google_vpc_access_connector"),
    ("google_compute_network", "google_redis_instance"),
    ("google_vpc_access_connector", "google_cloud_run_v2_service"),
    ("google_redis_instance", "google_cloud_run_v2_service"),
    ("google_secret_manager_secret_version", "google_cloud_run_v2_service"),
    ("google_secret_manager_secret_iam_member", "google_cloud_run_v2_service"),
    ("google_service_account", "google_cloud_run_v2_service"),
    ("google_project_iam_member", "google_cloud_run_v2_service"),
    ("google_artifact_registry_repository", "google_cloud_run_v2_service"),
    ("google_service_networking_connection", "google_redis_instance"),
    ("google_compute_subnetwork", "google_cloud_run_v2_service"),
    ("google_cloud_run_v2_service", "google_cloud_run_v2_job"),
    ("google_cloud_run_v2_job", "google_cloud_scheduler_job"),
    ("google_cloud_run_v2_job_iam_member", "google_cloud_scheduler_job"),
]


@pytest.mark.parametrize("offer", stacks.ALL, ids=lambda offer: offer.name)
def test_things_are_made_in_the_apis_order_and_unmade_in_reverse(offered, offer):
    stack = offered(offer)
    stack.apply()
    made = _order(stack, "create")
    for first, then in CREATED_BEFORE:
        if first in made and then in made:
            assert _last(made, first) < made.index(then), f"{then} was made before every {first}"
    if offer.unprotect:
        stack.apply(**offer.unprotect)
    if offer is stacks.DIRECT:
        stack.try_destroy()
        stack.project.sleep(3600)
    stack.destroy(**offer.unprotect)
    unmade = _order(stack, "delete", "abandon")
    for first, then in CREATED_BEFORE:
        if first in unmade and then in unmade:
            assert _last(unmade, then) < unmade.index(first), f"{first} went before every {then}"


def test_the_service_waits_for_its_grants_to_spread(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    clock = {entry["type"]: entry["clock"] for entry in stack.project.log if entry["op"] == "create"}
    assert clock["google_cloud_run_v2_service"] - clock["google_secret_manager_secret_iam_member"] >= 20


def test_nothing_is_called_before_its_api_has_had_time_to_spread(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    log = [entry for entry in stack.project.log if entry["op"] == "create"]
    enabled = max(entry["clock"] for entry in log if entry["type"] == "google_project_service")
    others = [
        entry for entry in log if entry["type"].startswith("google_") and entry["type"] != "google_project_service"
    ]
    assert min(entry["clock"] for entry in others) - enabled >= 30


def test_the_network_is_left_alone_until_the_connectors_rule_is_gone(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    stack.destroy()
    clock = {entry["type"]: entry["clock"] for entry in stack.project.log if entry["op"] == "delete"}
    assert clock["google_compute_network"] - clock["google_vpc_access_connector"] >= 60


@pytest.mark.parametrize("parallelism", [1, 30])
def test_the_order_doesnt_depend_on_how_many_things_happen_at_once(offered, parallelism):
    stack = offered(stacks.ROOT)
    stack.environment["TF_CLI_ARGS_apply"] = f"-parallelism={parallelism}"
    stack.environment["TF_CLI_ARGS_destroy"] = f"-parallelism={parallelism}"
    stack.apply()
    stack.assert_settled()
    stack.destroy()


def _order(stack, *operations):
    """The types in their order, without the prober's account, which none but the prober waits for."""
    return [
        entry["type"]
        for entry in stack.project.log
        if entry["op"] in operations and not (entry["type"] == "google_service_account" and "-probe@" in entry["id"])
    ]


def _last(sequence, element):
    return len(sequence) - 1 - sequence[::-1].index(element)
