output "files" {
  description = "What to mount: key → the secret's name and the file's name. Known once each has a version and the accessor may read it."
  value = {
    for key, file in local.mounted : key => {
      secret = google_secret_manager_secret.mounted[key].secret_id
      file   = file
    }
  }
  depends_on = [
    google_secret_manager_secret_version.redis_auth,
    google_secret_manager_secret_version.redis_ca,
    google_secret_manager_secret_version.token_keys,
    time_sleep.granted,
  ]
}
