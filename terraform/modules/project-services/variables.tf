variable "project_id" {
  description = "Id of the project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: allowed are 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "services" {
  description = "APIs to enable, such as `redis.googleapis.com`."
  type        = set(string)

  validation {
    condition     = length(var.services) > 0 && alltrue([for s in var.services : can(regex("^[a-z][-a-z0-9]*\\.googleapis\\.com$", s))])
    error_message = "services: allowed is at least one name of the form NAME.googleapis.com."
  }
}

variable "wait_seconds" {
  description = "Pause after enabling: the call returns before every part of Google's front end knows of the API."
  type        = number
  default     = 30

  validation {
    condition     = var.wait_seconds >= 0 && var.wait_seconds <= 600 && floor(var.wait_seconds) == var.wait_seconds
    error_message = "wait_seconds: allowed are whole seconds from 0 to 600."
  }
}
