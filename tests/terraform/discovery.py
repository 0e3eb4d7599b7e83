"""Google's discovery documents: what a request body may look like.

Owns: reading the documents, turning planned values into the body that the provider would send, checking it.
Must not know: the stacks. May use: the documents in the downloaded wheel.
"""

import functools
import json
import re
import zipfile

from standin.catalogue import CACHE

DURATION = re.compile(r"\d+(\.\d+)?s")

BODIES = {
    "google_redis_instance": ("redis.v1", "Instance"),
    "google_vpc_access_connector": ("vpcaccess.v1", "Connector"),
    "google_cloud_run_v2_service": ("run.v2", "GoogleCloudRunV2Service"),
    "google_compute_network": ("compute.v1", "Network"),
    "google_compute_subnetwork": ("compute.v1", "Subnetwork"),
    "google_compute_global_address": ("compute.v1", "Address"),
    "google_service_networking_connection": ("servicenetworking.v1", "Connection"),
    "google_service_account": ("iam.v1", "ServiceAccount"),
    "google_secret_manager_secret": ("secretmanager.v1", "Secret"),
    "google_artifact_registry_repository": ("artifactregistry.v1", "Repository"),
    "google_storage_bucket": ("storage.v1", "Bucket"),
    "google_monitoring_alert_policy": ("monitoring.v3", "AlertPolicy"),
    "google_monitoring_dashboard": ("monitoring.v1", "Dashboard"),
    "google_monitoring_notification_channel": ("monitoring.v3", "NotificationChannel"),
    "google_monitoring_uptime_check_config": ("monitoring.v3", "UptimeCheckConfig"),
    "google_project_iam_member": ("cloudresourcemanager.v1", "Binding"),
    "google_secret_manager_secret_iam_member": ("secretmanager.v1", "Binding"),
    "google_artifact_registry_repository_iam_member": ("artifactregistry.v1", "Binding"),
    "google_cloud_run_v2_service_iam_member": ("run.v2", "GoogleIamV1Binding"),
    "google_cloud_run_v2_job": ("run.v2", "GoogleCloudRunV2Job"),
    "google_cloud_run_v2_job_iam_member": ("run.v2", "GoogleIamV1Binding"),
    "google_cloud_scheduler_job": ("cloudscheduler.v1", "Job"),
}
"""Resource type to the document and the schema of its body."""

NO_BODY = {
    "google_project_service": "enabling an API has no body: the name is in the URL",
    "google_secret_manager_secret_version": "the body is the secret itself, which no plan shows",
    "google_storage_bucket_iam_member": "storage has bindings of its own form: role and members only",
    "terraform_data": "terraform's own",
    "time_sleep": "not Google's",
}
"""Resource types without a body to check, and why."""

ONLY_TERRAFORM = {
    "id",
    "project",
    "timeouts",
    "deletion_protection",
    "deletion_policy",
    "effective_labels",
    "terraform_labels",
    "force_delete",
    "force_destroy",
    "delete_default_routes_on_create",
    "update_on_creation_fail",
}
"""Arguments that never reach the API, or only as a part of the URL."""

IN_URL = {
    "google_redis_instance": {"region"},
    "google_vpc_access_connector": {"region"},
    "google_cloud_run_v2_service": {"location"},
    "google_cloud_run_v2_job": {"location"},
    "google_cloud_scheduler_job": {"region"},
    "google_service_account": {"account_id", "disabled"},
    "google_secret_manager_secret": {"secret_id"},
    "google_artifact_registry_repository": {"location", "repository_id"},
    "google_service_networking_connection": {"service"},
}


class Misfit(Exception):
    """A body that the API would not understand."""


