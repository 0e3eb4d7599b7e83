# Into a network that is there already, with a /28 subnet set aside for the connector, and a service that only members of
# the organisation reach.
variable "project_id" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Region of everything, and of the subnets."
  type        = string
  default     = "us-central1"
}

variable "image" {
  description = "Image to run."
  type        = string
}

variable "network" {
  description = "Name of the network."
  type        = string
}

variable "connector_subnet" {
  description = "Name of an unused /28 subnet of the network, in the region."
  type        = string
}

variable "used_ranges" {
  description = "The network's other ranges, so that a clash is refused while planning."
  type        = map(string)
  default     = {}
}

variable "redis_range" {
  description = "A free /29 for Redis."
  type        = string
}

variable "invokers" {
  description = "Who may call the service."
  type        = list(string)
}

module "confab" {
  source = "../.."

  project_id = var.project_id
  region     = var.region
  image      = var.image
  public     = false
  invokers   = var.invokers
  ingress    = "internal-and-cloud-load-balancing"

  # The load balancer adds an entry of its own to X-Forwarded-For.
  trusted_hops = 2

  network = {
    existing    = { name = var.network }
    used_ranges = var.used_ranges
  }

  connector = {
    subnet = var.connector_subnet
  }

  redis = {
    reserved_ip_range = var.redis_range
  }
}

output "url" {
  description = "Where the service is, for the load balancer's backend and its callers."
  value       = module.confab.url
}

output "redis_host" {
  description = "Address of Redis in the network."
  value       = module.confab.redis_host
}

output "next_steps" {
  description = "What to do now."
  value       = module.confab.next_steps
}
