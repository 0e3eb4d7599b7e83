# What the service must know and nobody may read: the password of Redis and the keys that sign guest tokens; and the
# certificates it checks Redis by. Each is a secret of its own, mounted as a file at the version `latest`, so that a new
# version reaches instances that already run.
#
# Every version here has deletion_policy = "ABANDON". Its version argument forces a replacement, and the old version would
# be destroyed before the new one exists, under running instances. (create_before_destroy would spread to Redis, whose
# name can't exist twice.) Old versions go with their secret; README tells how to remove them earlier.
locals {
  # The container sees /secrets/KEY/FILE.
  mounted = merge(
    { "token-keys" = "keys" },
    var.redis_auth == "off" ? {} : { "redis-auth" = "password" },
    var.redis_tls ? { "redis-ca" = "ca.pem" } : {},
  )
}

resource "google_secret_manager_secret" "mounted" {
  for_each = local.mounted

  project   = var.project_id
  secret_id = "${var.name}-${each.key}"
  labels    = var.labels

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_iam_member" "accessor" {
  for_each = local.mounted

  project   = var.project_id
  secret_id = google_secret_manager_secret.mounted[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.accessor
}

resource "time_sleep" "granted" {
  create_duration = "${var.grant_wait_seconds}s"

  triggers = {
    # Ids, and no other attribute: after the apply the provider writes a grant's secret in another form than planned.
    grants = join(",", sort([for g in google_secret_manager_secret_iam_member.accessor : g.id]))
  }
}

# ---- the password of Redis -------------------------------------------------------------------------------------------

resource "google_secret_manager_secret_version" "redis_auth" {
  count = var.redis_auth == "on" ? 1 : 0

  secret         = google_secret_manager_secret.mounted["redis-auth"].id
  secret_data_wo = var.redis_auth_string
  # Forty bits of a hash, written as a decimal: provider 7 has a number here, provider 8 a string.
  secret_data_wo_version = tostring(parseint(substr(nonsensitive(sha256(var.redis_auth_string)), 0, 10), 16))
  deletion_policy        = "ABANDON"
}

# ---- the certificates of Redis ---------------------------------------------------------------------------------------

resource "google_secret_manager_secret_version" "redis_ca" {
  count = var.redis_tls ? 1 : 0

  secret                 = google_secret_manager_secret.mounted["redis-ca"].id
  secret_data_wo         = var.redis_ca_certificates
  secret_data_wo_version = tostring(parseint(substr(sha256(var.redis_ca_certificates), 0, 10), 16))
  deletion_policy        = "ABANDON"
}

# ---- the keys of guest tokens ----------------------------------------------------------------------------------------

# One version per generation, which only whoever applies may read: the list below is put together again from it when a
# generation comes or goes.
resource "google_secret_manager_secret" "token_key_material" {
  project   = var.project_id
  secret_id = "${var.name}-token-key-material"
  labels    = var.labels

  replication {
    auto {}
  }
}

# uuid() draws from the system's secure generator, 122 bits each; two of them make a key of 256 bits through SHA-256.
resource "google_secret_manager_secret_version" "token_key" {
  for_each = toset(var.token_keys)

  secret      = google_secret_manager_secret.token_key_material.id
  secret_data = sha256("${uuid()}${uuid()}")

  lifecycle {
    ignore_changes = [secret_data]
  }
}

resource "google_secret_manager_secret_version" "token_keys" {
  secret                 = google_secret_manager_secret.mounted["token-keys"].id
  secret_data_wo         = join(",", [for g in var.token_keys : google_secret_manager_secret_version.token_key[g].secret_data])
  secret_data_wo_version = tostring(parseint(substr(sha256(join(",", var.token_keys)), 0, 10), 16))
  deletion_policy        = "ABANDON"
}
