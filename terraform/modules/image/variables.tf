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

variable "source_dir" {
  description = "Folder with the Dockerfile: the build's context."
  type        = string
}

variable "source_patterns" {
  description = "Which files of the folder are uploaded, and change the image when they change."
  type        = list(string)
  default     = ["Dockerfile", ".dockerignore", "Cargo.toml", "Cargo.lock", "src/**", "web/**"]

  validation {
    condition     = length(var.source_patterns) > 0
    error_message = "source_patterns: allowed is a list with at least one pattern."
  }
}

variable "build_region" {
  description = "Where Cloud Build runs: `global` or a region."
  type        = string
  default     = "global"

  validation {
    condition     = can(regex("^(global|[a-z]+-[a-z]+[0-9]+)$", var.build_region))
    error_message = "build_region: allowed are \"global\" and a region such as us-central1."
  }
}

variable "machine_type" {
  description = "Cloud Build's machine."
  type        = string
  default     = "e2-highcpu-8"

  validation {
    condition     = contains(["e2-medium", "e2-highcpu-8", "e2-highcpu-32", "n1-highcpu-8", "n1-highcpu-32"], var.machine_type)
    error_message = "machine_type: allowed are e2-medium, e2-highcpu-8, e2-highcpu-32, n1-highcpu-8 and n1-highcpu-32."
  }
}

variable "timeout_seconds" {
  description = "How long a build may take."
  type        = number
  default     = 1800

  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 86400 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds: allowed are whole numbers from 60 to 86400."
  }
}

variable "resolve_digest" {
  description = "Whether to look the digest up after the build and hand out `…@sha256:…` instead of the tag."
  type        = bool
  default     = false
  nullable    = false
}

variable "keep_images" {
  description = "How many of the newest images the repository keeps."
  type        = number
  default     = 10

  validation {
    condition     = var.keep_images >= 1 && var.keep_images <= 1000 && floor(var.keep_images) == var.keep_images
    error_message = "keep_images: allowed are whole numbers from 1 to 1000."
  }
}

variable "grant_wait_seconds" {
  description = "Pause between granting the build account its rights and the first build."
  type        = number
  default     = 20

  validation {
    condition     = var.grant_wait_seconds >= 0 && var.grant_wait_seconds <= 600 && floor(var.grant_wait_seconds) == var.grant_wait_seconds
    error_message = "grant_wait_seconds: allowed are whole seconds from 0 to 600."
  }
}
