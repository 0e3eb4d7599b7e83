variable "prices" {
  description = "Prices in US dollars that `estimated_monthly_cost` is worked out with. The defaults are list prices for a tier 1 region as of November 2026, NOT verified: check them against Google's pages before quoting any, and set your own where you have a contract."
  type = object({
    as_of                    = optional(string, "2026-11, unverified")
    vcpu_second              = optional(number, 0.000018) # instance-based billing, tier 1
    memory_gib_second        = optional(number, 0.000002)
    tier_2_factor            = optional(number, 1.4) # what Cloud Run's tier 2 regions cost relative to tier 1
    connector_f1_micro_month = optional(number, 4.0) # one VM
    connector_e2_micro_month = optional(number, 6.7)
    connector_e2_standard_4  = optional(number, 98.0)
    redis_basic_gb_hour      = optional(number, 0.049) # up to 4 GB, the dearest class
    redis_standard_gb_hour   = optional(number, 0.064)
    egress_gib               = optional(number, 0.12) # to the internet, first TiB
    log_gib                  = optional(number, 0.50)
    log_free_gib             = optional(number, 50)
    secret_version_month     = optional(number, 0.06)
    registry_gib_month       = optional(number, 0.10)
    scheduler_job_month      = optional(number, 0.10)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name, price in var.prices : name == "as_of" ? true : tonumber(price) >= 0])
    error_message = "prices: allowed are numbers from 0 upwards, and any text in as_of."
  }
}
