# ---- what everybody sets ---------------------------------------------------------------------------------------------

variable "project_id" {
  description = "Id of the Google Cloud project, with billing, that everything goes into."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: allowed are 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "region" {
  description = "Region of the service, the connector and Redis: one for all three, since a connector and a Redis instance serve their own region only. To move a stack, change `connector.ip_cidr_range` (`network.direct_cidr` with Direct egress) in the same apply, since the old one goes last; the address changes, and Redis begins empty."
  type        = string
  default     = "us-central1"

  validation {
    condition     = contains(keys(local.cloud_run_regions), var.region)
    error_message = "region: allowed are Cloud Run's regions: ${join(", ", keys(local.cloud_run_regions))}."
  }
}

variable "name" {
  description = "Name of the service, and the first part of every other resource's name."
  type        = string
  default     = "confab"

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{1,18}[a-z0-9]$", var.name))
    error_message = "name: allowed are 3 to 20 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "profile" {
  description = "`standard`: highly available, can be destroyed. `production`: the same, and the image must be given by digest. `dev`: one Redis node without replica (BASIC), no idle instance, cheapest; its history is lost at every maintenance."
  type        = string
  default     = "standard"

  validation {
    condition     = contains(["dev", "standard", "production"], var.profile)
    error_message = "profile: allowed are \"dev\", \"standard\" and \"production\"."
  }
}

variable "deletion_protection" {
  description = "Whether terraform refuses to delete Redis and the service, and to move them to another project, region or name. To destroy a protected stack: set it to false, apply, destroy."
  type        = bool
  default     = false
  nullable    = false
}

variable "labels" {
  description = "Labels on every resource that takes them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][-_a-z0-9]{0,62}$", k)) && can(regex("^[-_a-z0-9]{0,63}$", v))])
    error_message = "labels: allowed are keys of 1 to 63 and values of up to 63 lower-case letters, digits, hyphens and underscores; a key begins with a letter."
  }
}

# ---- image -----------------------------------------------------------------------------------------------------------

variable "image" {
  description = "Container image to run, best by digest (`…@sha256:…`). Null: it is built from this checkout with Cloud Build in the same apply (needs `gcloud`, signed in)."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("^[a-z0-9][-a-z0-9.:]*(/[-_.a-z0-9]+)+(:[-_.A-Za-z0-9]{1,128})?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image: allowed are null and HOST/PATH with an optional :TAG and an optional @sha256: followed by 64 hex digits."
  }
}

variable "build" {
  description = "How the image is built where `image` is null: the folder that holds the Dockerfile (null: the folder above this one), which files count as its source, Cloud Build's region and machine, and whether the service refers to the digest (looked up after the build) instead of the tag."
  type = object({
    source_dir      = optional(string)
    source_patterns = optional(list(string), ["Dockerfile", ".dockerignore", "Cargo.toml", "Cargo.lock", "src/**", "web/**"])
    region          = optional(string, "global")
    machine_type    = optional(string, "e2-highcpu-8")
    timeout_seconds = optional(number, 1800)
    resolve_digest  = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.build.region == "global" || contains(keys(local.cloud_run_regions), var.build.region)
    error_message = "build.region: allowed are \"global\" and the regions that `region` allows."
  }
  validation {
    condition     = contains(["e2-medium", "e2-highcpu-8", "e2-highcpu-32", "n1-highcpu-8", "n1-highcpu-32"], var.build.machine_type)
    error_message = "build.machine_type: allowed are e2-medium, e2-highcpu-8, e2-highcpu-32, n1-highcpu-8 and n1-highcpu-32."
  }
  validation {
    condition     = var.build.timeout_seconds >= 60 && var.build.timeout_seconds <= 86400 && floor(var.build.timeout_seconds) == var.build.timeout_seconds
    error_message = "build.timeout_seconds: allowed are whole numbers from 60 to 86400."
  }
  validation {
    condition     = length(var.build.source_patterns) > 0
    error_message = "build.source_patterns: allowed is a list with at least one pattern; an image without sources can't be built."
  }
}

# ---- service ---------------------------------------------------------------------------------------------------------

variable "service_account_id" {
  description = "Id of the service's account, the part of its address before the @. Null: the stack's name with `-run`."
  type        = string
  default     = null

  validation {
    condition     = var.service_account_id == null ? true : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.service_account_id))
    error_message = "service_account_id: allowed are null and 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "public" {
  description = "true: anybody may open the page (no IAM check; the program's own tokens identify people). false: callers need roles/run.invoker, which `invokers` receive."
  type        = bool
  default     = true
  nullable    = false
}

