# What follows from the variables.
locals {
  dev = var.profile == "dev"

  redis_name    = coalesce(var.redis.name, var.name)
  redis_tier    = coalesce(var.redis.tier, local.dev ? "BASIC" : "STANDARD_HA")
  durability    = coalesce(var.durability, local.redis_tier == "BASIC" ? "local" : "auto")
  min_instances = coalesce(var.min_instances, local.dev ? 0 : 2)
  max_instances = coalesce(var.max_instances, local.dev ? 2 : 10)
  concurrency   = coalesce(var.sockets.concurrency, var.sockets.cap)

  build_image     = var.image == null
  make_connector  = var.egress == "connector" && var.connector.existing_id == null
  new_network     = var.network.existing == null
  private_service = var.redis.connect_mode == "PRIVATE_SERVICE_ACCESS"

  # Where a connector is can't be changed, only another one made; and two can't have one name.
  connector_place = join(" ", [coalesce(try(var.network.existing.name, null), var.name), coalesce(var.connector.subnet, var.connector.ip_cidr_range)])
  # The documentation wants fewer than 21 characters, each hyphen counting as two; the API takes up to 25. This fits both.
  connector_name = coalesce(var.connector.name, "${substr(replace(var.name, "-", ""), 0, 14)}-${substr(sha256(local.connector_place), 0, 4)}")

  labels = merge({ "app" = var.name, "managed-by" = "terraform" }, var.labels)

  # In the worst case every instance has a member of every room, so each message crosses the connector once for each.
  required_mbps = var.traffic.messages_per_second * var.traffic.message_bytes * 8 * local.max_instances / 1000000

  # What the collector sends, it may.
  traces  = var.telemetry.traces || var.telemetry.collector != null
  metrics = var.telemetry.metrics || var.telemetry.collector != null

  prober = var.observability.enabled ? var.observability.prober : null

  apis = toset(concat(
    [
      "cloudresourcemanager.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "redis.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
    ],
    var.egress == "connector" ? ["vpcaccess.googleapis.com"] : [],
    local.build_image ? ["artifactregistry.googleapis.com", "cloudbuild.googleapis.com", "storage.googleapis.com"] : [],
    local.private_service ? ["servicenetworking.googleapis.com"] : [],
    var.observability.enabled ? ["monitoring.googleapis.com"] : [],
    local.prober != null ? ["cloudscheduler.googleapis.com"] : [],
    local.traces ? ["cloudtrace.googleapis.com", "telemetry.googleapis.com"] : [],
    local.metrics ? ["monitoring.googleapis.com", "telemetry.googleapis.com"] : [],
  ))
}
