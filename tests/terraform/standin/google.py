"""What the google provider and Google's APIs enforce beyond the published schema.

Owns: per resource the defaults, what is ForceNew, enums, name rules, the API's ordering and its answers.
Must not know: the modules under test. May use: rules, values, project.

Sources: the provider's documentation and behaviour (7.45 and 8.7), and the APIs' reference pages. A resource that is
used without an entry here still plans and applies, but nothing is checked beyond its schema.
"""

import hashlib
import ipaddress
import re

from .rules import Refused, Rules
from .values import at, one
from .wire import UNKNOWN

CONNECTOR_FIREWALL_LINGERS_S = 60
"""The firewall rule that a connector leaves behind keeps its network from being deleted for about this long."""
PROJECT_NUMBER = "123456789012"
NAME_63 = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
ACCESSOR = "roles/secretmanager.secretAccessor"


def digest(*parts):
    """A stable stand-in for what the API would make up."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


def fill(values, name, value):
    if values.get(name) is UNKNOWN:
        values[name] = value


def tail(reference):
    return str(reference).rpartition("/")[2]


def networks_named(project, reference):
    return [network for network in project.of("google_compute_network") if network["name"] == tail(reference)]


def require_network(project, reference):
    if reference not in (None, "", UNKNOWN) and not networks_named(project, reference):
        raise Refused(f"Error 404: the resource '{reference}' was not found: network. notFound")


# -- APIs ----------------------------------------------------------------------------------------------------------

PROJECT_SERVICE = Rules(
    identity="{project}/{service}",
    force_new=("project", "service"),
    defaults={"disable_on_destroy": False},
    patterns={"service": r"[a-z0-9.-]+\.googleapis\.com"},
    idempotent=True,
    survives=lambda values: not values["disable_on_destroy"],
)


# -- Network -------------------------------------------------------------------------------------------------------


def compute_network(_project, values, _prior):
    fill(values, "self_link", f"https://www.googleapis.com/compute/v1/{network_id(values)}")
    fill(values, "numeric_id", str(int(digest(network_id(values))[:12], 16)))
    fill(values, "network_firewall_policy_enforcement_order", "AFTER_CLASSIC_FIREWALL")


def network_id(values):
    return f"projects/{values['project']}/global/networks/{values['name']}"


def delete_network(project, values):
    name = values["name"]
    users = [
        (kind, argument)
        for kind, argument in (
            ("google_compute_subnetwork", "network"),
            ("google_compute_firewall", "network"),
            ("google_compute_router", "network"),
            ("google_compute_global_address", "network"),
            ("google_vpc_access_connector", "network"),
            ("google_redis_instance", "authorized_network"),
        )
        if any(tail(user.get(argument)) == name for user in project.of(kind))
    ]
    if users:
        raise Refused(f"Error 400: the network resource '{name}' is already being used by {users}. resourceInUse")
    if project.lingering(f"network {name}"):
        raise Refused(
            f"Error 400: the network resource '{name}' is already being used by the firewall rule"
            " 'aet-connector-egress'. resourceInUseByAnotherResource"
        )


NETWORK = Rules(
    identity="projects/{project}/global/networks/{name}",
    api="compute.googleapis.com",
    force_new=("name", "project", "auto_create_subnetworks", "description", "network_profile"),
    defaults={"auto_create_subnetworks": True, "delete_default_routes_on_create": False},
    enums={"routing_mode": {"REGIONAL", "GLOBAL"}},
    patterns={"name": NAME_63},
    ranges={"mtu": (1300, 8896)},
    compute=compute_network,
    check_delete=delete_network,
    # An abandoned peering goes with its network.
    cascade=lambda project, values: project.forget(
        "google_service_networking_connection", lambda peering: tail(peering["network"]) == values["name"]
    ),
)


def overlapping(project, network, cidr, but=None):
    """The ranges on `network` that `cidr` would overlap."""
    wanted = ipaddress.ip_network(cidr)
    taken = [
        (subnet["name"], subnet["ip_cidr_range"])
        for subnet in project.of("google_compute_subnetwork")
        if tail(subnet["network"]) == tail(network) and subnet["name"] != but
    ] + [
        (connector["name"], connector["ip_cidr_range"])
        for connector in project.of("google_vpc_access_connector")
        if connector.get("ip_cidr_range") and tail(connector["network"]) == tail(network) and connector["name"] != but
    ]
    return [(name, other) for name, other in taken if wanted.overlaps(ipaddress.ip_network(other))]


def check_subnetwork(project, values):
    require_network(project, values["network"])
    clash = overlapping(project, values["network"], values["ip_cidr_range"], values["name"])
    if clash:
        raise Refused(f"Error 400: Invalid IPCidrRange: {values['ip_cidr_range']} conflicts with {clash}")


def compute_subnetwork(_project, values, _prior):
    path = f"projects/{values['project']}/regions/{values['region']}/subnetworks/{values['name']}"
    fill(values, "self_link", f"https://www.googleapis.com/compute/v1/{path}")
    fill(values, "gateway_address", str(next(ipaddress.ip_network(values["ip_cidr_range"]).hosts())))
    fill(values, "purpose", "PRIVATE")
    fill(values, "stack_type", "IPV4_ONLY")
    fill(values, "private_ipv6_google_access", "DISABLE_GOOGLE_ACCESS")


def delete_subnetwork(project, values):
    path = f"subnetwork {values['name']}"
    users = [c["name"] for c in project.of("google_vpc_access_connector") if values["name"] in at(c, "subnet.*.name")]
    for service in project.of("google_cloud_run_v2_service"):
        if values["name"] in [
            tail(name) for name in at(service, "template.*.vpc_access.*.network_interfaces.*.subnetwork")
        ]:
            users.append(service["name"])
    if users:
        raise Refused(f"Error 400: the subnetwork resource '{values['name']}' is in use by {users}. resourceInUse")
    if project.lingering(path):
        raise Refused(
            f"Error 400: the subnetwork resource '{values['name']}' is already being used by serverless addresses."
            " resourceInUseByAnotherResource"
        )


SUBNETWORK = Rules(
    identity="projects/{project}/regions/{region}/subnetworks/{name}",
    api="compute.googleapis.com",
    force_new=("name", "project", "region", "network", "description"),
    defaults={},
    patterns={"name": NAME_63},
    enums={"stack_type": {"IPV4_ONLY", "IPV4_IPV6", "IPV6_ONLY"}},
    check=check_subnetwork,
    compute=compute_subnetwork,
    check_delete=delete_subnetwork,
)

GLOBAL_ADDRESS = Rules(
    identity="projects/{project}/global/addresses/{name}",
    api="compute.googleapis.com",
    force_new=("name", "project", "address", "address_type", "network", "prefix_length", "purpose", "ip_version"),
    defaults={"address_type": "EXTERNAL"},
    enums={"address_type": {"EXTERNAL", "INTERNAL"}, "purpose": {"VPC_PEERING", "PRIVATE_SERVICE_CONNECT"}},
    patterns={"name": NAME_63},
    check=lambda project, values: require_network(project, values.get("network")),
    compute=lambda _project, values, _prior: fill(values, "address", "10.200.0.0"),
)


def check_peering(project, values):
    require_network(project, values["network"])
    reserved = {address["name"] for address in project.of("google_compute_global_address")}
    for name in values["reserved_peering_ranges"]:
        if name not in reserved:
            raise Refused(f"Error 400: the allocated range '{name}' was not found")


def delete_peering(project, values):
    users = [
        redis["name"]
        for redis in project.of("google_redis_instance")
        if redis["connect_mode"] == "PRIVATE_SERVICE_ACCESS"
        and tail(redis["authorized_network"]) == tail(values["network"])
    ]
    if users:
        raise Refused(f"Error 400: producer services {users} are still using this connection")


PEERING = Rules(
    identity="{network}:{service}",
    api="servicenetworking.googleapis.com",
    force_new=("network", "service"),
    check=check_peering,
    check_delete=delete_peering,
)

FIREWALL = Rules(
    identity="projects/{project}/global/firewalls/{name}",
    api="compute.googleapis.com",
    force_new=("name", "project", "network", "direction"),
    defaults={"priority": 1000},
    enums={"direction": {"INGRESS", "EGRESS"}},
    patterns={"name": NAME_63},
    check=lambda project, values: require_network(project, values["network"]),
)


# -- Connector -----------------------------------------------------------------------------------------------------


def check_connector(project, values):
    require_network(project, values.get("network"))
    lowest, highest = values.get("min_instances"), values.get("max_instances")
    if isinstance(lowest, int) and isinstance(highest, int) and lowest >= highest:
        raise Refused(f"Error 400: min_instances {lowest} must be less than max_instances {highest}")
    cidr = values.get("ip_cidr_range")
    if isinstance(cidr, str) and cidr:
        network = ipaddress.ip_network(cidr)
        if network.prefixlen != 28 or not network.is_private:
            raise Refused(f"Error 400: ip_cidr_range {cidr} must be an unused private /28")
        clash = overlapping(project, values["network"], cidr, values["name"])
        if clash:
            raise Refused(f"Error 400: ip_cidr_range {cidr} overlaps {clash}")
    for name in at(values, "subnet.*.name"):
        found = [subnet for subnet in project.of("google_compute_subnetwork") if subnet["name"] == tail(name)]
        if not found:
            raise Refused(f"Error 404: subnet {name} was not found. notFound")
        if not found[0]["ip_cidr_range"].endswith("/28"):
            raise Refused(f"Error 400: the connector's subnet {name} must be a /28")


def compute_connector(project, values, _prior):
    homes = [
        subnet["network"]
        for name in at(values, "subnet.*.name")
        for subnet in project.of("google_compute_subnetwork")
        if subnet["name"] == tail(name)
    ]
    fill(values, "network", tail(homes[0]) if homes else "default")
    fill(values, "state", "READY")
    fill(values, "self_link", f"projects/{values['project']}/locations/{values['region']}/connectors/{values['name']}")
    fill(values, "min_instances", 2)
    fill(values, "max_instances", 3)
    fill(values, "min_throughput", 200)
    fill(values, "max_throughput", 300)


def delete_connector(project, values):
    # Google lets a connector go while services use it; they lose their way into the network.
    project.linger(f"network {tail(values['network'])}", CONNECTOR_FIREWALL_LINGERS_S)


CONNECTOR = Rules(
    identity="projects/{project}/locations/{region}/connectors/{name}",
    api="vpcaccess.googleapis.com",
    force_new=("name", "project", "region", "network", "ip_cidr_range", "subnet"),
    defaults={"machine_type": "e2-micro"},
    enums={"machine_type": {"f1-micro", "e2-micro", "e2-standard-4"}},
    patterns={"name": r"[a-z][-a-z0-9]{0,23}[a-z0-9]"},
    ranges={"min_instances": (2, 9), "max_instances": (3, 10), "min_throughput": (200, 1000)},
    conflicts=(("min_instances", "min_throughput"), ("max_instances", "max_throughput"), ("ip_cidr_range", "subnet")),
    check=check_connector,
    compute=compute_connector,
    check_delete=delete_connector,
)


# -- Redis ---------------------------------------------------------------------------------------------------------

REDIS_CONFIGS = {
    "maxmemory-policy": {
        "noeviction",
        "allkeys-lru",
        "volatile-lru",
        "allkeys-random",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lfu",
        "volatile-lfu",
    },
    "notify-keyspace-events": None,
    "activedefrag": {"yes", "no"},
    "lfu-decay-time": None,
    "lfu-log-factor": None,
    "maxmemory-gb": None,
    "stream-node-max-bytes": None,
    "stream-node-max-entries": None,
    "timeout": None,
    "maxclients": None,
}


def check_redis(project, values):
    if values.get("authorized_network") in (None, UNKNOWN):
        values["authorized_network"] = f"projects/{values['project']}/global/networks/default"
    require_network(project, values["authorized_network"])
    for name, value in (values.get("redis_configs") or {}).items():
        if name not in REDIS_CONFIGS:
            raise Refused(f"Error 400: redis_configs has no parameter {name}")
        if REDIS_CONFIGS[name] and value not in REDIS_CONFIGS[name]:
            raise Refused(f"Error 400: redis_configs.{name} can't be {value}")
    if values["tier"] == "BASIC" and values.get("replica_count") not in (None, 0, UNKNOWN):
        raise Refused("Error 400: replica_count must be 0 for a BASIC instance")
    if values["tier"] == "BASIC" and values.get("read_replicas_mode") == "READ_REPLICAS_ENABLED":
        raise Refused("Error 400: a BASIC instance has no read replicas")
    if values.get("read_replicas_mode") == "READ_REPLICAS_ENABLED" and values["memory_size_gb"] < 5:
        raise Refused("Error 400: read replicas need memory_size_gb of 5 or more")
    if values["connect_mode"] == "PRIVATE_SERVICE_ACCESS" and not any(
        tail(peering["network"]) == tail(values["authorized_network"])
        for peering in project.of("google_service_networking_connection")
    ):
        raise Refused("Error 400: private services access isn't set up on the network (service networking connection)")


def compute_redis(project, values, prior):
    name = values["name"]
    tls = values["transit_encryption_mode"] == "SERVER_AUTHENTICATION"
    fill(values, "host", "10.61.0.3")
    fill(values, "port", 6378 if tls else 6379)
    fill(values, "display_name", "")
    fill(values, "redis_version", "REDIS_7_0")
    fill(values, "location_id", f"{values['region']}-a")
    fill(values, "alternative_location_id", f"{values['region']}-b")
    fill(values, "current_location_id", f"{values['region']}-a")
    fill(values, "create_time", "2026-01-01T00:00:00Z")
    fill(values, "persistence_iam_identity", f"serviceAccount:service-{PROJECT_NUMBER}@cloud-redis.iam.gserviceaccount.com")
    fill(values, "read_replicas_mode", "READ_REPLICAS_DISABLED")
    fill(values, "replica_count", 1 if values["tier"] == "STANDARD_HA" else 0)
    fill(values, "reserved_ip_range", "10.61.0.0/29")
    if not values.get("auth_enabled"):
        values["auth_string"] = ""
    elif not (prior or {}).get("auth_enabled"):
        # The API makes a new password each time AUTH is switched on.
        values["auth_string"] = _new_password(project, name)
    if values.get("server_ca_certs") is UNKNOWN:
        certificate = {
            "cert": f"-----BEGIN CERTIFICATE-----\n{digest(name, 'ca')}\n-----END CERTIFICATE-----\n",
            "create_time": "2026-01-01T00:00:00Z",
            "expire_time": "2036-01-01T00:00:00Z",
            "serial_number": "1",
            "sha1_fingerprint": digest(name, "ca")[:40],
        }
        values["server_ca_certs"] = [certificate] if tls else []


def _new_password(project, name):
    given = [entry for entry in project.log if entry["type"] == "google_redis_instance"]
    return digest("auth", name, len(given))[:36]


REDIS = Rules(
    identity="projects/{project}/locations/{region}/instances/{name}",
    api="redis.googleapis.com",
    force_new=(
        "name",
        "project",
        "region",
        "tier",
        "authorized_network",
        "connect_mode",
        "reserved_ip_range",
        "location_id",
        "alternative_location_id",
        "transit_encryption_mode",
        "customer_managed_key",
    ),
    defaults={
        "tier": "BASIC",
        "connect_mode": "DIRECT_PEERING",
        "auth_enabled": False,
        "transit_encryption_mode": "DISABLED",
    },
    enums={
        "tier": {"BASIC", "STANDARD_HA"},
        "connect_mode": {"DIRECT_PEERING", "PRIVATE_SERVICE_ACCESS"},
        "transit_encryption_mode": {"SERVER_AUTHENTICATION", "DISABLED"},
        "read_replicas_mode": {"READ_REPLICAS_DISABLED", "READ_REPLICAS_ENABLED"},
        "redis_version": {"REDIS_3_2", "REDIS_4_0", "REDIS_5_0", "REDIS_6_X", "REDIS_7_0", "REDIS_7_2"},
        "maintenance_policy.*.weekly_maintenance_window.*.day": {
            "MONDAY",
            "TUESDAY",
            "WEDNESDAY",
            "THURSDAY",
            "FRIDAY",
            "SATURDAY",
            "SUNDAY",
        },
        "persistence_config.*.persistence_mode": {"DISABLED", "RDB"},
    },
    patterns={"name": r"[a-z][a-z0-9-]{0,39}[a-z0-9]"},
    ranges={
        "memory_size_gb": (1, 300),
        "maintenance_policy.*.weekly_maintenance_window.*.start_time.*.hours": (0, 23),
        "maintenance_policy.*.weekly_maintenance_window.*.start_time.*.minutes": (0, 59),
    },
    sensitive=("auth_string",),
    protected_by="deletion_protection",
    check=check_redis,
    compute=compute_redis,
)


# -- Identity ------------------------------------------------------------------------------------------------------


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
    if not any(email_of(account) == member.removeprefix("serviceAccount:") for account in project.of("google_service_account")):
        raise Refused(f"Error 400: service account {member} does not exist. badRequest")


def member_rules(target, api, *, exists=None):
    """Rules of a `…_iam_member`, which names its target by the argument `target`."""

    def check(project, values):
        require_member(project, values["member"])
        if exists and not any(tail(values[target]) == tail(found[1]) for found in _named(project, exists)):
            raise Refused(f"Error 404: {exists} {values[target]} was not found. notFound")

    return Rules(
        identity="{%s} {role} {member}" % target,
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


# -- Secrets -------------------------------------------------------------------------------------------------------

SECRET = Rules(
    identity="projects/{project}/secrets/{secret_id}",
    api="secretmanager.googleapis.com",
    force_new=("secret_id", "project", "replication"),
    defaults={"deletion_protection": False},
    patterns={"secret_id": r"[A-Za-z0-9_-]{1,255}"},
    cascade=lambda project, values: [
        project.forget(kind, lambda part: tail(part.get(name)) == values["secret_id"])
        for kind, name in (
            ("google_secret_manager_secret_version", "secret"),
            ("google_secret_manager_secret_iam_member", "secret_id"),
        )
    ],
    exactly_one=(("replication.*.auto", "replication.*.user_managed"),),
    protected_by="deletion_protection",
    compute=lambda _project, values, _prior: (
        fill(values, "name", f"projects/{PROJECT_NUMBER}/secrets/{values['secret_id']}"),
        fill(values, "create_time", "2026-01-01T00:00:00Z"),
    ),
)


def find_secret(project, reference):
    return next((found for found in project.of("google_secret_manager_secret") if found["secret_id"] == tail(reference)), None)


def check_version(project, values):
    if find_secret(project, values["secret"]) is None:
        raise Refused(f"Error 404: secret {values['secret']} was not found. notFound")


def identify_version(project, values):
    if values.get("project") in (None, UNKNOWN) and values["secret"].startswith("projects/"):
        values["project"] = values["secret"].split("/")[1]
    used = [
        entry
        for entry in project.log
        if entry["op"] == "create"
        and entry["type"] == "google_secret_manager_secret_version"
        and entry["id"].startswith(values["secret"] + "/versions/")
    ]
    number = str(len(used) + 1)
    fill(values, "version", number)
    fill(values, "name", f"{values['secret']}/versions/{values['version']}")
    if values.get("enabled") is UNKNOWN:
        values["enabled"] = True
    fill(values, "create_time", "2026-01-01T00:00:00Z")
    values["id"] = values["name"]


SECRET_VERSION = Rules(
    identity="{name}",
    api="secretmanager.googleapis.com",
    force_new=("secret", "secret_data", "secret_data_wo_version", "is_secret_data_base64"),
    defaults={"enabled": True, "deletion_policy": "DELETE", "is_secret_data_base64": False},
    enums={"deletion_policy": {"DELETE", "ABANDON", "DISABLE"}},
    exactly_one=(("secret_data", "secret_data_wo"),),
    sensitive=("secret_data",),
    identify=identify_version,
    check=check_version,
)


# -- Images --------------------------------------------------------------------------------------------------------

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
        fill(values, "registry_uri", f"{values['location']}-docker.pkg.dev/{values['project']}/{values['repository_id']}"),
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


# -- Cloud Run -----------------------------------------------------------------------------------------------------

PROBE_WINDOW_S = 240
"""The longest failureThreshold × periodSeconds that Cloud Run accepts for a startup probe."""
RESERVED_ENV = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")


def check_service(project, values):
    template = values["template"][0]
    account = template.get("service_account")
    if isinstance(account, str) and account:
        require_member(project, f"serviceAccount:{account}")
    _check_scaling(values, template)
    _check_containers(template)
    _check_network(project, template)
    references = at(template, "containers.*.env.*.value_source.*.secret_key_ref.*")
    references += [
        {"secret": volume["secret"], "version": one(volume, "items.*.version") or "latest"}
        for volume in at(template, "volumes.*.secret.*")
    ]
    for reference in references:
        _check_secret(project, account, reference)
    for image in at(template, "containers.*.image"):
        _check_image(project, values, image)
        if image in project.bad_images:
            raise Refused(
                f"Error waiting to create Service: the revision's container from {image} failed to start and listen"
                " on the port within the allocated timeout.",
                keep=True,
            )


def _check_scaling(values, template):
    for scaling in template.get("scaling") or []:
        lowest, highest = scaling.get("min_instance_count") or 0, scaling.get("max_instance_count")
        if isinstance(highest, int) and highest and lowest > highest:
            raise Refused(f"Error 400: min_instance_count {lowest} is over max_instance_count {highest}")
    timeout = template.get("timeout")
    if isinstance(timeout, str) and not 1 <= float(timeout.removesuffix("s")) <= 3600:
        raise Refused(f"Error 400: timeout {timeout} must be between 1s and 3600s")
    concurrency = template.get("max_instance_request_concurrency")
    if isinstance(concurrency, int) and not 0 <= concurrency <= 1000:
        raise Refused(f"Error 400: max_instance_request_concurrency {concurrency} is over 1000")


def _check_containers(template):
    mounted = {volume["name"] for volume in template.get("volumes") or []}
    for container in template["containers"]:
        names = [variable["name"] for variable in container.get("env") or []]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated or set(names) & set(RESERVED_ENV):
            raise Refused(f"Error 400: env has repeated or reserved names: {repeated or set(names) & set(RESERVED_ENV)}")
        for mount in container.get("volume_mounts") or []:
            if mount["name"] not in mounted:
                raise Refused(f"Error 400: volume_mounts names the volume {mount['name']}, which isn't there")
        for probe in container.get("startup_probe") or []:
            window = (probe.get("failure_threshold") or 3) * (probe.get("period_seconds") or 10)
            if window > PROBE_WINDOW_S:
                raise Refused(f"Error 400: startup_probe: failure_threshold x period_seconds is {window}, over 240")
            if (probe.get("timeout_seconds") or 1) > (probe.get("period_seconds") or 10):
                raise Refused("Error 400: startup_probe: timeout_seconds is over period_seconds")
        for probe in (container.get("liveness_probe") or []) + (container.get("readiness_probe") or []):
            if (probe.get("timeout_seconds") or 1) > (probe.get("period_seconds") or 10):
                raise Refused("Error 400: a probe's timeout_seconds is over its period_seconds")


def _check_network(project, template):
    for access in template.get("vpc_access") or []:
        connector = access.get("connector")
        known = {
            f"projects/{found['project']}/locations/{found['region']}/connectors/{found['name']}"
            for found in project.of("google_vpc_access_connector")
        }
        if connector and connector not in known:
            raise Refused(f"Error 400: VPC connector {connector} does not exist, or Cloud Run cannot use it")
        if connector and access.get("network_interfaces"):
            raise Refused("Error 400: vpc_access takes a connector or network_interfaces, not both")
        for interface in access.get("network_interfaces") or []:
            subnet = interface.get("subnetwork")
            if subnet and not any(tail(subnet) == found["name"] for found in project.of("google_compute_subnetwork")):
                raise Refused(f"Error 400: subnetwork {subnet} does not exist")


def _check_secret(project, account, reference):
    secret = find_secret(project, reference["secret"])
    if secret is None:
        raise Refused(f"Error 400: secret {reference['secret']} does not exist")
    wanted = reference.get("version") or "latest"
    versions = [
        version["version"]
        for version in project.of("google_secret_manager_secret_version")
        if tail(version["secret"]) == secret["secret_id"]
    ]
    if not versions or (wanted != "latest" and wanted not in versions):
        raise Refused(f"Error 400: secret {secret['secret_id']} has no version {wanted}")
    if not any(
        tail(grant["secret_id"]) == secret["secret_id"]
        and grant["role"] == ACCESSOR
        and grant["member"] == f"serviceAccount:{account}"
        for grant in project.of("google_secret_manager_secret_iam_member")
    ):
        raise Refused(f"Error 400: permission denied on secret {secret['secret_id']} for the service account {account}")


def _check_image(project, values, image):
    """An image in this project's own registry has to have been pushed to an existing repository."""
    found = re.match(r"([-a-z0-9]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/", str(image))
    if found and found[2] == values["project"] and not any(
        repository["repository_id"] == found[3] for repository in project.of("google_artifact_registry_repository")
    ):
        raise Refused(f"Error 400: image {image} not found: no repository {found[3]}")


