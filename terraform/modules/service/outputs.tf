output "name" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.this.name
}

output "url" {
  description = "Where the page is."
  value       = google_cloud_run_v2_service.this.uri
}

output "settings" {
  description = "The environment the program runs with."
  value       = local.environment
}
