"""Memorystore for Redis."""

from ..rules import Refused, Rules
from ..wire import UNKNOWN
from .common import PROJECT_NUMBER, digest, fill, require_network, tail

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
    fill(
        values,
        "persistence_iam_identity",
        f"serviceAccount:service-{PROJECT_NUMBER}@cloud-redis.iam.gserviceaccount.com",
    )
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
    kept=("persistence_config",),
    sensitive=("auth_string",),
    protected_by="deletion_protection",
    check=check_redis,
    compute=compute_redis,
)
