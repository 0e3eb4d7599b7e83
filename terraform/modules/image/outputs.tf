output "image" {
  description = "The image to run, known once it is built: by digest with `resolve_digest`, else by the tag that is the hash of its sources."
  value       = var.resolve_digest ? one(data.google_artifact_registry_docker_image.built[*].self_link) : local.tagged
  depends_on  = [terraform_data.build]
}

output "repository" {
  description = "The repository, as HOST/PROJECT/NAME."
  value       = local.repository
}

output "source_hash" {
  description = "Hash of the sources."
  value       = local.hash
}

output "build_account" {
  description = "E-mail address of the account that builds."
  value       = google_service_account.build.email
}

output "bucket" {
  description = "Bucket of sources and logs."
  value       = google_storage_bucket.build.name
}
