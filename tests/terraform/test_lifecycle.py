"""Each offered stack from nothing to nothing, and each variable's change."""

import json
import re

import pytest

import stacks
from stack import TERRAFORM, left_over
from standin.catalogue import OLD
from tables import blocks

APIS_STAY = "google_project_service"


@pytest.mark.parametrize("offer", stacks.ALL, ids=lambda offer: offer.name)
def test_a_stack_is_applied_settles_and_is_destroyed_at_the_first_try(offered, offer):
    stack = offered(offer)
    stack.apply()
    stack.assert_settled()
    if offer.unprotect:
        standing = dict(stack.project.objects)
        refused = stack.try_destroy()
        assert refused.code == 1 and "set deletion_protection to false" in refused.flat, refused.why
        assert stack.project.objects == standing, "a refused destroy has to leave everything where it was"
        stack.apply(**offer.unprotect)
    if offer is stacks.DIRECT:
        # Documented: the subnet of Direct egress is held for one to two hours after the service.
        refused = stack.try_destroy()
        assert refused.code == 1 and "serverless addresses" in refused.flat, refused.why
        stack.project.sleep(3600)
    stack.destroy(**offer.unprotect)
    assert sorted(left_over(stack.project)) == sorted(offer.seeded())
    assert stack.state()["resources"] == []


def test_a_destroyed_stack_can_be_made_again_under_the_same_names(offered):
    stack = offered(stacks.PRIVATE_ACCESS)
    for _ in range(2):
        stack.apply()
        stack.assert_settled()
        stack.destroy()
        assert left_over(stack.project) == []


@pytest.mark.parametrize("offer", stacks.ALL, ids=lambda offer: offer.name)
def test_a_stack_also_plans_with_the_older_provider(offered, offer):
    stack = offered(offer, version=OLD)
    assert stack.terraform("validate").code == 0
    assert set(stack.plan().actions.values()) == {"create"}


SERVICE = "module.service.google_cloud_run_v2_service.this"
REDIS = "module.redis.google_redis_instance.this"
CONNECTOR = "module.connector[0].google_vpc_access_connector.this"
NETWORK_WAIT = "module.network.time_sleep.before_network_is_deleted[0]"
AUTH = "module.secrets.google_secret_manager_secret_version.redis_auth[0]"
AUTH_EPOCH = "module.secrets.terraform_data.redis_auth_epoch[0]"
CA = "module.secrets.google_secret_manager_secret_version.redis_ca[0]"
ANY_VERSION = r"module\.secrets\.(google_secret_manager_secret_version|terraform_data)\..*"

