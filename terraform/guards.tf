# Guard rails: combinations that can't work, refused by name while planning. What one variable alone can tell is refused
# by its own validation (variables.tf); what one module can tell, by the module.
locals {
  # Redis 7 on Memorystore takes this many clients; so does each size, with TLS as without.
  redis_client_limit = 65000

  # Every range that is in use or about to be, by the name it goes by in a message.
  ranges = merge(
    { for name, range in var.network.used_ranges : "network.used_ranges.${name}" => range },
    local.make_connector && var.connector.subnet == null ? { "connector.ip_cidr_range" = var.connector.ip_cidr_range } : {},
    local.new_network && var.egress == "direct" ? { "network.direct_cidr" = var.network.direct_cidr } : {},
    local.new_network && local.private_service ? { "network.private_services_cidr" = var.network.private_services_cidr } : {},
    !local.private_service && var.redis.reserved_ip_range != null ? { "redis.reserved_ip_range" = var.redis.reserved_ip_range } : {},
  )

  # First and last address of each as numbers.
  bounds = {
    for name, range in local.ranges : name => {
      first = sum([for i, octet in split(".", cidrhost(range, 0)) : tonumber(octet) * pow(256, 3 - i)])
      last  = sum([for i, octet in split(".", cidrhost(range, -1)) : tonumber(octet) * pow(256, 3 - i)])
    }
    if can(cidrhost(range, 0)) && !strcontains(range, ":")
  }
  named = keys(local.bounds)
  overlaps = flatten([
    for i, a in local.named : [
      for b in slice(local.named, i + 1, length(local.named)) : "${a} (${local.ranges[a]}) and ${b} (${local.ranges[b]})"
      if local.bounds[a].first <= local.bounds[b].last && local.bounds[b].first <= local.bounds[a].last
    ]
  ])

  network_project = coalesce(try(var.network.existing.project_id, null), var.project_id)

  existing_connector_region = var.connector.existing_id == null ? var.region : try(split("/", var.connector.existing_id)[3], "")
}

