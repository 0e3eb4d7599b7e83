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

variable "account_id" {
  description = "Id of the account. Null: the stack's name with `-run`."
  type        = string
  default     = null

  validation {
    condition     = var.account_id == null ? true : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.account_id))
    error_message = "account_id: allowed are null and 6 to 30 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
}

variable "traces" {
  description = "Whether it may write traces to the project."
  type        = bool
  default     = false
  nullable    = false
}

variable "metrics" {
  description = "Whether it may write metrics to the project."
  type        = bool
  default     = false
  nullable    = false
}
