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
  description = "Name of the instance."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{0,38}[a-z0-9]$", var.name))
    error_message = "name: allowed are 2 to 40 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
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

variable "network" {
  description = "The network that may reach it, as `projects/PROJECT/global/networks/NAME`."
  type        = string
}

variable "tier" {
  description = "`STANDARD_HA`: a primary and a replica with automatic failover. `BASIC`: one node, emptied by every maintenance."
  type        = string
  default     = "STANDARD_HA"

  validation {
    condition     = contains(["BASIC", "STANDARD_HA"], var.tier)
    error_message = "tier: allowed are \"BASIC\" and \"STANDARD_HA\"."
  }
}

variable "memory_gb" {
  description = "Memory in GiB. A tenth is kept for replication; plan to use up to 80 % of the rest."
  type        = number
  default     = 1

  validation {
    condition     = var.memory_gb >= 1 && var.memory_gb <= 300 && floor(var.memory_gb) == var.memory_gb
    error_message = "memory_gb: allowed are whole numbers from 1 to 300."
  }
}

variable "redis_version" {
  description = "Version of Redis."
  type        = string
  default     = "REDIS_7_2"

  validation {
    condition     = contains(["REDIS_7_0", "REDIS_7_2"], var.redis_version)
    error_message = "redis_version: allowed are \"REDIS_7_0\" and \"REDIS_7_2\"; older ones take only about 1,000 encrypted connections."
  }
}

variable "auth_enabled" {
  description = "Whether a password is needed. Google makes it; switching off and on makes another."
  type        = bool
  default     = true
  nullable    = false
}

variable "tls" {
  description = "Whether connections are encrypted. Changing it replaces the instance."
  type        = bool
  default     = true
  nullable    = false
}

variable "connect_mode" {
  description = "`DIRECT_PEERING`, or `PRIVATE_SERVICE_ACCESS` (needed in a Shared VPC)."
  type        = string
  default     = "DIRECT_PEERING"

  validation {
    condition     = contains(["DIRECT_PEERING", "PRIVATE_SERVICE_ACCESS"], var.connect_mode)
    error_message = "connect_mode: allowed are \"DIRECT_PEERING\" and \"PRIVATE_SERVICE_ACCESS\"."
  }
}

variable "reserved_ip_range" {
  description = "A free /29 with direct peering, or the name of an allocated range with private service access. Null: Google chooses."
  type        = string
  default     = null
}

variable "zone" {
  description = "Zone of the primary. Null: Google chooses."
  type        = string
  default     = null
}

variable "maintenance" {
  description = "Day and hour (UTC) of the weekly window of one hour in which Google may do maintenance, which is a failover."
  type = object({
    day  = optional(string, "SUNDAY")
    hour = optional(number, 3)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"], var.maintenance.day)
    error_message = "maintenance.day: allowed are MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY and SUNDAY."
  }
  validation {
    condition     = var.maintenance.hour >= 0 && var.maintenance.hour <= 23 && floor(var.maintenance.hour) == var.maintenance.hour
    error_message = "maintenance.hour: allowed are whole hours from 0 to 23, in UTC."
  }
}

variable "snapshot_hours" {
  description = "Hours between copies to disk, from which an instance that lost everything is restored. Null: none."
  type        = number
  default     = null

  validation {
    condition     = var.snapshot_hours == null ? true : contains([1, 6, 12, 24], var.snapshot_hours)
    error_message = "snapshot_hours: allowed are null, 1, 6, 12 and 24."
  }
}

variable "deletion_protection" {
  description = "Whether terraform refuses to delete it."
  type        = bool
  default     = false
  nullable    = false
}
