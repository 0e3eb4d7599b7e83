output "alert_policies" {
  description = "Display names of the alerts."
  value = concat(
    [
      google_monitoring_alert_policy.redis_memory.display_name,
      google_monitoring_alert_policy.server_errors.display_name,
      google_monitoring_alert_policy.instances.display_name,
    ],
    google_monitoring_alert_policy.down[*].display_name,
    [for policy in google_monitoring_alert_policy.prober : policy.display_name],
    [for policy in google_monitoring_alert_policy.rule : policy.display_name],
  )
}

output "uptime_check" {
  description = "Id of the uptime check, or null."
  value       = one(google_monitoring_uptime_check_config.ready[*].uptime_check_id)
}

output "dashboard" {
  description = "The dashboard's page."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.this.id)}?project=${var.project_id}"
}

output "prober" {
  description = "Name of the job that probes the service from outside, or null."
  value       = one([for job in google_cloud_run_v2_job.prober : job.name])
}
