# What the service is. It starts with no right at all: each secret lets it in by itself (modules/secrets), and the only
# project roles are those of telemetry, each behind its switch. Logs need none, Cloud Run collects the container's output.
resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = coalesce(var.account_id, "${var.name}-run")
  display_name = "${var.name} service"
  description  = "Identity of the Cloud Run service ${var.name}."
}

locals {
  # The OTLP endpoint and the older APIs ask for different permissions, so each switch grants the pair.
  project_roles = toset(concat(
    var.traces ? ["roles/cloudtrace.agent", "roles/telemetry.tracesWriter"] : [],
    var.metrics ? ["roles/monitoring.metricWriter", "roles/telemetry.metricsWriter"] : [],
  ))
}

resource "google_project_iam_member" "telemetry" {
  for_each = local.project_roles

  project = var.project_id
  role    = each.value
  member  = google_service_account.this.member
}
