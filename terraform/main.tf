# The stack: APIs → network → connector and Redis → secrets → image → service. Every module waits for what the API needs
# before it, and on destroy the same order runs backwards.

module "project_services" {
  source = "./modules/project-services"

  project_id   = var.project_id
  services     = local.apis
  wait_seconds = var.waits.apis
}

module "network" {
  source = "./modules/network"

  project_id            = var.project_id
  region                = var.region
  name                  = var.name
  existing              = var.network.existing
  direct_cidr           = var.egress == "direct" ? var.network.direct_cidr : null
  private_services_cidr = var.redis.connect_mode == "PRIVATE_SERVICE_ACCESS" ? var.network.private_services_cidr : null
  destroy_wait_seconds  = var.waits.connector_destroy

  depends_on = [module.project_services, terraform_data.guards]
}

module "connector" {
  source = "./modules/connector"
  count  = local.make_connector ? 1 : 0

  project_id    = var.project_id
  region        = var.region
  name          = local.connector_name
  network       = var.connector.subnet == null ? module.network.name : null
  ip_cidr_range = var.connector.subnet == null ? var.connector.ip_cidr_range : null
  subnet        = var.connector.subnet == null ? null : { name = var.connector.subnet, project_id = var.connector.subnet_project_id }
  machine_type  = var.connector.machine_type
  min_instances = var.connector.min_instances
  max_instances = var.connector.max_instances
  required_mbps = local.required_mbps

  depends_on = [module.project_services]
}

module "redis" {
  source = "./modules/redis"

  project_id          = var.project_id
  region              = var.region
  name                = local.redis_name
  labels              = local.labels
  network             = module.network.id
  tier                = local.redis_tier
  memory_gb           = var.redis.memory_gb
  redis_version       = var.redis.version
  auth_enabled        = var.redis.auth == "on"
  tls                 = var.redis.tls
  connect_mode        = var.redis.connect_mode
  reserved_ip_range   = try(coalesce(var.redis.reserved_ip_range, module.network.private_services_range), null)
  zone                = var.redis.zone
  maintenance         = { day = var.redis.maintenance_day, hour = var.redis.maintenance_hour }
  snapshot_hours      = var.redis.snapshot_hours
  deletion_protection = var.deletion_protection

  depends_on = [module.project_services]
}

module "identity" {
  source = "./modules/identity"

  project_id = var.project_id
  name       = var.name
  account_id = var.service_account_id
  traces     = local.traces
  metrics    = local.metrics

  depends_on = [module.project_services, terraform_data.guards]
}

module "secrets" {
  source = "./modules/secrets"

  project_id            = var.project_id
  name                  = var.name
  labels                = local.labels
  accessor              = module.identity.member
  redis_auth            = var.redis.auth
  redis_auth_string     = module.redis.auth_string
  redis_tls             = var.redis.tls
  redis_ca_certificates = module.redis.ca_certificates
  token_keys            = var.token_keys
  grant_wait_seconds    = var.waits.grants

  depends_on = [module.project_services]
}

module "image" {
  source = "./modules/image"
  count  = local.build_image ? 1 : 0

  project_id         = var.project_id
  region             = var.region
  name               = var.name
  labels             = local.labels
  source_dir         = coalesce(var.build.source_dir, "${path.module}/..")
  source_patterns    = var.build.source_patterns
  build_region       = var.build.region
  machine_type       = var.build.machine_type
  timeout_seconds    = var.build.timeout_seconds
  resolve_digest     = var.build.resolve_digest
  grant_wait_seconds = var.waits.grants

  depends_on = [module.project_services, terraform_data.guards]
}

module "service" {
  source = "./modules/service"

  project_id      = var.project_id
  region          = var.region
  name            = var.name
  labels          = local.labels
  image           = local.build_image ? module.image[0].image : var.image
  service_account = module.identity.email

  store = {
    host       = module.redis.host
    port       = module.redis.port
    region     = module.redis.region
    tls        = var.redis.tls
    tls_verify = var.tls_verify
    durability = local.durability
  }

  secret_files            = module.secrets.files
  connector               = var.egress == "direct" ? null : coalesce(var.connector.existing_id, one(module.connector[*].id))
  direct                  = var.egress == "direct" ? { network = module.network.id, subnetwork = module.network.direct_subnet } : null
  min_instances           = local.min_instances
  max_instances           = local.max_instances
  socket_cap              = var.sockets.cap
  concurrency             = var.sockets.concurrency
  request_timeout_seconds = var.request_timeout_seconds
  cpu                     = var.cpu
  memory                  = var.memory
  public                  = var.public
  invokers                = var.invokers
  ingress                 = var.ingress
  trusted_hops            = var.trusted_hops
  allowed_origins         = var.allowed_origins
  otlp_endpoint           = var.telemetry.otlp_endpoint
  collector               = var.telemetry.collector
  readiness_probe         = var.readiness_probe
  settings                = var.settings
  # The keys are read when an instance starts, so another list is another revision.
  revision_label = "keys-${substr(sha256(join(",", var.token_keys)), 0, 12)}"

  depends_on = [module.project_services, module.secrets, module.identity]
}

module "observability" {
  source = "./modules/observability"
  count  = var.observability.enabled ? 1 : 0

  project_id    = var.project_id
  name          = var.name
  labels        = local.labels
  service       = module.service.name
  host          = trimprefix(module.service.url, "https://")
  uptime_check  = var.public && var.ingress == "all"
  concurrency   = local.concurrency
  max_instances = local.max_instances
  notify        = var.observability.notify
  runbooks      = var.observability.runbooks

  program_metrics = var.telemetry.collector != null

  prober = local.prober == null ? null : merge(local.prober, {
    image  = local.build_image ? module.image[0].image : var.image
    region = var.region
  })

  # By name and not by id, so that a plan shows what is watched.
  redis     = "projects/${var.project_id}/locations/${var.region}/instances/${local.redis_name}"
  connector = var.egress == "direct" ? null : coalesce(try(basename(var.connector.existing_id), null), local.connector_name)

  depends_on = [module.project_services]
}
