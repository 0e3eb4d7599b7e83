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

variable "existing" {
  description = "Use this network instead of making one: its name, its project (null: this one) and, for Direct egress, its subnet."
  type = object({
    name          = string
    project_id    = optional(string)
    direct_subnet = optional(string)
  })
  default = null

  validation {
    condition     = var.existing == null ? true : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.existing.name))
    error_message = "existing.name: allowed is a network's name: 1 to 63 lower-case letters, digits and hyphens (not its URL)."
  }
  validation {
    condition     = try(var.existing.direct_subnet, null) == null ? true : can(regex("^(projects/[^/]+/regions/[^/]+/subnetworks/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.existing.direct_subnet))
    error_message = "existing.direct_subnet: allowed are null, a subnet's name and projects/PROJECT/regions/REGION/subnetworks/NAME."
  }
}

variable "direct_cidr" {
  description = "Range of a subnet for Direct VPC egress in a new network. Null: none is made."
  type        = string
  default     = null

  validation {
    condition     = var.direct_cidr == null ? true : !strcontains(var.direct_cidr, ":") && try(cidrhost(var.direct_cidr, 0) == split("/", var.direct_cidr)[0] && tonumber(split("/", var.direct_cidr)[1]) <= 26, false)
    error_message = "direct_cidr: allowed are null and an IPv4 range in CIDR form of /26 or larger (a smaller prefix number) that begins with its first address, such as 10.8.2.0/26."
  }
}

variable "private_services_cidr" {
  description = "Range handed to Google's services by private service access in a new network. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.private_services_cidr == null ? true : !strcontains(var.private_services_cidr, ":") && try(cidrhost(var.private_services_cidr, 0) == split("/", var.private_services_cidr)[0] && tonumber(split("/", var.private_services_cidr)[1]) <= 24, false)
    error_message = "private_services_cidr: allowed are null and an IPv4 range in CIDR form of /24 or larger (a smaller prefix number) that begins with its first address, such as 10.9.0.0/20."
  }
}

variable "destroy_wait_seconds" {
  description = "Pause on destroy between the connector and the network: the connector's firewall rule outlives it by about a minute and holds the network."
  type        = number
  default     = 90

  validation {
    condition     = var.destroy_wait_seconds >= 0 && var.destroy_wait_seconds <= 600 && floor(var.destroy_wait_seconds) == var.destroy_wait_seconds
    error_message = "destroy_wait_seconds: allowed are whole seconds from 0 to 600."
  }
}
