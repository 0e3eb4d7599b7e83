"""The Serverless VPC Access connector."""

import ipaddress

from ..rules import Refused, Rules
from ..values import at
from .common import fill, require_network, tail
from .network import overlapping

CONNECTOR_FIREWALL_LINGERS_S = 60
"""The firewall rule that a connector leaves behind keeps its network from being deleted for about this long."""


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
        clash = overlapping(project, values["network"], cidr, values)
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
