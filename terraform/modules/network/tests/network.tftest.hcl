# A custom network or the coordinates of an existing one.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
  region     = "us-central1"
  name       = "confab"
}

run "a_new_network_is_custom" {
  command = plan

  assert {
    condition     = google_compute_network.this[0].auto_create_subnetworks == false
    error_message = "no subnets in every region"
  }

  assert {
    condition     = length(google_compute_subnetwork.direct) == 0
    error_message = "no subnet unless asked for"
  }

  assert {
    condition     = time_sleep.before_network_is_deleted[0].destroy_duration == "90s"
    error_message = "the connector's firewall rule outlives it"
  }

  assert {
    condition     = output.name == "confab"
    error_message = "the stack's name"
  }
}

run "an_existing_network_is_left_alone" {
  command = plan

  variables {
    existing = { name = "corporate" }
  }

  assert {
    condition     = length(google_compute_network.this) == 0
    error_message = "nothing is made"
  }

  assert {
    condition     = output.id == "projects/demo-project/global/networks/corporate"
    error_message = "its id is put together"
  }
}

run "a_shared_vpc_lives_in_its_host_project" {
  command = plan

  variables {
    existing = { name = "corporate", project_id = "host-project" }
  }

  assert {
    condition     = output.id == "projects/host-project/global/networks/corporate"
    error_message = "the host project's network"
  }
}

run "direct_egress_gets_a_subnet" {
  command = plan

  variables {
    direct_cidr = "10.8.2.0/26"
  }

  assert {
    condition     = google_compute_subnetwork.direct[0].ip_cidr_range == "10.8.2.0/26"
    error_message = "the range asked for"
  }

  assert {
    condition     = google_compute_subnetwork.direct[0].region == "us-central1"
    error_message = "in the stack's region"
  }
}

run "private_services_get_a_range" {
  command = plan

  variables {
    private_services_cidr = "10.9.0.0/20"
  }

  assert {
    condition     = google_compute_global_address.private_services[0].prefix_length == 20
    error_message = "the prefix asked for"
  }

  assert {
    condition     = google_service_networking_connection.private_services[0].deletion_policy == "ABANDON"
    error_message = "its deletion would fail for hours"
  }
}

run "name_too_short_is_refused" {
  command = plan

  variables {
    name = "ab"
  }

  expect_failures = [var.name]
}

run "name_upper_case_is_refused" {
  command = plan

  variables {
    name = "Confab"
  }

  expect_failures = [var.name]
}

run "name_ends_with_hyphen_is_refused" {
  command = plan

  variables {
    name = "confab-"
  }

  expect_failures = [var.name]
}

run "name_too_long_is_refused" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaa"
  }

  expect_failures = [var.name]
}

run "region_zone_is_refused" {
  command = plan

  variables {
    region = "us-central1-a"
  }

  expect_failures = [var.region]
}

run "existing_url_is_refused" {
  command = plan

  variables {
    existing = { name = "projects/p/global/networks/n" }
  }

  expect_failures = [var.existing]
}

run "direct_cidr_too_small_is_refused" {
  command = plan

  variables {
    direct_cidr = "10.8.2.0/27"
  }

  expect_failures = [var.direct_cidr]
}

run "direct_cidr_nonsense_is_refused" {
  command = plan

  variables {
    direct_cidr = "10.8.2.0"
  }

  expect_failures = [var.direct_cidr]
}

run "direct_cidr_inside_a_range_is_refused" {
  command = plan

  variables {
    direct_cidr = "10.8.2.5/26"
  }

  expect_failures = [var.direct_cidr]
}

run "private_services_cidr_inside_a_range_is_refused" {
  command = plan

  variables {
    private_services_cidr = "10.9.1.0/20"
  }

  expect_failures = [var.private_services_cidr]
}

run "existing_direct_subnet_nonsense_is_refused" {
  command = plan

  variables {
    existing = { name = "corporate", direct_subnet = "Sub Net" }
  }

  expect_failures = [var.existing]
}

run "private_services_cidr_too_small_is_refused" {
  command = plan

  variables {
    private_services_cidr = "10.9.0.0/28"
  }

  expect_failures = [var.private_services_cidr]
}

run "destroy_wait_seconds_negative_is_refused" {
  command = plan

  variables {
    destroy_wait_seconds = -5
  }

  expect_failures = [var.destroy_wait_seconds]
}
