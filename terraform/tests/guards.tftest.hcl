# Combinations that can't work are refused while planning.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
  image      = "us-central1-docker.pkg.dev/demo-project/confab/confab:1"
}

run "guard_dev_with_protection" {
  command = plan

  variables {
    profile             = "dev"
    deletion_protection = true
  }

  expect_failures = [terraform_data.guards]
}

run "guard_dev_with_a_replica" {
  command = plan

  variables {
    profile = "dev"
    redis   = { tier = "STANDARD_HA" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_production_without_replica" {
  command = plan

  variables {
    profile = "production"
    image   = "us-central1-docker.pkg.dev/demo-project/confab/confab@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    redis   = { tier = "BASIC" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_basic_and_replicated" {
  command = plan

  variables {
    profile    = "dev"
    durability = "replicated"
  }

  expect_failures = [terraform_data.guards]
}

run "guard_replica_and_local" {
  command = plan

  variables {
    durability = "local"
  }

  expect_failures = [terraform_data.guards]
}

run "guard_production_with_a_tag" {
  command = plan

  variables {
    profile = "production"
  }

  expect_failures = [terraform_data.guards]
}

run "guard_production_with_a_build" {
  command = plan

  variables {
    profile = "production"
    image   = null
  }

  expect_failures = [terraform_data.guards]
}

run "guard_more_min_than_max" {
  command = plan

  variables {
    min_instances = 11
  }

  expect_failures = [terraform_data.guards]
}

run "guard_more_clients_than_redis_takes" {
  command = plan

  variables {
    max_instances = 100
    redis         = { sockets_per_instance = 1000 }
    traffic       = { messages_per_second = 10 }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_target_above_concurrency" {
  command = plan

  variables {
    sockets = { target = 600, concurrency = 500 }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_direct_range_over_connector_is_no_clash_without_connector" {
  command = plan

  variables {
    egress  = "direct"
    network = { direct_cidr = "10.8.0.0/26" }
  }
}

run "guard_connector_over_a_used_range" {
  command = plan

  variables {
    network = { used_ranges = { offices = "10.0.0.0/8" } }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_services_range_over_connector" {
  command = plan

  variables {
    redis   = { connect_mode = "PRIVATE_SERVICE_ACCESS" }
    network = { private_services_cidr = "10.8.0.0/20" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_redis_range_over_connector" {
  command = plan

  variables {
    redis = { reserved_ip_range = "10.8.0.8/29" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_connector_in_another_region" {
  command = plan

  variables {
    connector = { existing_id = "projects/demo-project/locations/us-east1/connectors/c" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_redis_zone_in_another_region" {
  command = plan

  variables {
    redis = { zone = "us-east1-b" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_redis_range_of_a_wrong_size" {
  command = plan

  variables {
    redis = { reserved_ip_range = "10.50.0.0/28" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_direct_into_an_existing_network_without_subnet" {
  command = plan

  variables {
    egress  = "direct"
    network = { existing = { name = "corporate" } }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_direct_range_too_small_for_the_instances" {
  command = plan

  variables {
    egress        = "direct"
    max_instances = 31
  }

  expect_failures = [terraform_data.guards]
}

run "guard_direct_range_just_large_enough" {
  command = plan

  variables {
    egress        = "direct"
    max_instances = 30
    traffic       = { messages_per_second = 10 }
  }
}

run "guard_shared_vpc_by_direct_peering" {
  command = plan

  variables {
    network   = { existing = { name = "corporate", project_id = "host-project" } }
    connector = { subnet = "serverless", subnet_project_id = "host-project" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_shared_vpc_without_connector_subnet" {
  command = plan

  variables {
    network = { existing = { name = "corporate", project_id = "host-project" } }
    redis   = { connect_mode = "PRIVATE_SERVICE_ACCESS" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_subnet_project_without_subnet" {
  command = plan

  variables {
    connector = { subnet_project_id = "host-project" }
  }

  expect_failures = [terraform_data.guards]
}

run "guard_invokers_of_a_public_service" {
  command = plan

  variables {
    invokers = ["group:team@example.com"]
  }

  expect_failures = [terraform_data.guards]
}

run "guard_too_little_memory_for_four_cpus" {
  command = plan

  variables {
    cpu = "4"
  }

  expect_failures = [terraform_data.guards]
}
