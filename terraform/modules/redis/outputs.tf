output "id" {
  description = "The instance, as `projects/PROJECT/locations/REGION/instances/NAME`."
  value       = google_redis_instance.this.id
}

output "name" {
  description = "Its name."
  value       = google_redis_instance.this.name
}

output "host" {
  description = "Its address in the network; it follows the primary."
  value       = google_redis_instance.this.host
}

output "port" {
  description = "6378 with TLS, 6379 without."
  value       = google_redis_instance.this.port
}

output "region" {
  description = "Its region."
  value       = google_redis_instance.this.region
}

output "auth_string" {
  description = "The password; unknown in a plan that changes it."
  value       = terraform_data.auth_epoch.id == "" ? "" : google_redis_instance.this.auth_string
  sensitive   = true
}

output "ca_certificates" {
  description = "The certificates of the authority that signs its own, one after the other in PEM; empty without TLS."
  value       = join("\n", [for c in google_redis_instance.this.server_ca_certs : c.cert])
}
