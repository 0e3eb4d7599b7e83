# Every variable refuses bad values by name.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
  image      = "us-central1-docker.pkg.dev/demo-project/confab/confab:1"
}

run "project_id_upper_case_is_refused" {
  command = plan

  variables {
    project_id = "Demo-Project"
  }

  expect_failures = [var.project_id]
}

run "project_id_too_short_is_refused" {
  command = plan

  variables {
    project_id = "demo"
  }

  expect_failures = [var.project_id]
}

run "region_unknown_is_refused" {
  command = plan

  variables {
    region = "mars-north1"
  }

  expect_failures = [var.region]
}

run "region_zone_is_refused" {
  command = plan

  variables {
    region = "us-central1-a"
  }

  expect_failures = [var.region]
}

run "name_too_long_is_refused" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaa"
  }

  expect_failures = [var.name]
}

run "name_digit_first_is_refused" {
  command = plan

  variables {
    name = "1chat"
  }

  expect_failures = [var.name]
}

run "profile_unknown_is_refused" {
  command = plan

  variables {
    profile = "test"
  }

  expect_failures = [var.profile]
}

run "labels_upper_case_is_refused" {
  command = plan

  variables {
    labels = { Team = "chat" }
  }

  expect_failures = [var.labels]
}

run "image_without_host_is_refused" {
  command = plan

  variables {
    image = "confab"
  }

  expect_failures = [var.image]
}

run "image_half_a_digest_is_refused" {
  command = plan

  variables {
    image = "h/confab@sha256:abc"
  }

  expect_failures = [var.image]
}

run "build_region_unknown_is_refused" {
  command = plan

  variables {
    build = { region = "mars-north1" }
  }

  expect_failures = [var.build]
}

run "build_machine_unknown_is_refused" {
  command = plan

  variables {
    build = { machine_type = "e2-tiny" }
  }

  expect_failures = [var.build]
}

run "build_timeout_too_short_is_refused" {
  command = plan

  variables {
    build = { timeout_seconds = 5 }
  }

  expect_failures = [var.build]
}

run "build_no_patterns_is_refused" {
  command = plan

  variables {
    build = { source_patterns = [] }
  }

  expect_failures = [var.build]
}

run "invokers_all_users_is_refused" {
  command = plan

  variables {
    invokers = ["allUsers"]
  }

  expect_failures = [var.invokers]
}

run "ingress_unknown_is_refused" {
  command = plan

  variables {
    ingress = "world"
  }

  expect_failures = [var.ingress]
}

run "min_instances_negative_is_refused" {
  command = plan

  variables {
    min_instances = -1
  }

  expect_failures = [var.min_instances]
}

run "min_instances_fraction_is_refused" {
  command = plan

  variables {
    min_instances = 1.5
  }

  expect_failures = [var.min_instances]
}

run "max_instances_zero_is_refused" {
  command = plan

  variables {
    max_instances = 0
  }

  expect_failures = [var.max_instances]
}

run "max_instances_too_many_is_refused" {
  command = plan

  variables {
    max_instances = 1001
  }

  expect_failures = [var.max_instances]
}

run "sockets_cap_over_1000_is_refused" {
  command = plan

  variables {
    sockets = { cap = 1001 }
  }

  expect_failures = [var.sockets]
}

run "sockets_target_over_cap_is_refused" {
  command = plan

  variables {
    sockets = { target = 700, cap = 600 }
  }

  expect_failures = [var.sockets]
}

run "sockets_concurrency_over_cap_is_refused" {
  command = plan

  variables {
    sockets = { target = 100, cap = 600, concurrency = 601 }
  }

  expect_failures = [var.sockets]
}

run "request_timeout_seconds_over_an_hour_is_refused" {
  command = plan

  variables {
    request_timeout_seconds = 3601
  }

  expect_failures = [var.request_timeout_seconds]
}

run "request_timeout_seconds_under_a_minute_is_refused" {
  command = plan

  variables {
    request_timeout_seconds = 59
  }

  expect_failures = [var.request_timeout_seconds]
}

