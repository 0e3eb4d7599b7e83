variable "project_id" {
  description = "Id of the project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: allowed are 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "region" {
  description = "Region of everything made here."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: allowed is a region such as us-central1."
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

variable "image" {
  description = "Container image."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][-a-z0-9.:]*(/[-_.a-z0-9]+)+(:[-_.A-Za-z0-9]{1,128})?(@sha256:[0-9a-f]{64})?$", var.image))
    error_message = "image: allowed is HOST/PATH with an optional :TAG and an optional @sha256: followed by 64 hex digits."
  }
}

variable "service_account" {
  description = "E-mail address of the account it runs as."
  type        = string

  validation {
    condition     = can(regex("^[^@[:space:]]+@[^@[:space:]]+$", var.service_account))
    error_message = "service_account: allowed is the e-mail address of a service account."
  }
}

variable "store" {
  description = "Redis: where it is, whether by TLS, how its certificate is checked, and what an acknowledgement waits for."
  type = object({
    host       = string
    port       = number
    region     = string
    tls        = optional(bool, true)
    tls_verify = optional(string, "ca")
    durability = optional(string, "auto")
  })

  validation {
    condition     = contains(["ca", "full"], var.store.tls_verify)
    error_message = "store.tls_verify: allowed are \"ca\" and \"full\"."
  }
  validation {
    condition     = contains(["auto", "replicated", "relaxed", "local"], var.store.durability)
    error_message = "store.durability: allowed are \"auto\", \"replicated\", \"relaxed\" and \"local\"."
  }
}

variable "secret_files" {
  description = "Secrets to mount: key → the secret's name and the file's name under `/secrets/KEY`. Known keys: `token-keys`, `redis-auth`, `redis-ca`."
  type = map(object({
    secret = string
    file   = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for k in keys(var.secret_files) : contains(["token-keys", "redis-auth", "redis-ca"], k)])
    error_message = "secret_files: allowed keys are token-keys, redis-auth and redis-ca."
  }
}

variable "connector" {
  description = "The connector to reach Redis by, as `projects/PROJECT/locations/REGION/connectors/NAME`. Null with `direct`."
  type        = string
  default     = null

  validation {
    condition     = (var.connector == null) != (var.direct == null)
    error_message = "connector: allowed is either connector or direct, and one of them is needed."
  }
}

variable "direct" {
  description = "Direct VPC egress instead: network and subnet."
  type = object({
    network    = string
    subnetwork = string
  })
  default = null
}

variable "min_instances" {
  description = "Instances kept even without traffic."
  type        = number
  default     = 2

  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= 1000 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances: allowed are whole numbers from 0 to 1000."
  }
}

variable "max_instances" {
  description = "Instances at most."
  type        = number
  default     = 10

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances: allowed are whole numbers from 1 to 1000."
  }
}

variable "socket_cap" {
  description = "Sockets per instance at which the program refuses more."
  type        = number
  default     = 1000

  validation {
    condition     = var.socket_cap >= 1 && var.socket_cap <= 1000 && floor(var.socket_cap) == var.socket_cap
    error_message = "socket_cap: allowed are whole numbers from 1 to 1000, Cloud Run's limit of concurrent requests per instance."
  }
}

variable "concurrency" {
  description = "Requests Cloud Run sends to one instance at once. Null: `socket_cap`."
  type        = number
  default     = null

  validation {
    condition     = var.concurrency == null ? true : var.concurrency >= 1 && var.concurrency <= var.socket_cap && floor(var.concurrency) == var.concurrency
    error_message = "concurrency: allowed are null and whole numbers from 1 to socket_cap (${var.socket_cap}): above the cap Cloud Run would send sockets that the program refuses."
  }
}

variable "request_timeout_seconds" {
  description = "The longest life of a socket, for Cloud Run and for the program."
  type        = number
  default     = 3600

  validation {
    condition     = var.request_timeout_seconds >= 60 && var.request_timeout_seconds <= 3600 && floor(var.request_timeout_seconds) == var.request_timeout_seconds
    error_message = "request_timeout_seconds: allowed are whole numbers from 60 to 3600, Cloud Run's limit."
  }
}

variable "cpu" {
  description = "vCPUs per instance, always allocated."
  type        = string
  default     = "1"

  validation {
    condition     = contains(["1", "2", "4", "8"], var.cpu)
    error_message = "cpu: allowed are \"1\", \"2\", \"4\" and \"8\"."
  }
}

variable "memory" {
  description = "Memory per instance, such as `512Mi` or `1Gi`."
  type        = string
  default     = "1Gi"

  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory))
    error_message = "memory: allowed are whole numbers with Mi or Gi, such as 512Mi."
  }
}

variable "public" {
  description = "Whether requests are let in without an IAM check."
  type        = bool
  default     = true
  nullable    = false
}

variable "invokers" {
  description = "Members who may call it where `public` is false."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "ingress" {
  description = "Where requests may come from: `all`, `internal` or `internal-and-cloud-load-balancing`."
  type        = string
  default     = "all"

  validation {
    condition     = contains(["all", "internal", "internal-and-cloud-load-balancing"], var.ingress)
    error_message = "ingress: allowed are \"all\", \"internal\" and \"internal-and-cloud-load-balancing\"."
  }
}

variable "trusted_hops" {
  description = "Proxies whose entry in X-Forwarded-For is believed, counted from the right."
  type        = number
  default     = 1

  validation {
    condition     = contains([0, 1, 2, 3], var.trusted_hops)
    error_message = "trusted_hops: allowed are 0, 1, 2 and 3."
  }
}

variable "allowed_origins" {
  description = "Origins, besides the service's own, whose pages may connect."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "otlp_endpoint" {
  description = "Where telemetry goes. Null: nowhere."
  type        = string
  default     = null
}

variable "collector" {
  description = "A collector beside the program, which takes its telemetry by OTLP and sends it on to Google Cloud: its image, CPU and memory. Null: there is none."
  type        = object({ image = string, cpu = string, memory = string })
  default     = null

  validation {
    condition     = var.collector == null ? true : var.otlp_endpoint == null
    error_message = "collector: allowed only without otlp_endpoint; the collector is the endpoint."
  }
}

variable "readiness_probe" {
  description = "Whether `/health/ready` is asked, so that a draining instance gets no new requests."
  type        = bool
  default     = true
  nullable    = false
}

variable "settings" {
  description = "More settings of the program, `CONFAB__SECTION__KEY` → value. No secrets."
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

variable "revision_label" {
  description = "A value whose change makes a new revision: for what is read once, at the start. Lower-case letters, digits, hyphens and underscores, up to 63."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[-_a-z0-9]{0,63}$", var.revision_label))
    error_message = "revision_label: allowed are up to 63 lower-case letters, digits, hyphens and underscores."
  }
}
