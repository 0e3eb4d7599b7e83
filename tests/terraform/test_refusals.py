"""Bad input is refused while planning, and the message names the variable."""

import re

import pytest

import stacks
from stack import TERRAFORM

DIGEST = "@sha256:" + "0" * 64
OTHER_PROJECT = {"existing": {"name": "shared", "project_id": "host-project"}}

REFUSED = [
    # The name that the message has to begin with, and the variables.
    ("project_id", {"project_id": "Demo"}),
    ("project_id", {"project_id": "short"}),
    ("region", {"region": "us-central"}),
    ("region", {"region": "mars-north1"}),
    ("name", {"name": "Confab"}),
    ("name", {"name": "a-name-that-is-far-too-long"}),
    ("profile", {"profile": "prod"}),
    ("labels", {"labels": {"Team": "chat"}}),
    ("labels", {"labels": {"team": "Chat Team"}}),
    ("image", {"image": "confab"}),
    ("image", {"image": "example.com/confab@sha256:123"}),
    ("build.region", {"build": {"region": "us-moon1"}}),
    ("build.machine_type", {"build": {"machine_type": "e2-micro"}}),
    ("build.timeout_seconds", {"build": {"timeout_seconds": 5}}),
    ("build.source_patterns", {"build": {"source_patterns": []}}),
    ("invokers", {"public": False, "invokers": ["allUsers"]}),
    ("invokers", {"invokers": ["group:team@example.com"]}),
    ("ingress", {"ingress": "INGRESS_TRAFFIC_ALL"}),
    ("min_instances", {"min_instances": -1}),
    ("min_instances", {"min_instances": 1.5}),
    ("min_instances", {"min_instances": 5, "max_instances": 4}),
    ("max_instances", {"max_instances": 0}),
    ("max_instances", {"max_instances": 900, "redis": {"sockets_per_instance": 100}}),
    ("sockets.cap", {"sockets": {"cap": 1001}}),
    ("sockets.target", {"sockets": {"target": 1000, "cap": 900}}),
    ("sockets.target", {"sockets": {"target": 600, "concurrency": 500}}),
    ("sockets.concurrency", {"sockets": {"concurrency": 950, "cap": 900}}),
    ("request_timeout_seconds", {"request_timeout_seconds": 3601}),
    ("request_timeout_seconds", {"request_timeout_seconds": 30}),
    ("cpu", {"cpu": "3"}),
    ("memory", {"memory": "128Mi"}),
    ("memory", {"memory": "1G"}),
    ("memory", {"cpu": "4", "memory": "1Gi"}),
    ("allowed_origins", {"allowed_origins": ["chat.example.com"]}),
    ("allowed_origins", {"allowed_origins": ["https://chat.example.com/path"]}),
    ("allowed_origins", {"allowed_origins": [f"https://chat{number}.example.com" for number in range(65)]}),
    ("trusted_hops", {"trusted_hops": 9}),
    ("settings", {"settings": {"PORT": "1"}}),
    ("settings", {"settings": {"CONFAB__STORE__URL": "redis://elsewhere"}}),
    ("egress", {"egress": "vpc"}),
    ("network.existing.name", {"network": {"existing": {"name": "projects/x/global/networks/y"}}}),
    ("network.existing.project_id", {"network": {"existing": {"name": "net", "project_id": "X"}}}),
    ("network.existing.direct_subnet", {"network": {"existing": {"name": "net", "direct_subnet": "Sub Net"}}}),
    ("network.existing.direct_subnet", {"egress": "direct", "network": {"existing": {"name": "net"}}}),
    ("network.direct_cidr", {"network": {"direct_cidr": "10.8.2.0/27"}}),
    ("network.direct_cidr", {"network": {"direct_cidr": "10.8.2.5/26"}}),
    ("network.direct_cidr", {"network": {"direct_cidr": "fd00::/20"}}),
    ("network.private_services_cidr", {"network": {"private_services_cidr": "10.9.0.0/25"}}),
    ("network.private_services_cidr", {"network": {"private_services_cidr": "10.9.1.0/20"}}),
    ("network.used_ranges", {"network": {"used_ranges": {"office": "10.1.2.3.4/8"}}}),
    ("overlapping ranges", {"network": {"used_ranges": {"office": "10.8.0.0/16"}}}),
    ("connector.name", {"connector": {"name": "a-connector-name-of-26-char"}}),
    ("connector.ip_cidr_range", {"connector": {"ip_cidr_range": "10.8.0.0/27"}}),
    ("connector.ip_cidr_range", {"connector": {"ip_cidr_range": "10.8.0.3/28"}}),
    ("connector.ip_cidr_range", {"connector": {"ip_cidr_range": "8.8.8.0/28"}}),
    ("connector.machine_type", {"connector": {"machine_type": "n1-standard-1"}}),
    ("connector.min_instances", {"connector": {"min_instances": 1}}),
    ("connector.max_instances", {"connector": {"max_instances": 11}}),
    ("connector.max_instances", {"connector": {"min_instances": 4, "max_instances": 4}}),
    ("connector.existing_id", {"connector": {"existing_id": "my-connector"}}),
    ("connector.existing_id", {"connector": {"existing_id": "projects/p/locations/europe-west1/connectors/c"}}),
    ("connector.subnet", {"connector": {"subnet": "projects/p/regions/r/subnetworks/s"}}),
    ("connector.subnet_project_id", {"connector": {"subnet": "serverless", "subnet_project_id": "Host"}}),
    ("connector.subnet_project_id", {"connector": {"subnet_project_id": "host-project"}}),
    ("connector.subnet", {"network": OTHER_PROJECT, "redis": {"connect_mode": "PRIVATE_SERVICE_ACCESS"}}),
    ("connector throughput", {"traffic": {"messages_per_second": 20000}}),
    ("connector throughput", {"max_instances": 200, "redis": {"sockets_per_instance": 13}}),
    ("traffic.messages_per_second", {"traffic": {"messages_per_second": 0}}),
    ("traffic.message_bytes", {"traffic": {"message_bytes": 70000}}),
    ("service_account_id", {"service_account_id": "chat"}),
    ("redis.name", {"redis": {"name": "Rooms"}}),
    ("redis.name", {"redis": {"name": "r"}}),
    ("redis.tier", {"redis": {"tier": "STANDARD"}}),
    ("redis.tier", {"profile": "dev", "redis": {"tier": "STANDARD_HA"}}),
    ("redis.tier", {"profile": "production", "redis": {"tier": "BASIC"}}),
    ("redis.memory_gb", {"redis": {"memory_gb": 0}}),
    ("redis.memory_gb", {"redis": {"memory_gb": 301}}),
    ("redis.version", {"redis": {"version": "REDIS_6_X"}}),
    ("redis.auth", {"redis": {"auth": "yes"}}),
    ("redis.connect_mode", {"redis": {"connect_mode": "PSC"}}),
    ("redis.connect_mode", {"network": OTHER_PROJECT}),
    ("redis.zone", {"redis": {"zone": "a"}}),
    ("redis.zone", {"redis": {"zone": "europe-west1-b"}}),
    ("redis.reserved_ip_range", {"redis": {"reserved_ip_range": "10.0.0.0/28"}}),
    ("redis.reserved_ip_range", {"redis": {"reserved_ip_range": "10.0.0.4/29"}}),
    ("redis.maintenance_day", {"redis": {"maintenance_day": "Sunday"}}),
    ("redis.maintenance_hour", {"redis": {"maintenance_hour": 24}}),
    ("redis.snapshot_hours", {"redis": {"snapshot_hours": 3}}),
    ("redis.sockets_per_instance", {"redis": {"sockets_per_instance": 12}}),
    ("durability", {"durability": "always"}),
    ("durability", {"profile": "dev", "durability": "replicated"}),
    ("durability", {"durability": "local"}),
    ("tls_verify", {"tls_verify": "none"}),
    ("token_keys", {"token_keys": []}),
    ("token_keys", {"token_keys": ["1", "1"]}),
    ("token_keys", {"token_keys": ["Key One"]}),
    ("telemetry.otlp_endpoint", {"telemetry": {"otlp_endpoint": "collector:4317"}}),
    (
        "telemetry.collector",
        {"telemetry": {"otlp_endpoint": "http://collector:4317", "collector": {"image": "example.com/collector"}}},
    ),
    ("telemetry.collector", {"telemetry": {"collector": {"image": "example.com/collector", "cpu": "500m"}}}),
    ("telemetry.collector", {"telemetry": {"collector": {"image": "example.com/collector", "memory": "1G"}}}),
    ("observability.runbooks", {"observability": {"enabled": True, "runbooks": "docs/operations"}}),
    ("observability.notify", {"observability": {"enabled": True, "notify": ["nobody"]}}),
    ("observability.prober.every_minutes", {"observability": {"enabled": True, "prober": {"every_minutes": 7}}}),
    ("observability.prober.within_seconds", {"observability": {"enabled": True, "prober": {"within_seconds": 1}}}),
    ("observability.prober.delivery_within_ms", {"observability": {"enabled": True, "prober": {"delivery_within_ms": 0}}}),
    ("observability.prober.url", {"observability": {"enabled": True, "prober": {"url": "https://chat.example.com"}}}),
    ("observability.prober.url", {"observability": {"enabled": True, "prober": {"url": "wss://chat.example.com/ws?key=1"}}}),
    ("observability.prober.url", {"ingress": "internal", "observability": {"enabled": True, "prober": {}}}),
    ("observability.prober.scheduler_region", {"observability": {"enabled": True, "prober": {"scheduler_region": "moon"}}}),
    ("observability.prober", {"observability": {"prober": {}}}),
    ("observability.prober", {"public": False, "observability": {"enabled": True, "prober": {}}}),
    ("waits", {"waits": {"apis": -1}}),
    ("waits", {"waits": {"connector_destroy": 601}}),
    ("usage", {"usage": {"average_sockets": -1}}),
    ("usage.sleeping_share", {"usage": {"sleeping_share": 2}}),
    ("prices", {"prices": {"egress_gib": -1}}),
    ("deletion_protection", {"profile": "dev", "deletion_protection": True}),
    ("image", {"profile": "production", "image": "example.com/chat/confab:latest"}),
    ("image", {"profile": "production", "image": None}),
]


@pytest.mark.parametrize(
    "name, variables", REFUSED, ids=[f"{name}-{number}" for number, (name, _) in enumerate(REFUSED)]
)
def test_bad_input_is_refused_by_name_before_anything_is_made(offered, name, variables):
    stack = offered(stacks.ROOT)
    refused = stack.try_plan(**variables)
    assert refused.code == 1, "the plan went through"
    assert f" {name}: " in refused.flat, refused.why
    assert stack.project.log == []


MESSAGE = re.compile(r'error_message\s*=\s*"([a-z_. ]+):')


def test_every_guard_of_the_root_stack_has_a_bad_value_here():
    text = "\n".join(file.read_text() for file in sorted(TERRAFORM.glob("*.tf")))
    assert set(MESSAGE.findall(text)) - {name for name, _ in REFUSED} == set()


@pytest.mark.parametrize(
    "variables", [{"image": "example.com/chat/confab" + DIGEST, "profile": "production"}, {"profile": "dev"}]
)
def test_the_guards_let_good_input_through(offered, variables):
    assert offered(stacks.ROOT).plan(**variables).actions
