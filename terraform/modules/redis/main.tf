# The store: one Memorystore for Redis instance. It holds the rooms and carries messages between instances.
locals {
  snapshot_period = {
    "1"  = "ONE_HOUR"
    "6"  = "SIX_HOURS"
    "12" = "TWELVE_HOURS"
    "24" = "TWENTY_FOUR_HOURS"
  }
}

resource "google_redis_instance" "this" {
  project        = var.project_id
  region         = var.region
  name           = var.name
  display_name   = "Rooms of ${var.name}"
  labels         = var.labels
  tier           = var.tier
  memory_size_gb = var.memory_gb
  redis_version  = var.redis_version
  location_id    = var.zone

  authorized_network      = var.network
  connect_mode            = var.connect_mode
  reserved_ip_range       = var.reserved_ip_range
  auth_enabled            = var.auth_enabled
  transit_encryption_mode = var.tls ? "SERVER_AUTHENTICATION" : "DISABLED"

  # The default, volatile-lru, evicts exactly what has an expiry: rooms. Full is then an error that senders see, and the
  # program refuses new rooms from 80 % on.
  redis_configs = {
    "maxmemory-policy" = "noeviction"
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = var.maintenance.day
      start_time {
        hours   = var.maintenance.hour
        minutes = 0
        seconds = 0
        nanos   = 0
      }
    }
  }

  # Stated even when off: the provider keeps what Google has where the block is left out, so copies would go on for ever.
  persistence_config {
    persistence_mode    = var.snapshot_hours == null ? "DISABLED" : "RDB"
    rdb_snapshot_period = var.snapshot_hours == null ? null : local.snapshot_period[tostring(var.snapshot_hours)]
  }

  deletion_protection = var.deletion_protection

  lifecycle {
    precondition {
      condition     = var.reserved_ip_range == null || var.connect_mode != "DIRECT_PEERING" ? true : endswith(var.reserved_ip_range, "/29") && try(cidrhost(var.reserved_ip_range, 0) == split("/", var.reserved_ip_range)[0], false)
      error_message = "reserved_ip_range: allowed with DIRECT_PEERING are null and an IPv4 range of exactly /29 that begins on a multiple of 8, such as 10.40.0.0/29."
    }
    precondition {
      condition     = var.zone == null ? true : can(regex("^${var.region}-[a-z]$", var.zone))
      error_message = "zone: allowed are null and a zone of the region ${var.region}."
    }
  }

  timeouts {
    create = "30m"
    update = "30m"
    delete = "30m"
  }
}

# A new id with every new password. A plan that switches AUTH on knows only the state's password, the old one or none, and
# terraform keeps a module's output as planned; mixing in this id, unknown until the apply, makes it wait for the real one.
resource "terraform_data" "auth_epoch" {
  triggers_replace = [var.auth_enabled, google_redis_instance.this.create_time]
}
