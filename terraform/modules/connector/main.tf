# The bridge from the service into the network.
locals {
  # Megabits a second of one machine, from the product's table of connector sizes: 2 to 10 instances give 200 to 1,000
  # for the micro types and 3,200 to 16,000 for e2-standard-4.
  mbps_per_instance = {
    "f1-micro"      = 100
    "e2-micro"      = 100
    "e2-standard-4" = 1600
  }
  capacity_mbps = var.max_instances * local.mbps_per_instance[var.machine_type]
}

resource "google_vpc_access_connector" "this" {
  project       = var.project_id
  region        = var.region
  name          = var.name
  network       = var.subnet == null ? var.network : null
  ip_cidr_range = var.ip_cidr_range
  machine_type  = var.machine_type
  min_instances = var.min_instances
  max_instances = var.max_instances

  dynamic "subnet" {
    for_each = var.subnet[*]
    content {
      name       = subnet.value.name
      project_id = coalesce(subnet.value.project_id, var.project_id)
    }
  }

  lifecycle {
    # In use by the service, a connector can't be deleted: the service has to move to the next one first. So whoever calls
    # this changes `name` with whatever replaces the connector.
    create_before_destroy = true

    precondition {
      condition     = local.capacity_mbps >= var.required_mbps
      error_message = "connector throughput: ${var.max_instances} × ${var.machine_type} carry about ${local.capacity_mbps} Mbit/s, and the expected traffic on all instances of the service needs ${ceil(var.required_mbps)}. Raise connector.max_instances (up to 10) or connector.machine_type, or lower max_instances or traffic."
    }
  }
}