UPDATE_SERVICE = {SERVICE: "update"}
CHANGES = {
    # What a user may change on a running stack, and what that does. A key is an address or, with `.*`, a pattern.
    "image": ({"image": stacks.OTHER_IMAGE}, UPDATE_SERVICE),
    "min_instances": ({"min_instances": 3}, UPDATE_SERVICE),
    "max_instances": ({"max_instances": 12}, UPDATE_SERVICE),
    "sockets.cap": ({"sockets": {"cap": 900}}, UPDATE_SERVICE),
    "sockets.concurrency": ({"sockets": {"concurrency": 800}}, UPDATE_SERVICE),
    "sockets.target": ({"sockets": {"target": 500}}, {}),
    "request_timeout_seconds": ({"request_timeout_seconds": 900}, UPDATE_SERVICE),
    "cpu": ({"cpu": "2"}, UPDATE_SERVICE),
    "memory": ({"memory": "2Gi"}, UPDATE_SERVICE),
    "allowed_origins": ({"allowed_origins": ["https://chat.example.com"]}, UPDATE_SERVICE),
    "trusted_hops": ({"trusted_hops": 2}, UPDATE_SERVICE),
    "readiness_probe": ({"readiness_probe": False}, UPDATE_SERVICE),
    "settings": ({"settings": {"CONFAB__LIMITS__ROOMS": "50"}}, UPDATE_SERVICE),
    "durability": ({"durability": "replicated"}, UPDATE_SERVICE),
    "tls_verify": ({"tls_verify": "full"}, UPDATE_SERVICE),
    "ingress": ({"ingress": "internal"}, UPDATE_SERVICE),
    "public": (
        {"public": False, "invokers": ["group:team@example.com"]},
        {SERVICE: "update", r"module\.service\.google_cloud_run_v2_service_iam_member\.invoker.*": "create"},
    ),
    "deletion_protection": (
        {"deletion_protection": True},
        {REDIS: "update", "terraform_data.protection": "update"},
    ),
    "redis.memory_gb": ({"redis": {"memory_gb": 5}}, {REDIS: "update"}),
    "redis.maintenance": ({"redis": {"maintenance_day": "MONDAY", "maintenance_hour": 5}}, {REDIS: "update"}),
    "redis.snapshot_hours": ({"redis": {"snapshot_hours": 6}}, {REDIS: "update"}),
    "connector.machine_type": ({"connector": {"machine_type": "e2-standard-4"}}, {CONNECTOR: "update"}),
    "connector.max_instances": ({"connector": {"max_instances": 5}}, {CONNECTOR: "update"}),
    "connector.ip_cidr_range": (
        {"connector": {"ip_cidr_range": "10.8.5.0/28"}},
        {CONNECTOR: "replace", SERVICE: "update"},
    ),
    "telemetry": (
        {"telemetry": {"traces": True}},
        {
            r"module\.identity\.google_project_iam_member\.telemetry.*": "create",
            r"module\.project_services\.google_project_service.*": "create",
            r"module\.project_services\.time_sleep.*": "replace",
        },
    ),
    "telemetry.collector": (
        {"telemetry": {"collector": {"image": "example.com/collectors/otelcol-google:1"}}},
        {
            SERVICE: "update",
            r"module\.identity\.google_project_iam_member\.telemetry.*": "create",
            r"module\.project_services\.google_project_service.*": "create",
            r"module\.project_services\.time_sleep.*": "replace",
        },
    ),
    "observability": (
        {"observability": {"enabled": True, "notify": ["oncall@example.com"]}},
        {
            r"module\.observability\[0\]\..*": "create",
            r"module\.project_services\.google_project_service.*": "create",
            r"module\.project_services\.time_sleep.*": "replace",
        },
    ),
    "observability.prober": (
        {"observability": {"enabled": True, "prober": {"every_minutes": 10}}},
        {
            r"module\.observability\[0\]\..*": "create",
            r"module\.project_services\.google_project_service.*": "create",
            r"module\.project_services\.time_sleep.*": "replace",
        },
    ),
    "traffic": ({"traffic": {"messages_per_second": 600}}, {}),
    "usage": ({"usage": {"average_sockets": 200}}, {}),
    "waits": (
        {"waits": {"apis": 40, "grants": 30, "connector_destroy": 80}},
        {
            r"module\.project_services\.time_sleep.*": "update",
            r"module\.secrets\.time_sleep.*": "update",
            NETWORK_WAIT: "update",
        },
    ),
}
CHANGED_ELSEWHERE = {
    "project_id": "another project is another stack",
    "region": "test_a_stack_moves_to_another_region_if_the_connector_gets_another_range",
    "name": "another name is another stack",
    "profile": "a set of defaults, each of which is changed by itself; dev has a life cycle of its own",
    "labels": "on every resource: test_labels_reach_every_resource_in_place",
    "invokers": "together with public",
    "egress": "test_egress_is_switched_without_touching_redis",
    "network": "chosen once: existing-network and direct-egress have life cycles of their own",
    "token_keys": "test_rotation.py",
    "build": "test_build.py",
    "prices": "only the estimate",
    "service_account_id": "chosen once, to adopt an account that exists: test_migration.py",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_does_exactly_what_is_documented(offered, change):
    assert_change(offered(stacks.ROOT), *CHANGES[change])


def assert_change(stack, variables, expected):
    """On a running stack, `variables` do what `expected` says and nothing else, and then it is settled."""
    stack.apply()
    actions = stack.plan(**variables).actions
    unexplained = {
        address: action
        for address, action in actions.items()
        if not any(expected[key] == action for key in expected if key == address or re.fullmatch(key, address))
    }
    unmet = [key for key in expected if not any(key == address or re.fullmatch(key, address) for address in actions)]
    assert (unexplained, unmet) == ({}, [])
    stack.apply_planned()
    stack.assert_settled(**variables)


WITHIN = "module.confab."
"""Where the stack is in an example."""
EXAMPLE_CHANGES = {
    "minimal.image": (stacks.MINIMAL, {"image": stacks.OTHER_IMAGE}, {WITHIN + SERVICE: "update"}),
    "production.image": (stacks.PRODUCTION, {"image": stacks.OTHER_IMAGE}, {WITHIN + SERVICE: "update"}),
    "production.deletion_protection": (
        stacks.PRODUCTION,
        {"deletion_protection": False},
        {WITHIN + REDIS: "update", WITHIN + "terraform_data.protection": "update"},
    ),
    "production.max_instances": (
        stacks.PRODUCTION,
        {"max_instances": 40},
        {
            WITHIN + SERVICE: "update",
            WITHIN + "module.observability[0].google_monitoring_alert_policy.instances": "update",
            WITHIN + "module.observability[0].google_monitoring_dashboard.this": "update",
        },
    ),
    "production.redis_memory_gb": (stacks.PRODUCTION, {"redis_memory_gb": 6}, {WITHIN + REDIS: "update"}),
    "production.notify": (
        stacks.PRODUCTION,
        {"notify": ["chat-oncall@example.com", "chat-lead@example.com"]},
        {
            r"module\.confab\.module\.observability\[0\]\.google_monitoring_notification_channel\..*": "create",
            r"module\.confab\.module\.observability\[0\]\.google_monitoring_alert_policy\..*": "update",
        },
    ),
    "existing-network.image": (stacks.EXISTING_NETWORK, {"image": stacks.OTHER_IMAGE}, {WITHIN + SERVICE: "update"}),
    "existing-network.invokers": (
        stacks.EXISTING_NETWORK,
        {"invokers": ["group:others@example.com"]},
        {
            r"module\.confab\.module\.service\.google_cloud_run_v2_service_iam_member\.invoker.*chat-users.*": "delete",
            r"module\.confab\.module\.service\.google_cloud_run_v2_service_iam_member\.invoker.*others.*": "create",
        },
    ),
    "existing-network.used_ranges": (stacks.EXISTING_NETWORK, {"used_ranges": {"offices": "10.10.0.0/16"}}, {}),
    "existing-network.redis_range": (
        stacks.EXISTING_NETWORK,
        {"redis_range": "10.41.0.0/29"},
        {
            WITHIN + REDIS: "replace",
            WITHIN + SERVICE: "update",
            r"module\.confab\.module\.redis\.terraform_data\..*": "replace",
            r"module\.confab\.module\.secrets\.google_secret_manager_secret_version\.redis_.*": "replace",
        },
    ),
}
EXAMPLE_CHANGED_ELSEWHERE = {
    "project_id": "another project is another stack",
    "region": "another region is another stack",
    "network": "another network is another stack",
    "connector_subnet": "as connector.ip_cidr_range: another connector, to which the service moves",
    "redis_auth": "test_rotation.py",
    "token_keys": "test_rotation.py",
}


@pytest.mark.parametrize("change", EXAMPLE_CHANGES)
def test_a_change_of_an_example_does_exactly_what_is_documented(offered, change):
    offer, variables, expected = EXAMPLE_CHANGES[change]
    assert_change(offered(offer), variables, expected)


@pytest.mark.parametrize("offer", stacks.EXAMPLES, ids=lambda offer: offer.name)
def test_every_variable_of_an_example_is_changed_somewhere(offer):
    changed = {name for other, variables, _ in EXAMPLE_CHANGES.values() if other is offer for name in variables}
    assert set(blocks(offer.folder, "variable")) - changed - set(EXAMPLE_CHANGED_ELSEWHERE) == set()


def test_every_variable_is_changed_somewhere():
    declared = set(blocks(TERRAFORM, "variable"))
    covered = {name for variables, _ in CHANGES.values() for name in variables} | set(CHANGED_ELSEWHERE)
    assert declared - covered == set(), "add the variable to CHANGES or say why not in CHANGED_ELSEWHERE"
    assert covered - declared == set(), "these variables are gone"


PROBER = 'module.observability[0].google_{}.prober["this"]'


def test_the_prober_follows_the_service_and_goes_when_it_is_switched_off(offered):
    stack = offered(stacks.WATCHED)
    stack.apply()
    assert stack.plan(image=stacks.OTHER_IMAGE).actions == {
        SERVICE: "update",
        PROBER.format("cloud_run_v2_job"): "update",
    }
    watching = stacks.WATCHED.variables["observability"]
    assert stack.plan(observability=watching | {"prober": {"every_minutes": 1}}).actions == {
        PROBER.format("cloud_scheduler_job"): "update",
        PROBER.format("monitoring_alert_policy"): "update",
    }
    off = {"observability": watching | {"prober": None}}
    gone = [address for address, action in stack.plan(**off).actions.items() if action == "delete"]
    kinds = ("service_account", "cloud_run_v2_job", "cloud_run_v2_job_iam_member", "cloud_scheduler_job")
    assert {PROBER.format(kind) for kind in (*kinds, "monitoring_alert_policy")} <= set(gone)
    stack.apply(**off)
    stack.assert_settled(**off)
    assert stack.project.of("google_cloud_run_v2_job") == [] and stack.project.of("google_cloud_scheduler_job") == []


def test_labels_reach_every_resource_in_place(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    plan = stack.plan(labels={"team": "chat"})
    assert set(plan.actions.values()) == {"update"}
    for address, type_name, values in plan.resources:
        if "labels" in values and type_name != "google_monitoring_notification_channel":
            assert (values["labels"] or {}).get("team") == "chat", address


def test_egress_is_switched_without_touching_redis(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    actions = stack.plan(egress="direct").actions
    assert actions[SERVICE] == "update" and actions[CONNECTOR] == "delete" and REDIS not in actions
    stack.apply(egress="direct")
    stack.assert_settled(egress="direct")


@pytest.mark.parametrize("change", [{"name": "other"}, {"region": "europe-west1"}], ids=["name", "region"])
def test_a_protected_service_is_not_replaced_by_another(offered, change):
    stack = offered(stacks.ROOT, deletion_protection=True)
    stack.apply()
    standing = dict(stack.project.objects)
    refused = stack.try_apply(**change)
    assert refused.code == 1 and "This stack is protected" in refused.flat, refused.why
    assert stack.project.objects == standing
    stack.apply()
    stack.assert_settled()


def test_a_protected_service_is_not_destroyed_by_itself(offered):
    stack = offered(stacks.ROOT, deletion_protection=True)
    stack.apply()
    stack.environment["TF_CLI_ARGS_destroy"] = "-target=module.service"
    refused = stack.try_destroy()
    assert refused.code == 1 and "This stack is protected" in refused.flat, refused.why
    assert stack.project.order("delete") == []


def test_copies_to_disk_are_switched_off_again(offered):
    stack = offered(stacks.ROOT)
    stack.apply(redis={"snapshot_hours": 6})
    assert stack.plan().actions == {REDIS: "update"}
    stack.apply()
    stack.assert_settled()
    (redis,) = stack.project.of("google_redis_instance")
    assert redis["persistence_config"][0]["persistence_mode"] == "DISABLED"


def test_a_stack_moves_to_another_region_if_the_connector_gets_another_range(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    move = {"region": "europe-west1"}
    refused = stack.try_apply(**move)
    assert refused.code == 1 and "overlaps" in refused.flat, refused.why
    move |= {"connector": {"ip_cidr_range": "10.8.1.0/28"}}
    stack.apply(**move)
    stack.assert_settled(**move)
    stack.destroy(**move)
    assert left_over(stack.project) == []


def test_replacing_redis_is_followed_by_the_secrets_and_the_service(offered):
    stack = offered(stacks.ROOT)
    stack.apply()
    change = {"redis": {"tier": "BASIC"}}
    assert stack.plan(**change).actions[REDIS] == "replace"
    stack.apply(**change)
    stack.assert_settled(**change)
    assert_secret_is_current(stack)


def assert_secret_is_current(stack):
    """The newest version of the password's secret is the password that Redis has."""
    redis = stack.project.of("google_redis_instance")[0]
    newest = stack.project.of("google_secret_manager_secret_version")
    newest = [version for version in newest if version["secret"].endswith("redis-auth")][-1]
    assert stack.project.payloads[newest["name"]] == redis["auth_string"]
    assert redis["auth_string"] not in json.dumps(newest)
