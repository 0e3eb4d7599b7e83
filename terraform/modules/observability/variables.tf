variable "project_id" {
  description = "Id of the project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: allowed are 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "name" {
  description = "Name of the stack, the first part of every name made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{1,18}[a-z0-9]$", var.name))
    error_message = "name: allowed are 3 to 20 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "labels" {
  description = "Labels on what takes them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for k, v in var.labels : can(regex("^[a-z][-_a-z0-9]{0,62}$", k)) && can(regex("^[-_a-z0-9]{0,63}$", v))])
    error_message = "labels: allowed are keys of 1 to 63 and values of up to 63 lower-case letters, digits, hyphens and underscores; a key begins with a letter."
  }
}

variable "service" {
  description = "Name of the Cloud Run service."
  type        = string
}

variable "host" {
  description = "Host that the uptime check asks at `/health/ready`."
  type        = string
}

variable "uptime_check" {
  description = "Whether to ask from outside. Only a public service answers."
  type        = bool
  default     = true
  nullable    = false
}

variable "redis" {
  description = "The Redis instance, as `projects/PROJECT/locations/REGION/instances/NAME`."
  type        = string
}

variable "connector" {
  description = "Name of the Serverless VPC Access connector, for the dashboard. Null: there is none."
  type        = string
  default     = null
}

variable "concurrency" {
  description = "Requests and sockets that one instance takes at once; a line in the dashboard."
  type        = number
  default     = 1000

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000
    error_message = "concurrency: allowed are numbers from 1 to 1000."
  }
}

variable "max_instances" {
  description = "Instances the service may have; the alert comes at 80 % of them."
  type        = number

  validation {
    condition     = var.max_instances >= 1
    error_message = "max_instances: allowed are numbers from 1 upwards."
  }
}

variable "notify" {
  description = "E-mail addresses that are told. None: incidents are only listed in the console."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for a in var.notify : can(regex("^[^@[:space:]]+@[^@[:space:]]+$", a))])
    error_message = "notify: allowed are e-mail addresses."
  }
}

variable "program_metrics" {
  description = "Whether the program's own metrics come here: alerts on its promises and three dashboards more."
  type        = bool
  default     = false
  nullable    = false
}

variable "runbooks" {
  description = "Where `docs/operations/` can be read, as a URL that the page's name is put behind: alerts then link to their pages. Null: they name them."
  type        = string
  default     = null

  validation {
    condition     = var.runbooks == null ? true : can(regex("^https://[^[:space:]]+$", var.runbooks))
    error_message = "runbooks: allowed are null and a URL that begins with https://."
  }
}