@functools.cache
def document(name):
    wheel = next((CACHE / "wheels").glob("google_api_python_client-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read(f"googleapiclient/discovery_cache/documents/{name}.json"))["schemas"]


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _member(values):
    # The member is an account whose address is only known after the apply.
    body = {"role": values["role"], "members": [values["member"]] if "member" in values else []}
    return body | ({"condition": values["condition"]} if values.get("condition") else {})


def _network(values):
    routing = values.pop("routing_mode", None)
    return values | ({"routing_config": {"routing_mode": routing}} if routing else {})


def _secret(values):
    # Provider and API differ in one word.
    replication = dict(values["replication"][0])
    if "auto" in replication:
        replication["automatic"] = replication.pop("auto")
    return values | {"replication": [replication]}


def _repository(values):
    policies = {}
    for policy in values.pop("cleanup_policies", None) or []:
        policies[policy["id"]] = policy
    return values | ({"cleanup_policies": policies} if policies else {})


def _bucket(values):
    access = {
        "uniform_bucket_level_access": {"enabled": values.pop("uniform_bucket_level_access", None)},
        "public_access_prevention": values.pop("public_access_prevention", None),
    }
    rules = values.pop("lifecycle_rule", None)
    return values | {"iam_configuration": access} | ({"lifecycle": {"rule": rules}} if rules else {})


def _subnetwork(values):
    log = (values.pop("log_config", None) or [None])[0]
    ranges = values.pop("secondary_ip_range", None)
    if log:
        log = dict(log, enable=True)
        if log.get("filter_expr") is None:
            log.pop("filter_expr", None)
    return values | ({"log_config": log} if log else {}) | ({"secondary_ip_ranges": ranges} if ranges else {})


def _dashboard(values):
    return json.loads(values["dashboard_json"])


RESHAPED = {
    "google_monitoring_dashboard": _dashboard,
    "google_compute_network": _network,
    "google_compute_subnetwork": _subnetwork,
    "google_secret_manager_secret": _secret,
    "google_artifact_registry_repository": _repository,
    "google_storage_bucket": _bucket,
}
"""Where the provider's arguments and the API's fields differ by more than the spelling."""


def check(type_name, values, arguments, unknown=()):
    """Raises Misfit if the API has no such field, or another type or other values for it.

    `arguments` are the names that a configuration may set: what the provider computes is not sent. `unknown` are those
    whose value terraform will only know after the apply; they are sent, so they count as present.
    """
    api, schema = BODIES[type_name]
    skipped = ONLY_TERRAFORM | IN_URL.get(type_name, set())
    sent = {name: value for name, value in values.items() if name in arguments and name not in skipped}
    if type_name.endswith("_iam_member"):
        sent = _member(values)
    elif type_name in RESHAPED:
        sent = RESHAPED[type_name](dict(sent))
    schemas = document(api)
    _object(schemas, schemas[schema], sent, f"{api} {schema}")
    present = {camel(name) for name in {*sent, *unknown}}
    for name, found in schemas[schema].get("properties", {}).items():
        if found.get("description", "").startswith("Required.") and name not in present and name != "name":
            raise Misfit(f"{api} {schema}.{name} is required")


def _object(schemas, schema, values, path):
    properties = schema.get("properties", {})
    for name, value in values.items():
        if value is None or value == [] or value == {} and name not in ("auto", "automatic"):
            continue
        field = camel(name)
        if field not in properties:
            raise Misfit(f"{path} has no field {field}")
        if properties[field].get("readOnly"):
            raise Misfit(f"{path}.{field} is read-only")
        _value(schemas, properties[field], value, f"{path}.{field}")


def _value(schemas, schema, value, path):
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    kind = schema.get("type", "any")
    if kind == "object":
        _as_object(schemas, schema, value, path)
    elif kind == "array":
        if not isinstance(value, list):
            raise Misfit(f"{path} is a list, not {value!r}")
        for element in value:
            # An element that is only known after the apply is null in a plan.
            if element is not None:
                _value(schemas, schema["items"], element, f"{path}[]")
    else:
        _scalar(schema, kind, value, path)


def _as_object(schemas, schema, value, path):
    if isinstance(value, list):
        # A block that may appear once is a list of one in terraform.
        if len(value) != 1:
            raise Misfit(f"{path} is one object, not {len(value)}")
        value = value[0] or {}
    if not isinstance(value, dict):
        raise Misfit(f"{path} is an object, not {value!r}")
    if "additionalProperties" in schema:
        for key, inner in value.items():
            _value(schemas, schema["additionalProperties"], inner, f"{path}[{key}]")
    else:
        _object(schemas, schema, value, path)


def _scalar(schema, kind, value, path):
    form = schema.get("format", "")
    fits = {
        "string": isinstance(value, str) or form in ("int64", "uint64") and isinstance(value, int),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "any": True,
    }[kind]
    if not fits:
        raise Misfit(f"{path} is {kind} {form}, not {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise Misfit(f"{path} is one of {schema['enum']}, not {value!r}")
    if form == "google-duration" and not DURATION.fullmatch(value):
        raise Misfit(f"{path} is a duration such as 3600s, not {value!r}")
