# The Cloud Run service.
locals {
  port = 8080

  ingress = {
    "all"                               = "INGRESS_TRAFFIC_ALL"
    "internal"                          = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    "internal-and-cloud-load-balancing" = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  }

  # Cloud Run's least for so many vCPUs.
  least_memory_mib = lookup({ "4" = 2048, "8" = 4096 }, var.cpu, 512)

  connector_region = var.connector == null ? null : try(regex("/locations/([^/]+)/", var.connector)[0], null)
}

resource "google_cloud_run_v2_service" "this" {
  project     = var.project_id
  location    = var.region
  name        = var.name
  description = "Realtime chat; its rooms are in Redis."
  labels      = var.labels
  ingress     = local.ingress[var.ingress]

  # Without the check rather than with a grant to allUsers, which an organisation's policy may forbid.
  invoker_iam_disabled = var.public

  # Never the provider's own protection: a service whose first revision fails is tainted, and a tainted service that is
  # protected can be neither repaired nor destroyed, whatever the configuration says by then. It holds nothing that an apply
  # can't make again; the root stack refuses to let a protected one go (protection.tf).
  deletion_protection = false

  # The same limits as in the template, for all revisions together. Left out, Google puts a limit of its own here, lower than
  # max_instances may be, and terraform would plan to take that block away for ever.
  scaling {
    min_instance_count = var.min_instances
    max_instance_count = var.max_instances
  }

  template {
    # No revision name: Cloud Run makes one, so that a change never collides with an earlier revision.
    labels                           = merge(var.labels, var.revision_label == "" ? {} : { "read-at-start" = var.revision_label })
    service_account                  = var.service_account
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "${var.request_timeout_seconds}s"
    max_instance_request_concurrency = coalesce(var.concurrency, var.socket_cap)

    # Only an optimisation: any instance can resume any client.
    session_affinity = true

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    vpc_access {
      connector = var.connector
      egress    = "PRIVATE_RANGES_ONLY"

      dynamic "network_interfaces" {
        for_each = var.direct[*]
        content {
          network    = network_interfaces.value.network
          subnetwork = network_interfaces.value.subnetwork
        }
      }
    }

    containers {
      image = var.image

      # Not h2c: end-to-end HTTP/2 breaks WebSockets.
      ports {
        name           = "http1"
        container_port = local.port
      }

      resources {
        limits = {
          cpu    = var.cpu
          memory = var.memory
        }
        cpu_idle          = false
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = var.secret_files
        content {
          name       = volume_mounts.key
          mount_path = "${local.mount_root}/${volume_mounts.key}"
        }
      }

      # Answers only once Redis was reached, by the whole path: connector or subnet, TLS, password. 48 × 5 s is all that
      # Cloud Run allows, because the first connections of Direct egress may take more than a minute.
      startup_probe {
        initial_delay_seconds = 0
        period_seconds        = 5
        timeout_seconds       = 4
        failure_threshold     = 48
        http_get {
          path = "/health/startup"
          port = local.port
        }
      }

      # Doesn't ask about Redis: an outage of the store must not restart every instance at once.
      liveness_probe {
        initial_delay_seconds = 0
        period_seconds        = 15
        timeout_seconds       = 5
        failure_threshold     = 4
        http_get {
          path = "/health/live"
          port = local.port
        }
      }

      dynamic "readiness_probe" {
        for_each = var.readiness_probe ? [1] : []
        content {
          period_seconds    = 5
          timeout_seconds   = 4
          failure_threshold = 2
          http_get {
            path = "/health/ready"
            port = local.port
          }
        }
      }
    }

    # The program never waits for it, and goes on without it.
    dynamic "containers" {
      for_each = var.collector[*]
      content {
        name  = "collector"
        image = containers.value.image
        args  = ["--config=env:COLLECTOR_CONFIG"]

        env {
          name  = "COLLECTOR_CONFIG"
          value = file("${path.module}/collector.yaml")
        }

        resources {
          limits = {
            cpu    = containers.value.cpu
            memory = containers.value.memory
          }
          cpu_idle = false
        }
      }
    }

    dynamic "volumes" {
      for_each = var.secret_files
      content {
        name = volumes.key
        secret {
          secret       = volumes.value.secret
          default_mode = 292 # 0444
          items {
            path    = volumes.value.file
            version = "latest"
          }
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  lifecycle {
    precondition {
      condition     = var.store.region == var.region
      error_message = "store.region: Redis is in ${var.store.region} and the service in ${var.region}; a Redis instance answers its own region only."
    }
    precondition {
      condition     = local.connector_region == null ? true : local.connector_region == var.region
      error_message = "connector: it is in ${coalesce(local.connector_region, "?")} and the service in ${var.region}; a connector serves its own region only."
    }
    precondition {
      condition     = length(local.clashes) == 0
      error_message = "settings: ${join(", ", local.clashes)} is set by the stack itself; use its variable instead."
    }
    precondition {
      condition     = var.max_instances >= var.min_instances
      error_message = "max_instances: allowed is min_instances (${var.min_instances}) or more."
    }
    precondition {
      condition     = tonumber(trimsuffix(trimsuffix(var.memory, "Mi"), "Gi")) * (endswith(var.memory, "Gi") ? 1024 : 1) >= local.least_memory_mib
      error_message = "memory: allowed with cpu = \"${var.cpu}\" are ${local.least_memory_mib}Mi and more."
    }
    precondition {
      condition     = length(var.invokers) == 0 || !var.public
      error_message = "invokers: allowed only with public = false; a public service asks nobody."
    }
  }

  timeouts {
    create = "20m"
    update = "20m"
    delete = "20m"
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.public ? toset([]) : toset(var.invokers)

  project  = var.project_id
  location = google_cloud_run_v2_service.this.location
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = each.value
}
