# The contract with the program: every environment variable the stack sets, in one place. The names are the program's own
# (docs/settings.md); it refuses to start over one it doesn't know. PORT is Cloud Run's to set.
locals {
  mount_root = "/secrets"

  secret_path = { for key, s in var.secret_files : key => "${local.mount_root}/${key}/${s.file}" }

  own_settings = {
    CONFAB__STORE__URL               = "${var.store.tls ? "rediss" : "redis"}://${var.store.host}:${var.store.port}"
    CONFAB__STORE__DURABILITY        = var.store.durability
    CONFAB__STORE__TLS_VERIFY        = var.store.tls ? var.store.tls_verify : null
    CONFAB__STORE__CA_FILE           = lookup(local.secret_path, "redis-ca", null)
    CONFAB__STORE__PASSWORD_FILE     = lookup(local.secret_path, "redis-auth", null)
    CONFAB__AUTH__KEYS_FILE          = lookup(local.secret_path, "token-keys", null)
    CONFAB__LIMITS__CONNECTIONS      = tostring(var.socket_cap)
    CONFAB__HTTP__REQUEST_TIMEOUT_MS = tostring(var.request_timeout_seconds * 1000)
    CONFAB__HTTP__TRUSTED_HOPS       = tostring(var.trusted_hops)
    CONFAB__HTTP__ALLOWED_ORIGINS    = length(var.allowed_origins) == 0 ? null : join(",", var.allowed_origins)
    CONFAB__TELEMETRY__OTLP_ENDPOINT = var.collector == null ? var.otlp_endpoint : "http://localhost:4317"
    CONFAB__TELEMETRY__TRACE_PROJECT = var.project_id
  }

  clashes     = setintersection(keys(local.own_settings), keys(var.settings))
  environment = merge(var.settings, { for name, value in local.own_settings : name => value if value != null })
}
