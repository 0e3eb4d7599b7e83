"""Networks, subnets, reserved ranges and peerings."""

import ipaddress

from ..rules import Refused, Rules
from ..values import at
from .common import NAME_63, digest, fill, require_network, tail


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


REMEMBERED_S = 10**9
"""How long Google remembers the peering of a network that is gone: as long as any test lasts."""


def forget_peering(project, values):
    """An abandoned peering goes with its network; Google remembers it for the next network of that name."""
    name = values["name"]
    if any(tail(peering["network"]) == name for peering in project.of("google_service_networking_connection")):
        project.linger(f"peering {name}", REMEMBERED_S)
    project.forget("google_service_networking_connection", lambda peering: tail(peering["network"]) == name)


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
    cascade=forget_peering,
)


def overlapping(project, network, cidr, but):
    """The ranges on `network` that `cidr` would overlap, apart from that of the object `but` itself."""
    wanted = ipaddress.ip_network(cidr)
    return [
        (other["name"], other["ip_cidr_range"])
        for kind in ("google_compute_subnetwork", "google_vpc_access_connector")
        for other in project.of(kind)
        if other.get("ip_cidr_range")
        and tail(other["network"]) == tail(network)
        and (other["name"], other.get("region")) != (but["name"], but.get("region"))
        and wanted.overlaps(ipaddress.ip_network(other["ip_cidr_range"]))
    ]


def check_subnetwork(project, values):
    require_network(project, values["network"])
    clash = overlapping(project, values["network"], values["ip_cidr_range"], values)
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
    if project.lingering(f"peering {tail(values['network'])}") and not values.get("update_on_creation_fail"):
        raise Refused("Error 400: Cannot modify allocated ranges in CreateConnection. Please use UpdateConnection.")


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
