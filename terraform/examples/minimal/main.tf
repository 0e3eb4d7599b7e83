# The least there is to say: a project. Everything else has a default.
variable "project_id" {
  description = "Id of the project."
  type        = string
}

variable "image" {
  description = "Image to run. Null: built from this checkout."
  type        = string
  default     = null
}

module "confab" {
  source = "../.."

  project_id = var.project_id
  image      = var.image
}

output "url" {
  description = "Where the page is."
  value       = module.confab.url
}

output "next_steps" {
  description = "What to do now."
  value       = module.confab.next_steps
}
