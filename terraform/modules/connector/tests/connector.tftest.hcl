# The connector's forms and limits.

mock_provider "google" {}

variables {
  project_id    = "demo-project"
  region        = "us-central1"
  name          = "confab"
  network       = "confab"
  ip_cidr_range = "10.8.0.0/28"
}

run "a_range_of_the_network" {
  command = plan

  assert {
    condition     = google_vpc_access_connector.this.ip_cidr_range == "10.8.0.0/28" && google_vpc_access_connector.this.network == "confab"
    error_message = "network and range together"
  }

  assert {
    condition     = google_vpc_access_connector.this.min_instances == 2 && google_vpc_access_connector.this.max_instances == 3
    error_message = "the smallest connector"
  }
}

run "a_subnet_instead" {
  command = plan

  variables {
    network       = null
    ip_cidr_range = null
    subnet        = { name = "serverless" }
  }

  assert {
    condition     = google_vpc_access_connector.this.subnet[0].name == "serverless" && google_vpc_access_connector.this.subnet[0].project_id == "demo-project"
    error_message = "the subnet, in this project"
  }
}

run "a_subnet_of_a_host_project" {
  command = plan

  variables {
    network       = null
    ip_cidr_range = null
    subnet        = { name = "serverless", project_id = "host-project" }
  }

  assert {
    condition     = google_vpc_access_connector.this.subnet[0].project_id == "host-project"
    error_message = "the host project's subnet"
  }
}

run "ten_small_machines_carry_a_gigabit" {
  command = plan

  variables {
    max_instances = 10
    required_mbps = 1000
  }

  assert {
    condition     = output.capacity_mbps == 1000
    error_message = "10 × 100"
  }
}

run "too_little_throughput_is_refused" {
  command = plan

  variables {
    required_mbps = 301
  }

  expect_failures = [google_vpc_access_connector.this]
}

run "a_larger_machine_carries_it" {
  command = plan

  variables {
    required_mbps = 301
    machine_type  = "e2-standard-4"
  }

  assert {
    condition     = output.capacity_mbps == 4800
    error_message = "3 × 1600"
  }
}

run "name_of_26_characters_is_refused" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  expect_failures = [var.name]
}

run "name_of_25_characters_is_taken" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaaaaaa"
  }
}

run "name_with_underscore_is_refused" {
  command = plan

  variables {
    name = "con_fab"
  }

  expect_failures = [var.name]
}

run "ip_cidr_range_27_is_refused" {
  command = plan

  variables {
    ip_cidr_range = "10.8.0.0/27"
  }

  expect_failures = [var.ip_cidr_range]
}

run "ip_cidr_range_with_host_bits_is_refused" {
  command = plan

  variables {
    ip_cidr_range = "10.8.0.1/28"
  }

  expect_failures = [var.ip_cidr_range]
}

run "ip_cidr_range_public_is_refused" {
  command = plan

  variables {
    ip_cidr_range = "34.8.0.0/28"
  }

  expect_failures = [var.ip_cidr_range]
}

run "range_and_subnet_together_are_refused" {
  command = plan

  variables {
    subnet = { name = "serverless" }
  }

  expect_failures = [var.ip_cidr_range]
}

run "neither_range_nor_subnet_is_refused" {
  command = plan

  variables {
    ip_cidr_range = null
  }

  expect_failures = [var.ip_cidr_range]
}

run "subnet_by_url_is_refused" {
  command = plan

  variables {
    network       = null
    ip_cidr_range = null
    subnet        = { name = "projects/p/regions/r/subnetworks/s" }
  }

  expect_failures = [var.subnet]
}

run "machine_type_unknown_is_refused" {
  command = plan

  variables {
    machine_type = "e2-small"
  }

  expect_failures = [var.machine_type]
}

run "min_instances_one_is_refused" {
  command = plan

  variables {
    min_instances = 1
  }

  expect_failures = [var.min_instances]
}

run "max_instances_eleven_is_refused" {
  command = plan

  variables {
    max_instances = 11
  }

  expect_failures = [var.max_instances]
}

run "max_instances_not_above_min_is_refused" {
  command = plan

  variables {
    min_instances = 4
    max_instances = 4
  }

  expect_failures = [var.max_instances]
}

run "required_mbps_negative_is_refused" {
  command = plan

  variables {
    required_mbps = -1
  }

  expect_failures = [var.required_mbps]
}