variable "invokers" {
  description = "Members who may call a private service, such as `group:team@example.com`. Only with `public = false`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for m in var.invokers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", m))])
    error_message = "invokers: allowed are members that begin with user:, group:, serviceAccount:, domain:, principal: or principalSet:. For everybody use public = true."
  }
}

variable "ingress" {
  description = "Where requests may come from: `all`, `internal` (this project's networks) or `internal-and-cloud-load-balancing`."
  type        = string
  default     = "all"

  validation {
    condition     = contains(["all", "internal", "internal-and-cloud-load-balancing"], var.ingress)
    error_message = "ingress: allowed are \"all\", \"internal\" and \"internal-and-cloud-load-balancing\"."
  }
}

variable "min_instances" {
  description = "Instances kept even without traffic. Null: 2, or 0 in the profile `dev` (then the first visitor waits for a start)."
  type        = number
  default     = null

  validation {
    condition     = var.min_instances == null ? true : var.min_instances >= 0 && var.min_instances <= 1000 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances: allowed are null and whole numbers from 0 to 1000."
  }
}

variable "max_instances" {
  description = "Instances at most. Null: 10, or 2 in the profile `dev`."
  type        = number
  default     = null

  validation {
    condition     = var.max_instances == null ? true : var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances: allowed are null and whole numbers from 1 to 1000."
  }
}

variable "sockets" {
  description = "Per instance: `target`, the sockets to plan with, `cap`, where the program refuses more, and `concurrency`, where Cloud Run sends no more requests (null: the cap). Cloud Run adds instances at about 60 % of the concurrency, so the others can take over the sockets of an instance that died."
  type = object({
    target      = optional(number, 600)
    cap         = optional(number, 1000)
    concurrency = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.sockets.cap >= 1 && var.sockets.cap <= 1000 && floor(var.sockets.cap) == var.sockets.cap
    error_message = "sockets.cap: allowed are whole numbers from 1 to 1000, Cloud Run's limit of concurrent requests per instance."
  }
  validation {
    condition     = var.sockets.target >= 1 && var.sockets.target <= var.sockets.cap && floor(var.sockets.target) == var.sockets.target
    error_message = "sockets.target: allowed are whole numbers from 1 to sockets.cap (${var.sockets.cap})."
  }
  validation {
    condition     = var.sockets.concurrency == null ? true : var.sockets.concurrency >= 1 && var.sockets.concurrency <= var.sockets.cap && floor(var.sockets.concurrency) == var.sockets.concurrency
    error_message = "sockets.concurrency: allowed are null and whole numbers from 1 to sockets.cap (${var.sockets.cap}): above the cap Cloud Run would send sockets that the program refuses."
  }
}

variable "request_timeout_seconds" {
  description = "The longest life of a socket. One value for Cloud Run's request timeout and for the program, which moves its clients to a new socket before it. Lower it for a while after a spike of traffic: sockets then leave surplus instances sooner."
  type        = number
  default     = 3600

  validation {
    condition     = var.request_timeout_seconds >= 60 && var.request_timeout_seconds <= 3600 && floor(var.request_timeout_seconds) == var.request_timeout_seconds
    error_message = "request_timeout_seconds: allowed are whole numbers from 60 to 3600, Cloud Run's limit."
  }
}

variable "cpu" {
  description = "vCPUs per instance: 1, 2, 4 or 8. Always allocated, since presence, healing and heartbeats run between requests."
  type        = string
  default     = "1"

  validation {
    condition     = contains(["1", "2", "4", "8"], var.cpu)
    error_message = "cpu: allowed are \"1\", \"2\", \"4\" and \"8\"."
  }
}

variable "memory" {
  description = "Memory per instance, such as `512Mi` or `1Gi`: 512Mi to 32Gi; Cloud Run wants 2Gi for 4 vCPUs and 4Gi for 8."
  type        = string
  default     = "1Gi"

  validation {
    condition     = try(tonumber(regex("^([1-9][0-9]*)(Mi|Gi)$", var.memory)[0]) * (endswith(var.memory, "Gi") ? 1024 : 1) >= 512 && tonumber(regex("^([1-9][0-9]*)(Mi|Gi)$", var.memory)[0]) * (endswith(var.memory, "Gi") ? 1024 : 1) <= 32768, false)
    error_message = "memory: allowed are whole numbers with Mi or Gi, from 512Mi to 32Gi."
  }
}

variable "allowed_origins" {
  description = "Web origins, besides the service's own, whose pages may open a socket, such as `https://chat.example.com`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.allowed_origins) <= 64 && alltrue([for o in var.allowed_origins : can(regex("^https?://[^/,[:space:]]+$", o))])
    error_message = "allowed_origins: allowed are up to 64 origins: https:// or http://, a host and an optional port, without a path."
  }
}

