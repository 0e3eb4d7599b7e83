# What a plan of the whole stack holds for each profile and switch.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
  image      = "us-central1-docker.pkg.dev/demo-project/confab/confab:1"
}

run "a_project_is_enough" {
  command = plan

  assert {
    condition     = module.redis.region == "us-central1"
    error_message = "the default region"
  }

  assert {
    condition     = local.redis_tier == "STANDARD_HA" && local.durability == "auto" && local.min_instances == 2 && local.max_instances == 10
    error_message = "highly available from the first day"
  }

  assert {
    condition     = terraform_data.protection.input == false
    error_message = "the first destroy works"
  }
}

run "dev_is_one_node_without_idle_instances" {
  command = plan

  variables {
    profile = "dev"
  }

  assert {
    condition     = local.redis_tier == "BASIC" && local.durability == "local" && local.min_instances == 0 && local.max_instances == 2
    error_message = "cheapest"
  }
}

run "production_takes_an_image_by_digest" {
  command = plan

  variables {
    profile             = "production"
    image               = "us-central1-docker.pkg.dev/demo-project/confab/confab@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    deletion_protection = true
  }

  assert {
    condition     = terraform_data.protection.input == true
    error_message = "protected"
  }
}

run "tier_2_regions_cost_more" {
  command = plan

  variables {
    region = "europe-west2"
  }

  assert {
    condition     = local.price_tier == 2 && local.tier_factor > 1
    error_message = "the price follows the region"
  }
}

run "sleeping_tabs_save_instances" {
  command = plan

  variables {
    usage = { average_sockets = 6000, sleeping_share = 0.5 }
  }

  assert {
    condition     = output.estimated_monthly_cost.saved_by_sleeping_tabs > 0 && output.estimated_monthly_cost.total > output.estimated_monthly_cost.idle
    error_message = "half of the sockets are closed"
  }
}

run "the_lines_add_up_to_the_total" {
  command = plan

  assert {
    condition     = abs(sum(values(output.estimated_monthly_cost.lines)) - output.estimated_monthly_cost.total) < 0.05
    error_message = "within rounding"
  }
}

# The figures that COSTS.md quotes.
run "an_idle_dev_stack_costs_what_the_document_says" {
  command = plan

  variables {
    profile = "dev"
    usage   = { average_sockets = 0 }
  }

  assert {
    condition     = floor(output.estimated_monthly_cost.total + 0.5) == 49
    error_message = "COSTS.md says 49"
  }
}

run "an_idle_stack_costs_what_the_document_says" {
  command = plan

  variables {
    usage = { average_sockets = 0 }
  }

  assert {
    condition     = floor(output.estimated_monthly_cost.total + 0.5) == 165 && output.estimated_monthly_cost.total == output.estimated_monthly_cost.idle
    error_message = "COSTS.md says 165"
  }
}

run "five_thousand_sockets_cost_what_the_document_says" {
  command = plan

  variables {
    usage = { average_sockets = 5000, sleeping_share = 0 }
  }

  assert {
    condition     = floor(output.estimated_monthly_cost.total + 0.5) == 563
    error_message = "COSTS.md says 563"
  }
}

run "a_prober_costs_what_the_document_says" {
  command = plan

  variables {
    observability = { enabled = true, prober = {} }
  }

  assert {
    condition     = floor(output.estimated_monthly_cost.lines.prober + 0.5) == 10
    error_message = "COSTS.md says about 10, every 5 minutes"
  }
}

run "a_prober_every_minute_costs_what_the_document_says" {
  command = plan

  variables {
    observability = { enabled = true, prober = { every_minutes = 1 } }
  }

  assert {
    condition     = floor(output.estimated_monthly_cost.lines.prober + 0.5) == 50 && strcontains(output.estimated_monthly_cost.formulas.prober, "43800 runs")
    error_message = "COSTS.md says 50, every minute"
  }
}

run "half_of_five_thousand_tabs_asleep_save_what_the_document_says" {
  command = plan

  variables {
    usage = { average_sockets = 5000, sleeping_share = 0.5 }
  }

  assert {
    condition     = floor(output.estimated_monthly_cost.saved_by_sleeping_tabs + 0.5) == 225
    error_message = "COSTS.md says 225"
  }
}

run "direct_egress_makes_no_connector" {
  command = plan

  variables {
    egress = "direct"
  }

  assert {
    condition     = length(module.connector) == 0 && !contains(local.apis, "vpcaccess.googleapis.com")
    error_message = "no connector, no API for one"
  }
}

run "the_longest_name_still_makes_a_connector_name_that_google_takes" {
  command = plan

  variables {
    name = "a-chat-for-everybody"
  }

  assert {
    condition     = length(replace(local.connector_name, "-", "--")) < 21
    error_message = "fewer than 21 characters, a hyphen counting as two"
  }
}

run "private_service_access_reserves_a_range" {
  command = plan

  variables {
    redis = { connect_mode = "PRIVATE_SERVICE_ACCESS" }
  }

  assert {
    condition     = contains(local.apis, "servicenetworking.googleapis.com")
    error_message = "its API"
  }
}

run "a_private_service_is_a_switch" {
  command = plan

  variables {
    public   = false
    invokers = ["group:team@example.com"]
  }
}

run "an_existing_network_is_used" {
  command = plan

  variables {
    network   = { existing = { name = "corporate" } }
    connector = { subnet = "serverless" }
  }

  assert {
    condition     = module.network.name == "corporate"
    error_message = "as named"
  }
}
