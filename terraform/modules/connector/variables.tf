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
  description = "Name of the connector."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{0,23}[a-z0-9]$", var.name))
    error_message = "name: allowed are 2 to 25 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "network" {
  description = "Name of the network, together with `ip_cidr_range`. Null with `subnet`."
  type        = string
  default     = null
}

variable "ip_cidr_range" {
  description = "A free private /28 in the network. Null with `subnet`."
  type        = string
  default     = null

  validation {
    condition     = var.ip_cidr_range == null ? true : endswith(var.ip_cidr_range, "/28") && try(cidrhost(var.ip_cidr_range, 0) == split("/", var.ip_cidr_range)[0], false)
    error_message = "ip_cidr_range: allowed is an IPv4 range of exactly /28 that begins on a multiple of 16, such as 10.8.0.0/28."
  }
  validation {
    condition     = var.ip_cidr_range == null ? true : can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.)", var.ip_cidr_range))
    error_message = "ip_cidr_range: allowed are private addresses (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16)."
  }
  validation {
    condition     = (var.ip_cidr_range == null) != (var.subnet == null)
    error_message = "ip_cidr_range: allowed is either ip_cidr_range (with network) or subnet, and one of them is needed."
  }
}

variable "subnet" {
  description = "An existing /28 subnet instead of `network` and `ip_cidr_range`: its name and, in a Shared VPC, its project."
  type = object({
    name       = string
    project_id = optional(string)
  })
  default = null

  validation {
    condition     = var.subnet == null ? true : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.subnet.name))
    error_message = "subnet.name: allowed is a subnet's name: 1 to 63 lower-case letters, digits and hyphens (not its URL)."
  }
}

variable "machine_type" {
  description = "Machine of each connector instance: f1-micro and e2-micro carry about 100 Mbit/s, e2-standard-4 about 1,600."
  type        = string
  default     = "e2-micro"

  validation {
    condition     = contains(["f1-micro", "e2-micro", "e2-standard-4"], var.machine_type)
    error_message = "machine_type: allowed are f1-micro, e2-micro and e2-standard-4."
  }
}

variable "min_instances" {
  description = "Connector instances at least."
  type        = number
  default     = 2

  validation {
    condition     = var.min_instances >= 2 && var.min_instances <= 9 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances: allowed are whole numbers from 2 to 9."
  }
}

variable "max_instances" {
  description = "Connector instances at most. A connector grows by itself but never shrinks."
  type        = number
  default     = 3

  validation {
    condition     = var.max_instances >= 3 && var.max_instances <= 10 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances: allowed are whole numbers from 3 to 10."
  }
  validation {
    condition     = var.max_instances > var.min_instances
    error_message = "max_instances: allowed is more than min_instances (${var.min_instances})."
  }
}

variable "required_mbps" {
  description = "Megabits a second the connector must carry at the busiest; less capacity is refused."
  type        = number
  default     = 0

  validation {
    condition     = var.required_mbps >= 0
    error_message = "required_mbps: allowed are numbers from 0 upwards."
  }
}