variable "trusted_hops" {
  description = "Proxies whose entry in X-Forwarded-For is believed, counted from the right: 1 for Cloud Run's front end, 2 with an external load balancer before it."
  type        = number
  default     = 1

  validation {
    condition     = contains([0, 1, 2, 3], var.trusted_hops)
    error_message = "trusted_hops: allowed are 0, 1, 2 and 3."
  }
}

variable "readiness_probe" {
  description = "Whether Cloud Run asks `/health/ready` and sends no new requests to an instance that is draining."
  type        = bool
  default     = true
  nullable    = false
}

variable "settings" {
  description = "More settings of the program as environment variables, `CONFAB__SECTION__KEY` → value. No secrets: values are shown in plans. What the stack itself sets is refused."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for k in keys(var.settings) : can(regex("^CONFAB(__[A-Z0-9_]*[A-Z0-9])+$", k))])
    error_message = "settings: allowed are names of the form CONFAB__SECTION__KEY."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["CONFAB__STORE__PASSWORD", "CONFAB__AUTH__KEYS"])) == 0
    error_message = "settings: allowed is anything but CONFAB__STORE__PASSWORD and CONFAB__AUTH__KEYS: plans and the console would show them. The stack hands both over as files."
  }
}

# ---- network ---------------------------------------------------------------------------------------------------------

variable "egress" {
  description = "How the service reaches Redis: `connector` (Serverless VPC Access; destroys cleanly) or `direct` (Direct VPC egress: no VMs to pay and no throughput limit of their own, but its subnet can't be deleted for 1 to 2 hours after the service)."
  type        = string
  default     = "connector"

  validation {
    condition     = contains(["connector", "direct"], var.egress)
    error_message = "egress: allowed are \"connector\" and \"direct\"."
  }
}

