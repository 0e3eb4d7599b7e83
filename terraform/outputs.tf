locals {
  service_page = "https://console.cloud.google.com/run/detail/${var.region}/${var.name}/observability/metrics?project=${var.project_id}"
  dashboard    = var.observability.enabled ? module.observability[0].dashboard : local.service_page
}

output "url" {
  description = "Where the page is."
  value       = module.service.url
}

output "websocket_url" {
  description = "Where clients of the native protocol connect."
  value       = "${replace(module.service.url, "https://", "wss://")}/ws"
}

output "health_url" {
  description = "Says whether the service is ready, and the state of the store in its body."
  value       = "${module.service.url}/health/ready"
}

output "redis_host" {
  description = "Address of Redis in the network."
  value       = module.redis.host
}

output "redis_port" {
  description = "Port of Redis."
  value       = module.redis.port
}

output "service_account" {
  description = "E-mail address of the account the service runs as."
  value       = module.identity.email
}

output "build_account" {
  description = "E-mail address of the account that builds the image; null with an image from outside."
  value       = one(module.image[*].build_account)
}

output "image" {
  description = "The image that runs."
  value       = local.build_image ? module.image[0].image : var.image
}

output "secrets" {
  description = "Names of the secrets the container sees, by purpose."
  value       = { for key, s in module.secrets.files : key => s.secret }
}

output "dashboard" {
  description = "The page with the metrics: the stack's own dashboard with `observability.enabled`, else Google's page of the service."
  value       = local.dashboard
}

output "estimated_monthly_cost" {
  description = "Estimate in US dollars for the assumed `usage` and `prices`, line by line with formulas; `idle`: without a single visitor; `saved_by_sleeping_tabs`: what closing the sockets of background tabs spares."
  value = {
    total                  = floor(sum(values(local.cost_usd)) * 100 + 0.5) / 100
    idle                   = floor(local.idle_usd * 100 + 0.5) / 100
    saved_by_sleeping_tabs = floor(((local.instances_no_rest - local.instances) * local.instance_usd + local.egress_gib_saved * var.prices.egress_gib) * 100 + 0.5) / 100
    lines                  = local.cents
    formulas               = local.cost_formula
    prices_as_of           = var.prices.as_of
  }
}

output "next_steps" {
  description = "What to do now."
  value       = <<-EOT
    Open the page:     ${module.service.url}
    Is it ready?       curl ${module.service.url}/health/ready
    Watch its log:     gcloud beta run services logs tail ${var.name} --region ${var.region} --project ${var.project_id}
    Its metrics:       ${local.dashboard}
    Load test it:      point the repository's load generator at ${replace(module.service.url, "https://", "wss://")}/ws
    Take it down:      terraform destroy${var.deletion_protection ? " (after an apply with deletion_protection = false)" : ""}
  EOT
}