run "cpu_three_is_refused" {
  command = plan

  variables {
    cpu = "3"
  }

  expect_failures = [var.cpu]
}

run "memory_without_unit_is_refused" {
  command = plan

  variables {
    memory = "1024"
  }

  expect_failures = [var.memory]
}

run "memory_too_little_is_refused" {
  command = plan

  variables {
    memory = "256Mi"
  }

  expect_failures = [var.memory]
}

run "memory_too_much_is_refused" {
  command = plan

  variables {
    memory = "64Gi"
  }

  expect_failures = [var.memory]
}

run "allowed_origins_with_path_is_refused" {
  command = plan

  variables {
    allowed_origins = ["https://a.example/chat"]
  }

  expect_failures = [var.allowed_origins]
}

run "allowed_origins_star_is_refused" {
  command = plan

  variables {
    allowed_origins = ["*"]
  }

  expect_failures = [var.allowed_origins]
}

run "trusted_hops_four_is_refused" {
  command = plan

  variables {
    trusted_hops = 4
  }

  expect_failures = [var.trusted_hops]
}

run "settings_lower_case_is_refused" {
  command = plan

  variables {
    settings = { confab__log = "x" }
  }

  expect_failures = [var.settings]
}

run "settings_a_password_is_refused" {
  command = plan

  variables {
    settings = { CONFAB__STORE__PASSWORD = "x" }
  }

  expect_failures = [var.settings]
}

run "egress_unknown_is_refused" {
  command = plan

  variables {
    egress = "nat"
  }

  expect_failures = [var.egress]
}

run "network_network_url_is_refused" {
  command = plan

  variables {
    network = { existing = { name = "projects/p/global/networks/n" } }
  }

  expect_failures = [var.network]
}

run "network_host_project_is_refused" {
  command = plan

  variables {
    network = { existing = { name = "n", project_id = "X" } }
  }

  expect_failures = [var.network]
}

run "network_direct_too_small_is_refused" {
  command = plan

  variables {
    network = { direct_cidr = "10.8.2.0/27" }
  }

  expect_failures = [var.network]
}

run "network_services_too_small_is_refused" {
  command = plan

  variables {
    network = { private_services_cidr = "10.9.0.0/28" }
  }

  expect_failures = [var.network]
}

run "network_used_range_nonsense_is_refused" {
  command = plan

  variables {
    network = { used_ranges = { a = "here" } }
  }

  expect_failures = [var.network]
}

run "connector_name_of_26_is_refused" {
  command = plan

  variables {
    connector = { name = "aaaaaaaaaaaaaaaaaaaaaaaaaa" }
  }

  expect_failures = [var.connector]
}

run "connector_range_27_is_refused" {
  command = plan

  variables {
    connector = { ip_cidr_range = "10.8.0.0/27" }
  }

  expect_failures = [var.connector]
}

run "connector_range_unaligned_is_refused" {
  command = plan

  variables {
    connector = { ip_cidr_range = "10.8.0.3/28" }
  }

  expect_failures = [var.connector]
}

run "connector_range_public_is_refused" {
  command = plan

  variables {
    connector = { ip_cidr_range = "8.8.8.0/28" }
  }

  expect_failures = [var.connector]
}

run "connector_machine_unknown_is_refused" {
  command = plan

  variables {
    connector = { machine_type = "e2-small" }
  }

  expect_failures = [var.connector]
}

run "connector_min_one_is_refused" {
  command = plan

  variables {
    connector = { min_instances = 1 }
  }

  expect_failures = [var.connector]
}

run "connector_max_eleven_is_refused" {
  command = plan

  variables {
    connector = { max_instances = 11 }
  }

  expect_failures = [var.connector]
}

run "connector_max_not_above_min_is_refused" {
  command = plan

  variables {
    connector = { min_instances = 5, max_instances = 5 }
  }

  expect_failures = [var.connector]
}

run "connector_id_nonsense_is_refused" {
  command = plan

  variables {
    connector = { existing_id = "confab" }
  }

  expect_failures = [var.connector]
}

