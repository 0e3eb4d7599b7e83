# A custom network of its own, or the coordinates of an existing one. Nothing in it has a public address, and no firewall
# rule is opened: the connector brings its own, Redis and Direct egress need none.
locals {
  create     = var.existing == null
  project_id = local.create ? var.project_id : coalesce(var.existing.project_id, var.project_id)
}

resource "google_compute_network" "this" {
  count = local.create ? 1 : 0

  project                 = var.project_id
  name                    = var.name
  description             = "Network of ${var.name}: the service's way to Redis."
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
}

# Whatever uses the network goes through this resource, so that on destroy the pause lies between the last user and the
# network itself.
resource "time_sleep" "before_network_is_deleted" {
  count = local.create ? 1 : 0

  destroy_duration = "${var.destroy_wait_seconds}s"

  triggers = {
    network = google_compute_network.this[0].id
  }
}

resource "google_compute_subnetwork" "direct" {
  count = local.create && var.direct_cidr != null ? 1 : 0

  project                  = var.project_id
  region                   = var.region
  name                     = "${var.name}-direct-${substr(sha256(var.direct_cidr), 0, 4)}"
  network                  = google_compute_network.this[0].id
  ip_cidr_range            = var.direct_cidr
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }

  # In use by the service, a subnet can't be deleted: the service has to leave first. Another range is another name.
  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_global_address" "private_services" {
  count = local.create && var.private_services_cidr != null ? 1 : 0

  project       = var.project_id
  name          = "${var.name}-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = split("/", var.private_services_cidr)[0]
  prefix_length = tonumber(split("/", var.private_services_cidr)[1])
  network       = google_compute_network.this[0].id
}

# ABANDON: Google refuses to take the peering down for hours after the last Redis instance is gone; it goes with the
# network instead. Where a network of the same name had one before, Google may still know it and refuses to make it anew, so
# it is updated then.
resource "google_service_networking_connection" "private_services" {
  count = local.create && var.private_services_cidr != null ? 1 : 0

  network                 = google_compute_network.this[0].id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.private_services[0].name]
  deletion_policy         = "ABANDON"
  update_on_creation_fail = true
}
