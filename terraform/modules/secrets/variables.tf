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

variable "accessor" {
  description = "Member that reads the secrets: the service's account."
  type        = string

  validation {
    condition     = can(regex("^(serviceAccount|principal|principalSet):.+$", var.accessor))
    error_message = "accessor: allowed is one member that begins with serviceAccount:, principal: or principalSet:."
  }
}

variable "redis_auth" {
  description = "`on`: the password is stored. `rotating`: Redis has none for the moment, the stored one stays where it is. `off`: there is no such secret."
  type        = string
  default     = "on"

  validation {
    condition     = contains(["on", "off", "rotating"], var.redis_auth)
    error_message = "redis_auth: allowed are \"on\", \"off\" and \"rotating\"."
  }
}

variable "redis_auth_string" {
  description = "The password of Redis."
  type        = string
  default     = ""
  sensitive   = true
}

variable "redis_tls" {
  description = "Whether Redis has certificates to be checked."
  type        = bool
  default     = true
  nullable    = false
}

variable "redis_ca_certificates" {
  description = "The authority's certificates in PEM. Public, but kept beside the others because that is how a file gets into the container."
  type        = string
  default     = ""
}

variable "token_keys" {
  description = "Names of the generations of the guest-token key: the first signs, all are accepted."
  type        = list(string)
  default     = ["1"]

  validation {
    condition     = length(var.token_keys) >= 1 && length(var.token_keys) <= 5 && length(distinct(var.token_keys)) == length(var.token_keys) && alltrue([for g in var.token_keys : can(regex("^[a-z0-9][-a-z0-9]{0,19}$", g))])
    error_message = "token_keys: allowed are 1 to 5 different names of 1 to 20 lower-case letters, digits and hyphens."
  }
}

variable "grant_wait_seconds" {
  description = "Pause after granting access: a revision that starts sooner may be refused."
  type        = number
  default     = 20

  validation {
    condition     = var.grant_wait_seconds >= 0 && var.grant_wait_seconds <= 600 && floor(var.grant_wait_seconds) == var.grant_wait_seconds
    error_message = "grant_wait_seconds: allowed are whole seconds from 0 to 600."
  }
}
