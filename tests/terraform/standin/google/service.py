"""Cloud Run."""

import re

from ..rules import Refused, Rules
from ..values import at, one
from ..wire import UNKNOWN
from .common import PROJECT_NUMBER, digest, fill, tail
from .identity import require_member
from .secret import find_secret

ACCESSOR = "roles/secretmanager.secretAccessor"
PROBE_WINDOW_S = 240
"""The longest failureThreshold × periodSeconds that Cloud Run accepts for a startup probe."""
DEFAULT_MAX_INSTANCES = 20
"""What the API limits a service to that states no limit of its own."""
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
            raise Refused(
                f"Error 400: env has repeated or reserved names: {repeated or set(names) & set(RESERVED_ENV)}"
            )
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
    if (
        found
        and found[2] == values["project"]
        and not any(
            repository["repository_id"] == found[3] for repository in project.of("google_artifact_registry_repository")
        )
    ):
        raise Refused(f"Error 400: image {image} not found: no repository {found[3]}")


def compute_service(_project, values, _prior):
    url = f"https://{values['name']}-{PROJECT_NUMBER}.{values['location']}.run.app"
    fill(values, "uri", url)
    values["urls"] = [url] if values.get("urls") is UNKNOWN else values.get("urls")
    fill(values, "ingress", "INGRESS_TRAFFIC_ALL")
    if not values.get("scaling"):
        # Answered although nobody sent it: a configuration without the block never settles.
        values["scaling"] = [
            {
                "min_instance_count": 0,
                "max_instance_count": DEFAULT_MAX_INSTANCES,
                "manual_instance_count": 0,
                "scaling_mode": None,
            }
        ]
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
    kept=("traffic",),
    protected_by="deletion_protection",
    check=check_service,
    compute=compute_service,
    check_delete=release_addresses,
)
