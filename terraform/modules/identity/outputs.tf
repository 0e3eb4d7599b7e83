output "email" {
  description = "E-mail address of the service account."
  value       = google_service_account.this.email
}

output "member" {
  description = "The same as a member of IAM policies."
  value       = google_service_account.this.member
}
