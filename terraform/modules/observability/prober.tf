# Sends messages through the service from outside, on a schedule: `confab probe` from the service's own image, as a job.
# Google's uptime check sees that the service answers; this sees that what is said arrives, once, and after a cut.
locals {
  probing = var.prober == null ? {} : { this = var.prober }

  prober_filter = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${var.name}-probe\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\""
}

# What the job runs as, and what starts it: it has no right but that one.
resource "google_service_account" "prober" {
  for_each = local.probing

  project      = var.project_id
  account_id   = "${var.name}-probe"
  display_name = "${var.name} prober"
  description  = "Starts the job ${var.name}-probe, and is what it runs as."
}

resource "google_cloud_run_v2_job" "prober" {
  for_each = local.probing

  project  = var.project_id
  location = each.value.region
  name     = "${var.name}-probe"
  labels   = var.labels

  # It holds nothing.
  deletion_protection = false

  template {
    task_count = 1

    template {
      service_account       = google_service_account.prober[each.key].email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"

      # The probe ends by itself before; the rest is for the container's start.
      timeout = "${each.value.within_seconds + 30}s"

      # A second try would hide what the first one met. The alert waits for a second failure instead.
      max_retries = 0

      containers {
        image = each.value.image
        args = [
          "probe", coalesce(each.value.url, "wss://${var.host}/ws"), "--json",
          "--within", tostring(each.value.within_seconds), "--delivery-within", tostring(each.value.delivery_within_ms),
        ]

        # The least that a job may have.
        resources {
          limits = {
            cpu    = "1"
            memory = "512Mi"
          }
        }
      }
    }
  }
}

resource "google_cloud_run_v2_job_iam_member" "prober" {
  for_each = local.probing

  project  = var.project_id
  location = each.value.region
  name     = google_cloud_run_v2_job.prober[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.prober[each.key].member
}

resource "google_cloud_scheduler_job" "prober" {
  for_each = local.probing

  project     = var.project_id
  region      = coalesce(each.value.scheduler_region, each.value.region)
  name        = "${var.name}-probe"
  description = "Runs the Cloud Run job ${var.name}-probe."
  schedule    = "*/${each.value.every_minutes} * * * *"
  time_zone   = "Etc/UTC"

  # For the call that starts the job, which doesn't wait for its end.
  attempt_deadline = "30s"

  retry_config {
    retry_count = 1
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${each.value.region}/jobs/${google_cloud_run_v2_job.prober[each.key].name}:run"

    # Google's own APIs take OAuth tokens, not OIDC's.
    oauth_token {
      service_account_email = google_service_account.prober[each.key].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.prober]
}

resource "google_monitoring_alert_policy" "prober" {
  for_each = local.probing

  project               = var.project_id
  display_name          = "${var.name}: probes from outside fail"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "two of three probes fail"
    condition_threshold {
      filter          = "${local.prober_filter} AND metric.labels.result = \"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      # The least with which the next line may stand: where nothing fails any more there are no numbers, and that is the end.
      duration                = "60s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_INACTIVE"
      aggregations {
        alignment_period     = "${each.value.every_minutes * 180}s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  conditions {
    display_name = "no probe has ended well for six times their interval"
    condition_absent {
      filter   = "${local.prober_filter} AND metric.labels.result = \"succeeded\""
      duration = "${each.value.every_minutes * 360}s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What people say doesn't arrive as it should, or nobody looks any more. The job's log names the step that failed.\n\n${local.runbook[local.pages_of_own_alerts.prober]}"
  }
}