resource "terraform_data" "guards" {
  lifecycle {
    precondition {
      condition     = !(local.dev && var.deletion_protection)
      error_message = "deletion_protection: not with profile = \"dev\", whose data is lost at every maintenance anyway. Use profile = \"standard\"."
    }
    precondition {
      condition     = !(local.dev && local.redis_tier == "STANDARD_HA")
      error_message = "redis.tier: not STANDARD_HA with profile = \"dev\", which is one node. Use profile = \"standard\"."
    }
    precondition {
      condition     = !(var.profile == "production" && local.redis_tier == "BASIC")
      error_message = "redis.tier: not BASIC with profile = \"production\": a node without replica is emptied by every maintenance."
    }
    precondition {
      condition     = !(local.redis_tier == "BASIC" && local.durability == "replicated")
      error_message = "durability: not \"replicated\" with redis.tier = \"BASIC\": there is no replica, so no message would ever be acknowledged. Use \"local\", or STANDARD_HA."
    }
    precondition {
      condition     = !(local.redis_tier == "STANDARD_HA" && local.durability == "local")
      error_message = "durability: not \"local\" with redis.tier = \"STANDARD_HA\": acknowledged messages would be lost in a failover. Use \"auto\", \"replicated\" or \"relaxed\"."
    }
    precondition {
      condition     = !(var.profile == "production" && (var.image == null ? true : !strcontains(var.image, "@sha256:")))
      error_message = "image: profile = \"production\" needs an image by digest (HOST/PATH@sha256:…), so that what runs can't change behind a tag."
    }
    precondition {
      condition     = local.min_instances <= local.max_instances
      error_message = "min_instances: ${local.min_instances} is more than max_instances, ${local.max_instances}."
    }
    precondition {
      condition     = local.max_instances * var.redis.sockets_per_instance <= local.redis_client_limit
      error_message = "max_instances: ${local.max_instances} instances × ${var.redis.sockets_per_instance} sockets (redis.sockets_per_instance) are more than the ${local.redis_client_limit} clients that Redis takes. Lower one of them."
    }
    precondition {
      condition     = var.sockets.target <= local.concurrency
      error_message = "sockets.target: ${var.sockets.target} is more than sockets.concurrency, ${local.concurrency}; an instance would never reach it."
    }
    precondition {
      condition     = !(var.observability.prober != null && !var.observability.enabled)
      error_message = "observability.prober: only with observability.enabled = true, which makes its alert."
    }
    precondition {
      condition     = !(local.prober != null && !var.public)
      error_message = "observability.prober: not with public = false: it asks as people do, without a token of IAM, and would be refused."
    }
    precondition {
      condition     = !(local.prober != null && var.ingress != "all" && try(local.prober.url, null) == null)
      error_message = "observability.prober.url: needed with ingress = \"${var.ingress}\", which refuses who comes to Cloud Run's own address: say where people reach the service."
    }
    precondition {
      condition     = length(local.overlaps) == 0
      error_message = "overlapping ranges: ${join("; ", local.overlaps)}. Choose ranges that have no address in common."
    }
    precondition {
      condition     = local.existing_connector_region == var.region
      error_message = "connector.existing_id: the connector is in ${local.existing_connector_region} and Redis would be in ${var.region}; both must be in the service's region."
    }
    precondition {
      condition     = var.redis.zone == null ? true : startswith(var.redis.zone, "${var.region}-")
      error_message = "redis.zone: ${coalesce(var.redis.zone, "?")} isn't in the region ${var.region}; connector, Redis and service must be in one region."
    }
    precondition {
      condition     = var.redis.reserved_ip_range == null || local.private_service || try(cidrhost(var.redis.reserved_ip_range, 0) == split("/", var.redis.reserved_ip_range)[0] && endswith(var.redis.reserved_ip_range, "/29"), false)
      error_message = "redis.reserved_ip_range: allowed with DIRECT_PEERING are null and an IPv4 range of exactly /29 that begins on a multiple of 8, such as 10.40.0.0/29."
    }
    precondition {
      condition     = var.egress != "direct" || local.new_network || try(var.network.existing.direct_subnet, null) != null
      error_message = "network.existing.direct_subnet: needed with egress = \"direct\": the subnet (/26 or larger) that instances take their addresses from."
    }
    precondition {
      condition     = var.egress != "direct" || !local.new_network || try(pow(2, 32 - tonumber(split("/", var.network.direct_cidr)[1])) - 4 >= 2 * local.max_instances, false)
      error_message = "network.direct_cidr: ${var.network.direct_cidr} is too small for max_instances, ${local.max_instances}: each instance takes two addresses, and Google keeps four."
    }
    precondition {
      condition     = local.network_project == var.project_id || local.private_service
      error_message = "redis.connect_mode: a network of another project (Shared VPC) needs PRIVATE_SERVICE_ACCESS."
    }
    precondition {
      condition     = local.network_project == var.project_id || !local.make_connector || var.connector.subnet != null
      error_message = "connector.subnet: needed with a network of another project (Shared VPC): a /28 subnet there."
    }
    precondition {
      condition     = var.connector.subnet_project_id == null || var.connector.subnet != null
      error_message = "connector.subnet_project_id: only together with connector.subnet."
    }
    precondition {
      condition     = length(var.invokers) == 0 || !var.public
      error_message = "invokers: only with public = false; a public service asks nobody."
    }
    precondition {
      condition     = var.cpu == "4" || var.cpu == "8" ? try(tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1) >= tonumber(var.cpu) * 512, false) : true
      error_message = "memory: ${var.memory} is too little for cpu = \"${var.cpu}\": Cloud Run wants 2Gi for 4 vCPUs and 4Gi for 8."
    }
  }
}