variable "network" {
  description = "The network. `existing`: use this one (its `name`, with `project_id` if it lives in a Shared VPC's host project, and `direct_subnet` for Direct egress) instead of making one. `direct_cidr`: subnet for Direct egress in a new network, /26 or larger. `private_services_cidr`: range handed to Google's services in a new network with PRIVATE_SERVICE_ACCESS, /24 or larger. `used_ranges`: ranges, by name, that the others must not overlap."
  type = object({
    existing = optional(object({
      name          = string
      project_id    = optional(string)
      direct_subnet = optional(string)
    }))
    direct_cidr           = optional(string, "10.8.2.0/26")
    private_services_cidr = optional(string, "10.9.0.0/20")
    used_ranges           = optional(map(string), {})
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.network.existing == null ? true : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.network.existing.name))
    error_message = "network.existing.name: allowed is a network's name: 1 to 63 lower-case letters, digits and hyphens (not its URL)."
  }
  validation {
    condition     = try(var.network.existing.project_id, null) == null ? true : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.network.existing.project_id))
    error_message = "network.existing.project_id: allowed are null and a project id of 6 to 30 characters."
  }
  validation {
    condition     = try(var.network.existing.direct_subnet, null) == null ? true : can(regex("^(projects/[^/]+/regions/[^/]+/subnetworks/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.network.existing.direct_subnet))
    error_message = "network.existing.direct_subnet: allowed are null, a subnet's name and projects/PROJECT/regions/REGION/subnetworks/NAME."
  }
  validation {
    condition     = !strcontains(var.network.direct_cidr, ":") && try(cidrhost(var.network.direct_cidr, 0) == split("/", var.network.direct_cidr)[0] && tonumber(split("/", var.network.direct_cidr)[1]) <= 26, false)
    error_message = "network.direct_cidr: allowed is an IPv4 range in CIDR form of /26 or larger (a smaller prefix number) that begins with its first address, such as 10.8.2.0/26."
  }
  validation {
    condition     = !strcontains(var.network.private_services_cidr, ":") && try(cidrhost(var.network.private_services_cidr, 0) == split("/", var.network.private_services_cidr)[0] && tonumber(split("/", var.network.private_services_cidr)[1]) <= 24, false)
    error_message = "network.private_services_cidr: allowed is an IPv4 range in CIDR form of /24 or larger (a smaller prefix number) that begins with its first address, such as 10.9.0.0/20."
  }
  validation {
    condition     = alltrue([for r in values(var.network.used_ranges) : can(cidrhost(r, 0)) && !strcontains(r, ":")])
    error_message = "network.used_ranges: allowed are IPv4 ranges in CIDR form."
  }
}

variable "connector" {
  description = "The Serverless VPC Access connector: its name (null: that of the stack, shortened, with four digits that change with its place, so that it can be moved; Google's documentation wants fewer than 21 characters, each hyphen counting as two; another name wants another range in the same apply), a free /28 in the network or an existing /28 `subnet` instead (with `subnet_project_id` in a Shared VPC), its machines and how many. `existing_id`: use this connector instead of making one."
  type = object({
    name              = optional(string)
    ip_cidr_range     = optional(string, "10.8.0.0/28")
    subnet            = optional(string)
    subnet_project_id = optional(string)
    machine_type      = optional(string, "e2-micro")
    min_instances     = optional(number, 2)
    max_instances     = optional(number, 3)
    existing_id       = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.connector.name == null ? true : can(regex("^[a-z][-a-z0-9]{0,23}[a-z0-9]$", var.connector.name))
    error_message = "connector.name: allowed are 2 to 25 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
  validation {
    condition     = can(cidrhost(var.connector.ip_cidr_range, 0)) && endswith(var.connector.ip_cidr_range, "/28") && try(cidrhost(var.connector.ip_cidr_range, 0) == split("/", var.connector.ip_cidr_range)[0], false)
    error_message = "connector.ip_cidr_range: allowed is an IPv4 range of exactly /28 that begins on a multiple of 16, such as 10.8.0.0/28."
  }
  validation {
    condition     = can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.)", var.connector.ip_cidr_range))
    error_message = "connector.ip_cidr_range: allowed are private addresses (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16)."
  }
  validation {
    condition     = var.connector.subnet == null ? true : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.connector.subnet))
    error_message = "connector.subnet: allowed are null and a subnet's name: 1 to 63 lower-case letters, digits and hyphens (not its URL)."
  }
  validation {
    condition     = var.connector.subnet_project_id == null ? true : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.connector.subnet_project_id))
    error_message = "connector.subnet_project_id: allowed are null and a project id of 6 to 30 characters."
  }
  validation {
    condition     = contains(["f1-micro", "e2-micro", "e2-standard-4"], var.connector.machine_type)
    error_message = "connector.machine_type: allowed are f1-micro, e2-micro and e2-standard-4."
  }
  validation {
    condition     = var.connector.min_instances >= 2 && var.connector.min_instances <= 9 && floor(var.connector.min_instances) == var.connector.min_instances
    error_message = "connector.min_instances: allowed are whole numbers from 2 to 9."
  }
  validation {
    condition     = var.connector.max_instances >= 3 && var.connector.max_instances <= 10 && floor(var.connector.max_instances) == var.connector.max_instances
    error_message = "connector.max_instances: allowed are whole numbers from 3 to 10."
  }
  validation {
    condition     = var.connector.max_instances > var.connector.min_instances
    error_message = "connector.max_instances: allowed is more than connector.min_instances (${var.connector.min_instances})."
  }
  validation {
    condition     = var.connector.existing_id == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/connectors/[^/]+$", var.connector.existing_id))
    error_message = "connector.existing_id: allowed are null and projects/PROJECT/locations/REGION/connectors/NAME."
  }
}

