output "id" {
  description = "The network, as `projects/PROJECT/global/networks/NAME`."
  value       = local.create ? google_compute_network.this[0].id : "projects/${local.project_id}/global/networks/${var.existing.name}"
  depends_on  = [time_sleep.before_network_is_deleted, google_service_networking_connection.private_services]
}

output "name" {
  description = "The network's name."
  value       = local.create ? google_compute_network.this[0].name : var.existing.name
  depends_on  = [time_sleep.before_network_is_deleted]
}

output "direct_subnet" {
  description = "The subnet for Direct VPC egress, or null."
  value       = local.create ? one(google_compute_subnetwork.direct[*].id) : var.existing.direct_subnet
}

output "private_services_range" {
  description = "Name of the range handed to Google's services, or null."
  value       = one(google_compute_global_address.private_services[*].name)
  depends_on  = [google_service_networking_connection.private_services]
}
