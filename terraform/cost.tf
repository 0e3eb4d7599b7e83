# The estimate. Each line carries its formula with the numbers in it, so that a reader can do it again; COSTS.md explains.
locals {
  month_seconds = 730 * 3600

  tier_factor = local.price_tier == 2 ? var.prices.tier_2_factor : 1
  # The collector is billed like the program beside it.
  memories     = compact([var.memory, try(var.telemetry.collector.memory, null)])
  vcpu         = tonumber(var.cpu) + try(tonumber(var.telemetry.collector.cpu), 0)
  memory_gib   = sum([for memory in local.memories : tonumber(regex("^[0-9]+", memory)) / (endswith(memory, "Gi") ? 1 : 1024)])
  instance_usd = local.month_seconds * (local.vcpu * var.prices.vcpu_second + local.memory_gib * var.prices.memory_gib_second) * local.tier_factor

  # A sleeping tab closes its socket; an instance without sockets ends.
  awake_sockets     = var.usage.average_sockets * (1 - var.usage.sleeping_share)
  instances         = min(local.max_instances, max(local.min_instances, ceil(local.awake_sockets / var.sockets.target)))
  instances_no_rest = min(local.max_instances, max(local.min_instances, ceil(var.usage.average_sockets / var.sockets.target)))

  connector_vm_usd = {
    "f1-micro"      = var.prices.connector_f1_micro_month
    "e2-micro"      = var.prices.connector_e2_micro_month
    "e2-standard-4" = var.prices.connector_e2_standard_4
  }[var.connector.machine_type]

  redis_gb_hour = local.redis_tier == "BASIC" ? var.prices.redis_basic_gb_hour : var.prices.redis_standard_gb_hour

  gib              = 1024 * 1024 * 1024
  egress_gib       = local.awake_sockets * var.usage.messages_per_socket_per_second * var.usage.message_bytes * local.month_seconds / local.gib
  egress_gib_saved = (var.usage.average_sockets - local.awake_sockets) * var.usage.messages_per_socket_per_second * var.usage.message_bytes * local.month_seconds / local.gib
  log_gib          = local.awake_sockets * var.usage.log_bytes_per_socket_hour * 730 / local.gib
  secret_versions  = 1 + length(var.token_keys) + (var.redis.auth == "off" ? 0 : 1) + (var.redis.tls ? 1 : 0)

  # Jobs are billed like services, each run as a minute at least: one vCPU and half a GiB.
  probes_month   = local.prober == null ? 0 : 730 * 60 / local.prober.every_minutes
  prober_run_usd = 60 * (var.prices.vcpu_second + 0.5 * var.prices.memory_gib_second) * local.tier_factor

  cost_usd = {
    instances = local.instances * local.instance_usd
    connector = local.make_connector ? var.connector.min_instances * local.connector_vm_usd : 0
    redis     = var.redis.memory_gb * 730 * local.redis_gb_hour
    egress    = local.egress_gib * var.prices.egress_gib
    logs      = max(0, local.log_gib - var.prices.log_free_gib) * var.prices.log_gib
    secrets   = local.secret_versions * var.prices.secret_version_month
    registry  = local.build_image ? var.prices.registry_gib_month : 0
    prober    = local.prober == null ? 0 : local.probes_month * local.prober_run_usd + var.prices.scheduler_job_month
  }

  cost_formula = {
    instances = "${local.instances} instances × 2628000 s × (${local.vcpu} vCPU × ${var.prices.vcpu_second} + ${local.memory_gib} GiB × ${var.prices.memory_gib_second}) × ${local.tier_factor} for tier ${local.price_tier}; instances = max(min_instances, ${local.awake_sockets} awake sockets ÷ ${var.sockets.target}), at most max_instances"
    connector = local.make_connector ? "${var.connector.min_instances} × ${var.connector.machine_type} × ${local.connector_vm_usd} a month" : "none made"
    redis     = "${var.redis.memory_gb} GB × 730 h × ${local.redis_gb_hour} (${local.redis_tier})"
    egress    = "${local.awake_sockets} sockets × ${var.usage.messages_per_socket_per_second}/s × ${var.usage.message_bytes} B × 2628000 s ÷ 2^30 × ${var.prices.egress_gib} a GiB"
    logs      = "(${format("%.2f", local.log_gib)} GiB − ${var.prices.log_free_gib} free, not below 0) × ${var.prices.log_gib}"
    secrets   = "${local.secret_versions} versions × ${var.prices.secret_version_month}"
    registry  = local.build_image ? "1 GiB of images × ${var.prices.registry_gib_month}" : "none made"
    prober    = local.prober == null ? "none made" : "${local.probes_month} runs × 60 s × (1 vCPU × ${var.prices.vcpu_second} + 0.5 GiB × ${var.prices.memory_gib_second}) × ${local.tier_factor} for tier ${local.price_tier} + ${var.prices.scheduler_job_month} for the schedule"
  }

  cents = { for line, usd in local.cost_usd : line => floor(usd * 100 + 0.5) / 100 }
  idle_usd = sum([
    local.min_instances * local.instance_usd, local.cost_usd.connector, local.cost_usd.redis, local.cost_usd.secrets, local.cost_usd.registry, local.cost_usd.prober,
  ])
}