def compute_service(_project, values, _prior):
    url = f"https://{values['name']}-{PROJECT_NUMBER}.{values['location']}.run.app"
    fill(values, "uri", url)
    values["urls"] = [url] if values.get("urls") is UNKNOWN else values.get("urls")
    fill(values, "ingress", "INGRESS_TRAFFIC_ALL")
    fill(values, "launch_stage", "GA")
    fill(values, "uid", digest(url)[:32])
    fill(values, "etag", digest(url, "etag")[:16])
    fill(values, "generation", "1")
    fill(values, "latest_created_revision", f"{values['name']}-00001-abc")
    fill(values, "latest_ready_revision", f"{values['name']}-00001-abc")


def release_addresses(project, values):
    for subnet in at(values, "template.*.vpc_access.*.network_interfaces.*.subnetwork"):
        # Direct egress keeps addresses of the subnet for one to two hours.
        project.linger(f"subnetwork {tail(subnet)}", 3600)


SERVICE = Rules(
    identity="projects/{project}/locations/{location}/services/{name}",
    api="run.googleapis.com",
    force_new=("name", "project", "location"),
    defaults={
        "deletion_protection": True,
        "template.*.containers.*.startup_probe.*.failure_threshold": 3,
        "template.*.containers.*.startup_probe.*.period_seconds": 10,
        "template.*.containers.*.startup_probe.*.timeout_seconds": 1,
        "template.*.containers.*.startup_probe.*.initial_delay_seconds": 0,
        "template.*.containers.*.liveness_probe.*.failure_threshold": 3,
        "template.*.containers.*.liveness_probe.*.period_seconds": 10,
        "template.*.containers.*.liveness_probe.*.timeout_seconds": 1,
        "template.*.containers.*.liveness_probe.*.initial_delay_seconds": 0,
        "template.*.containers.*.resources.*.startup_cpu_boost": None,
    },
    enums={
        "ingress": {
            "INGRESS_TRAFFIC_ALL",
            "INGRESS_TRAFFIC_INTERNAL_ONLY",
            "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
            "INGRESS_TRAFFIC_NONE",
        },
        "launch_stage": {"UNIMPLEMENTED", "PRELAUNCH", "EARLY_ACCESS", "ALPHA", "BETA", "GA", "DEPRECATED"},
        "template.*.execution_environment": {"EXECUTION_ENVIRONMENT_GEN1", "EXECUTION_ENVIRONMENT_GEN2"},
        "template.*.vpc_access.*.egress": {"ALL_TRAFFIC", "PRIVATE_RANGES_ONLY"},
        "traffic.*.type": {"TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"},
        "scaling.*.scaling_mode": {"AUTOMATIC", "MANUAL"},
    },
    patterns={"name": r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?"},
    ranges={"template.*.containers.*.ports.*.container_port": (1, 65535)},
    protected_by="deletion_protection",
    check=check_service,
    compute=compute_service,
    check_delete=release_addresses,
)


# -- Observability -------------------------------------------------------------------------------------------------


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

UPTIME = Rules(
    identity="{name}",
    api="monitoring.googleapis.com",
    force_new=("project", "monitored_resource", "http_check.*.request_method"),
    defaults={"period": "300s"},
    enums={"period": {"60s", "300s", "600s", "900s"}},
    exactly_one=(("http_check", "tcp_check"),),
    identify=numbered("uptimeCheckConfigs"),
)


def identify_dashboard(project, values):
    if values.get("id") is UNKNOWN or not str(values.get("id")).startswith("projects/"):
        values["id"] = f"projects/{PROJECT_NUMBER}/dashboards/{digest('dashboard', len(project.log))[:32]}"


DASHBOARD = Rules(
    identity="{id}",
    api="monitoring.googleapis.com",
    force_new=("project",),
    identify=identify_dashboard,
)

LOG_METRIC = Rules(
    identity="projects/{project}/metrics/{name}",
    api="logging.googleapis.com",
    force_new=("project", "name"),
    enums={
        "metric_descriptor.*.metric_kind": {"DELTA", "GAUGE", "CUMULATIVE"},
        "metric_descriptor.*.value_type": {"BOOL", "INT64", "DOUBLE", "STRING", "DISTRIBUTION", "MONEY"},
    },
)

RULES = {
    "google_project_service": PROJECT_SERVICE,
    "google_compute_network": NETWORK,
    "google_compute_subnetwork": SUBNETWORK,
    "google_compute_global_address": GLOBAL_ADDRESS,
    "google_compute_firewall": FIREWALL,
    "google_service_networking_connection": PEERING,
    "google_vpc_access_connector": CONNECTOR,
    "google_redis_instance": REDIS,
    "google_service_account": ACCOUNT,
    "google_project_iam_member": member_rules("project", "cloudresourcemanager.googleapis.com"),
    "google_service_account_iam_member": member_rules(
        "service_account_id", "iam.googleapis.com", exists="google_service_account"
    ),
    "google_secret_manager_secret": SECRET,
    "google_secret_manager_secret_version": SECRET_VERSION,
    "google_secret_manager_secret_iam_member": member_rules(
        "secret_id", "secretmanager.googleapis.com", exists="google_secret_manager_secret"
    ),
    "google_artifact_registry_repository": REPOSITORY,
    "google_artifact_registry_repository_iam_member": member_rules(
        "repository", "artifactregistry.googleapis.com", exists="google_artifact_registry_repository"
    ),
    "google_storage_bucket": BUCKET,
    "google_storage_bucket_iam_member": member_rules("bucket", "storage.googleapis.com", exists="google_storage_bucket"),
    "google_cloud_run_v2_service": SERVICE,
    "google_cloud_run_v2_service_iam_member": member_rules(
        "name", "run.googleapis.com", exists="google_cloud_run_v2_service"
    ),
    "google_monitoring_alert_policy": ALERT,
    "google_monitoring_notification_channel": CHANNEL,
    "google_monitoring_uptime_check_config": UPTIME,
    "google_monitoring_dashboard": DASHBOARD,
    "google_logging_metric": LOG_METRIC,
}


# -- Data sources --------------------------------------------------------------------------------------------------


def data_project(_project, settings, values):
    name = values.get("project_id") if isinstance(values.get("project_id"), str) else settings.get("project")
    return {"id": f"projects/{name}", "project_id": name, "number": PROJECT_NUMBER, "name": name}


def data_client(_project, settings, _values):
    return {"project": settings.get("project"), "region": settings.get("region"), "access_token": "ya29.stand-in"}


def data_network(project, settings, values):
    found = networks_named(project, values["name"])
    if not found:
        raise Refused(f"Error 404: network {values['name']} was not found")
    return {name: value for name, value in found[0].items() if name in values}


def data_subnetwork(project, settings, values):
    wanted = values["name"] if isinstance(values.get("name"), str) else tail(values.get("self_link"))
    found = [subnet for subnet in project.of("google_compute_subnetwork") if subnet["name"] == wanted]
    if not found:
        raise Refused(f"Error 404: subnetwork {wanted} was not found")
    return {name: value for name, value in found[0].items() if name in values}


def data_image(project, settings, values):
    name = values["image_name"].partition(":")[0].partition("@")[0]
    pushed = f"sha256:{digest(values['image_name'])}"
    where = f"{values['location']}-docker.pkg.dev/{settings.get('project')}/{values['repository_id']}"
    return {"self_link": f"{where}/{name}@{pushed}", "name": f"{name}@{pushed}", "id": f"{where}/{name}@{pushed}"}


DATA = {
    "google_project": data_project,
    "google_client_config": data_client,
    "google_compute_network": data_network,
    "google_compute_subnetwork": data_subnetwork,
    "google_artifact_registry_docker_image": data_image,
}
