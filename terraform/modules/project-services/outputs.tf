output "services" {
  description = "The enabled APIs, known once they answer."
  value       = split(",", time_sleep.enabled.triggers["services"])
}