run "traffic_zero_messages_is_refused" {
  command = plan

  variables {
    traffic = { messages_per_second = 0 }
  }

  expect_failures = [var.traffic]
}

run "traffic_huge_message_is_refused" {
  command = plan

  variables {
    traffic = { message_bytes = 70000 }
  }

  expect_failures = [var.traffic]
}

run "service_account_id_too_short_is_refused" {
  command = plan

  variables {
    service_account_id = "chat"
  }

  expect_failures = [var.service_account_id]
}

run "redis_name_upper_case_is_refused" {
  command = plan

  variables {
    redis = { name = "Rooms" }
  }

  expect_failures = [var.redis]
}

run "redis_tier_unknown_is_refused" {
  command = plan

  variables {
    redis = { tier = "PREMIUM" }
  }

  expect_failures = [var.redis]
}

run "redis_no_memory_is_refused" {
  command = plan

  variables {
    redis = { memory_gb = 0 }
  }

  expect_failures = [var.redis]
}

run "redis_version_6_is_refused" {
  command = plan

  variables {
    redis = { version = "REDIS_6_X" }
  }

  expect_failures = [var.redis]
}

run "redis_auth_unknown_is_refused" {
  command = plan

  variables {
    redis = { auth = "yes" }
  }

  expect_failures = [var.redis]
}

run "redis_mode_unknown_is_refused" {
  command = plan

  variables {
    redis = { connect_mode = "VPN" }
  }

  expect_failures = [var.redis]
}

run "redis_zone_nonsense_is_refused" {
  command = plan

  variables {
    redis = { zone = "us-central1" }
  }

  expect_failures = [var.redis]
}

run "redis_day_lower_case_is_refused" {
  command = plan

  variables {
    redis = { maintenance_day = "sunday" }
  }

  expect_failures = [var.redis]
}

run "redis_hour_24_is_refused" {
  command = plan

  variables {
    redis = { maintenance_hour = 24 }
  }

  expect_failures = [var.redis]
}

run "redis_snapshot_two_hours_is_refused" {
  command = plan

  variables {
    redis = { snapshot_hours = 2 }
  }

  expect_failures = [var.redis]
}

run "redis_two_sockets_is_refused" {
  command = plan

  variables {
    redis = { sockets_per_instance = 2 }
  }

  expect_failures = [var.redis]
}

run "durability_unknown_is_refused" {
  command = plan

  variables {
    durability = "most"
  }

  expect_failures = [var.durability]
}

run "tls_verify_none_is_refused" {
  command = plan

  variables {
    tls_verify = "none"
  }

  expect_failures = [var.tls_verify]
}

run "token_keys_empty_is_refused" {
  command = plan

  variables {
    token_keys = []
  }

  expect_failures = [var.token_keys]
}

run "token_keys_repeated_is_refused" {
  command = plan

  variables {
    token_keys = ["1", "1"]
  }

  expect_failures = [var.token_keys]
}

run "telemetry_endpoint_without_scheme_is_refused" {
  command = plan

  variables {
    telemetry = { otlp_endpoint = "collector:4317" }
  }

  expect_failures = [var.telemetry]
}

run "observability_no_address_is_refused" {
  command = plan

  variables {
    observability = { notify = ["nobody"] }
  }

  expect_failures = [var.observability]
}

run "waits_negative_is_refused" {
  command = plan

  variables {
    waits = { apis = -1 }
  }

  expect_failures = [var.waits]
}

run "waits_eleven_minutes_is_refused" {
  command = plan

  variables {
    waits = { connector_destroy = 660 }
  }

  expect_failures = [var.waits]
}

run "usage_negative_is_refused" {
  command = plan

  variables {
    usage = { average_sockets = -1 }
  }

  expect_failures = [var.usage]
}

run "usage_share_over_one_is_refused" {
  command = plan

  variables {
    usage = { sleeping_share = 1.2 }
  }

  expect_failures = [var.usage]
}

run "prices_negative_is_refused" {
  command = plan

  variables {
    prices = { vcpu_second = -1 }
  }

  expect_failures = [var.prices]
}
