output "id" {
  description = "The connector, as `projects/PROJECT/locations/REGION/connectors/NAME`."
  value       = google_vpc_access_connector.this.id
}

output "capacity_mbps" {
  description = "Megabits a second it carries when fully grown."
  value       = local.capacity_mbps
}
