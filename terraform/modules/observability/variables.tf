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

variable "prober" {
  description = "A Cloud Run job that runs `confab probe` of `image` in `region` against `url` (null: the service's `/ws` on `host`), every so many minutes; the alert comes when two of three fail. A probe fails after `within_seconds`, and where a message takes longer than `delivery_within_ms`. `scheduler_region`: where Cloud Scheduler is asked, which has fewer regions than Cloud Run (null: `region`). Null: there is no prober."
  type = object({
    image              = string
    region             = string
    url                = optional(string)
    every_minutes      = optional(number, 5)
    within_seconds     = optional(number, 30)
    delivery_within_ms = optional(number, 1000)
    scheduler_region   = optional(string)
  })
  default = null

  validation {
    condition     = var.prober == null ? true : can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.prober.region)) && (var.prober.scheduler_region == null ? true : can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.prober.scheduler_region)))
    error_message = "prober.region and prober.scheduler_region: allowed are regions such as us-central1."
  }
  validation {
    condition     = try(var.prober.url, null) == null ? true : can(regex("^wss://[^[:space:]/?#@]+/[^[:space:]?#]*$", var.prober.url))
    error_message = "prober.url: allowed are null and wss://HOST/ws, without a query: arguments are shown in the console."
  }
  validation {
    condition     = var.prober == null ? true : contains([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30], var.prober.every_minutes)
    error_message = "prober.every_minutes: allowed are 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 and 30, which divide an hour."
  }
  validation {
    condition     = var.prober == null ? true : var.prober.within_seconds >= 5 && var.prober.within_seconds <= 600 && floor(var.prober.within_seconds) == var.prober.within_seconds
    error_message = "prober.within_seconds: allowed are whole numbers from 5 to 600."
  }
  validation {
    condition     = var.prober == null ? true : var.prober.delivery_within_ms >= 1 && var.prober.delivery_within_ms <= 600000 && floor(var.prober.delivery_within_ms) == var.prober.delivery_within_ms
    error_message = "prober.delivery_within_ms: allowed are whole numbers from 1 to 600000."
  }
}
