# A service that people rely on: image by digest, protection on, a larger Redis with copies on disk, alerts by e-mail.
variable "project_id" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "europe-west1"
}

variable "image" {
  description = "Image to run, by digest."
  type        = string
}

variable "deletion_protection" {
  description = "Whether terraform refuses to delete Redis and the service. Before a destroy: false, apply."
  type        = bool
  default     = true
}

variable "max_instances" {
  description = "Instances at most."
  type        = number
  default     = 30
}

variable "redis_memory_gb" {
  description = "Memory of Redis."
  type        = number
  default     = 5
}

variable "redis_auth" {
  description = "`on`; `rotating` in between, to change the password of Redis."
  type        = string
  default     = "on"
}

variable "token_keys" {
  description = "Generations of the guest-token key; the first signs."
  type        = list(string)
  default     = ["1"]
}

variable "notify" {
  description = "Who is told by e-mail."
  type        = list(string)
}

module "confab" {
  source = "../.."

  project_id          = var.project_id
  region              = var.region
  profile             = "production"
  deletion_protection = var.deletion_protection
  image               = var.image
  min_instances       = 3
  max_instances       = var.max_instances
  cpu                 = "2"
  memory              = "2Gi"
  durability          = "replicated"
  token_keys          = var.token_keys

  redis = {
    memory_gb      = var.redis_memory_gb
    auth           = var.redis_auth
    snapshot_hours = 6
  }

  # 30 instances × 500 messages a second × 1 KiB are only 123 Mbit/s, but 15,000 small messages a second: Google advises
  # against the shared-core machines where requests are many and small, whatever the bandwidth.
  connector = {
    machine_type  = "e2-standard-4"
    min_instances = 2
    max_instances = 3
  }

  observability = {
    enabled = true
    notify  = var.notify
  }

  labels = {
    "environment" = "production"
  }
}

output "url" {
  description = "Where the page is."
  value       = module.confab.url
}

output "websocket_url" {
  description = "Where clients connect."
  value       = module.confab.websocket_url
}

output "estimated_monthly_cost" {
  description = "Estimate, line by line."
  value       = module.confab.estimated_monthly_cost
}

output "next_steps" {
  description = "What to do now."
  value       = module.confab.next_steps
}