variable "traffic" {
  description = "What the connector must carry at the busiest: messages a second over all rooms, and bytes of one as Redis hands it on. In the worst case each crosses the connector once for every instance."
  type = object({
    messages_per_second = optional(number, 500)
    message_bytes       = optional(number, 1024)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.traffic.messages_per_second > 0 && var.traffic.messages_per_second <= 1000000
    error_message = "traffic.messages_per_second: allowed are numbers above 0 and up to 1000000."
  }
  validation {
    condition     = var.traffic.message_bytes >= 1 && var.traffic.message_bytes <= 65536
    error_message = "traffic.message_bytes: allowed are numbers from 1 to 65536."
  }
}

# ---- store -----------------------------------------------------------------------------------------------------------

variable "redis" {
  description = "Memorystore for Redis. `name`: null is that of the stack. `tier`: null follows the profile. `auth`: `on`; `off`; `rotating`, a step of rotating the password (see modules/secrets). `zone`: where the primary starts (null: Google chooses). `reserved_ip_range`: a free /29 (direct peering) or the name of an allocated range (private service access). `snapshot_hours`: how often a copy goes to disk (1, 6, 12, 24; null: never). `sockets_per_instance`: connections to reckon with for one instance: the program opens 13 at most, the rest is for those of a failover that Redis hasn't given up yet."
  type = object({
    name                 = optional(string)
    tier                 = optional(string)
    memory_gb            = optional(number, 1)
    version              = optional(string, "REDIS_7_2")
    auth                 = optional(string, "on")
    tls                  = optional(bool, true)
    connect_mode         = optional(string, "DIRECT_PEERING")
    reserved_ip_range    = optional(string)
    zone                 = optional(string)
    maintenance_day      = optional(string, "SUNDAY")
    maintenance_hour     = optional(number, 3)
    snapshot_hours       = optional(number)
    sockets_per_instance = optional(number, 20)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.redis.name == null ? true : can(regex("^[a-z][-a-z0-9]{0,38}[a-z0-9]$", var.redis.name))
    error_message = "redis.name: allowed are null and 2 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
  validation {
    condition     = var.redis.tier == null ? true : contains(["BASIC", "STANDARD_HA"], var.redis.tier)
    error_message = "redis.tier: allowed are null, \"BASIC\" and \"STANDARD_HA\"."
  }
  validation {
    condition     = var.redis.memory_gb >= 1 && var.redis.memory_gb <= 300 && floor(var.redis.memory_gb) == var.redis.memory_gb
    error_message = "redis.memory_gb: allowed are whole numbers from 1 to 300."
  }
  validation {
    condition     = contains(["REDIS_7_0", "REDIS_7_2"], var.redis.version)
    error_message = "redis.version: allowed are \"REDIS_7_0\" and \"REDIS_7_2\"; older ones take only about 1,000 encrypted connections."
  }
  validation {
    condition     = contains(["on", "off", "rotating"], var.redis.auth)
    error_message = "redis.auth: allowed are \"on\", \"off\" and \"rotating\"."
  }
  validation {
    condition     = contains(["DIRECT_PEERING", "PRIVATE_SERVICE_ACCESS"], var.redis.connect_mode)
    error_message = "redis.connect_mode: allowed are \"DIRECT_PEERING\" and \"PRIVATE_SERVICE_ACCESS\"."
  }
  validation {
    condition     = var.redis.zone == null ? true : can(regex("^[a-z]+-[a-z]+[0-9]+-[a-z]$", var.redis.zone))
    error_message = "redis.zone: allowed are null and a zone such as us-central1-a."
  }
  validation {
    condition     = contains(["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"], var.redis.maintenance_day)
    error_message = "redis.maintenance_day: allowed are MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY and SUNDAY."
  }
  validation {
    condition     = var.redis.maintenance_hour >= 0 && var.redis.maintenance_hour <= 23 && floor(var.redis.maintenance_hour) == var.redis.maintenance_hour
    error_message = "redis.maintenance_hour: allowed are whole hours from 0 to 23, in UTC."
  }
  validation {
    condition     = var.redis.snapshot_hours == null ? true : contains([1, 6, 12, 24], var.redis.snapshot_hours)
    error_message = "redis.snapshot_hours: allowed are null, 1, 6, 12 and 24."
  }
  validation {
    condition     = var.redis.sockets_per_instance >= 13 && var.redis.sockets_per_instance <= 1000 && floor(var.redis.sockets_per_instance) == var.redis.sockets_per_instance
    error_message = "redis.sockets_per_instance: allowed are whole numbers from 13 (what the program opens at most: 4 to append, 8 to ask, 1 to listen) to 1000."
  }
}

variable "durability" {
  description = "What an acknowledged message has reached. `auto`: a replica where there is one. `replicated`: always a replica, else no acknowledgement. `relaxed`: the primary; replication isn't waited for. `local`: the only node there is. Null: `auto`, or `local` with a BASIC Redis."
  type        = string
  default     = null

  validation {
    condition     = var.durability == null ? true : contains(["auto", "replicated", "relaxed", "local"], var.durability)
    error_message = "durability: allowed are null, \"auto\", \"replicated\", \"relaxed\" and \"local\"."
  }
}

variable "tls_verify" {
  description = "How the program checks the certificate of Redis. `ca`: a chain to Memorystore's own authority is enough (its certificates are reported to name an address, which isn't a host name). `full`: the name must match too."
  type        = string
  default     = "ca"

  validation {
    condition     = contains(["ca", "full"], var.tls_verify)
    error_message = "tls_verify: allowed are \"ca\" and \"full\"."
  }
}

variable "token_keys" {
  description = "Names of the generations of the key that signs guest tokens: the first signs, all are accepted. To rotate, one apply each: `[\"1\", \"2\"]`, `[\"2\", \"1\"]`, and 30 days later (a token's life) `[\"2\"]`."
  type        = list(string)
  default     = ["1"]
  nullable    = false

  validation {
    condition     = length(var.token_keys) >= 1 && length(var.token_keys) <= 5 && length(distinct(var.token_keys)) == length(var.token_keys) && alltrue([for g in var.token_keys : can(regex("^[a-z0-9][-a-z0-9]{0,19}$", g))])
    error_message = "token_keys: allowed are 1 to 5 different names of 1 to 20 lower-case letters, digits and hyphens."
  }
}

# ---- telemetry and watching ------------------------------------------------------------------------------------------

variable "telemetry" {
  description = "OpenTelemetry export. `collector`: an OpenTelemetry collector beside each instance, by its image, that sends metrics and traces to Google Cloud. `otlp_endpoint`: instead, one elsewhere that takes OTLP over gRPC. Neither: nothing is sent. `traces`, `metrics`: whether the service account may write them to Google Cloud, its only project roles; with `collector` it may."
  type = object({
    collector = optional(object({
      image  = string
      cpu    = optional(string, "1")
      memory = optional(string, "512Mi")
    }))
    otlp_endpoint = optional(string)
    traces        = optional(bool, false)
    metrics       = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.telemetry.otlp_endpoint == null ? true : can(regex("^https?://[^[:space:]]+$", var.telemetry.otlp_endpoint))
    error_message = "telemetry.otlp_endpoint: allowed are null and a URL that begins with https:// or http://."
  }

  validation {
    condition     = var.telemetry.collector == null || var.telemetry.otlp_endpoint == null
    error_message = "telemetry.collector: not with telemetry.otlp_endpoint; the program sends to one of them."
  }

  validation {
    condition = var.telemetry.collector == null ? true : (
      can(regex("^(0?[.][0-9]+|[1248])$", var.telemetry.collector.cpu)) && can(regex("^[1-9][0-9]*(Mi|Gi)$", var.telemetry.collector.memory))
    )
    error_message = "telemetry.collector: allowed are a cpu of 1, 2, 4, 8 or a fraction such as 0.5, and a memory such as 512Mi or 1Gi."
  }
}

variable "observability" {
  description = "A dashboard, alerts and an uptime check from Google's own metrics (`enabled`), and with `telemetry.collector` from the program's. `notify`: e-mail addresses that are told; without any, incidents are only listed in the console. `runbooks`: where `docs/operations/` can be read, as a URL, for the alerts to link to. `prober`: a job that sends a message through the service every `every_minutes` and alerts where it doesn't arrive (`{}` for the defaults, null for none); `url`: where people reach the service, if not at Cloud Run's own address; `scheduler_region`: another region for Cloud Scheduler, which has fewer than Cloud Run."
  type = object({
    enabled  = optional(bool, false)
    notify   = optional(list(string), [])
    runbooks = optional(string)
    prober = optional(object({
      url                = optional(string)
      every_minutes      = optional(number, 5)
      within_seconds     = optional(number, 30)
      delivery_within_ms = optional(number, 1000)
      scheduler_region   = optional(string)
    }))
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for a in var.observability.notify : can(regex("^[^@[:space:]]+@[^@[:space:]]+$", a))])
    error_message = "observability.notify: allowed are e-mail addresses."
  }

  validation {
    condition     = var.observability.runbooks == null ? true : can(regex("^https://[^[:space:]]+$", var.observability.runbooks))
    error_message = "observability.runbooks: allowed are null and a URL that begins with https://."
  }

  validation {
    condition     = try(var.observability.prober.url, null) == null ? true : can(regex("^wss://[^[:space:]/?#@]+/[^[:space:]?#]*$", var.observability.prober.url))
    error_message = "observability.prober.url: allowed are null and wss://HOST/ws, without a query: arguments are shown in the console."
  }
  validation {
    condition     = var.observability.prober == null ? true : contains([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30], var.observability.prober.every_minutes)
    error_message = "observability.prober.every_minutes: allowed are 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 and 30, which divide an hour."
  }
  validation {
    condition     = var.observability.prober == null ? true : var.observability.prober.within_seconds >= 5 && var.observability.prober.within_seconds <= 600 && floor(var.observability.prober.within_seconds) == var.observability.prober.within_seconds
    error_message = "observability.prober.within_seconds: allowed are whole numbers from 5 to 600."
  }
  validation {
    condition     = var.observability.prober == null ? true : var.observability.prober.delivery_within_ms >= 1 && var.observability.prober.delivery_within_ms <= 600000 && floor(var.observability.prober.delivery_within_ms) == var.observability.prober.delivery_within_ms
    error_message = "observability.prober.delivery_within_ms: allowed are whole numbers from 1 to 600000."
  }
  validation {
    condition     = try(var.observability.prober.scheduler_region, null) == null ? true : contains(keys(local.cloud_run_regions), var.observability.prober.scheduler_region)
    error_message = "observability.prober.scheduler_region: allowed are null and the regions that `region` allows."
  }
}

# ---- waits -----------------------------------------------------------------------------------------------------------

variable "waits" {
  description = "Pauses where Google's API is eventually consistent, in seconds: after enabling APIs, after granting rights, and on destroy between the connector and its network (the connector's firewall rule lingers about a minute)."
  type = object({
    apis              = optional(number, 30)
    grants            = optional(number, 20)
    connector_destroy = optional(number, 90)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for s in values(var.waits) : s >= 0 && s <= 600 && floor(s) == s])
    error_message = "waits: allowed are whole seconds from 0 to 600."
  }
}

# ---- cost ------------------------------------------------------------------------------------------------------------

variable "usage" {
  description = "What `estimated_monthly_cost` is worked out for: open sockets on average over the month, the share of them whose tab is in the background, messages a second each socket receives, bytes of one on the wire, and bytes logged per socket and hour."
  type = object({
    average_sockets                = optional(number, 100)
    sleeping_share                 = optional(number, 0.5)
    messages_per_socket_per_second = optional(number, 0.05)
    message_bytes                  = optional(number, 400)
    log_bytes_per_socket_hour      = optional(number, 2000)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for n in values(var.usage) : n >= 0])
    error_message = "usage: allowed are numbers from 0 upwards."
  }
  validation {
    condition     = var.usage.sleeping_share <= 1
    error_message = "usage.sleeping_share: allowed are numbers from 0 to 1."
  }
}
