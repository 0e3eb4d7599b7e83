# Memorystore as the program needs it.

mock_provider "google" {}

variables {
  project_id = "demo-project"
  region     = "us-central1"
  name       = "confab"
  network    = "projects/demo-project/global/networks/confab"
}

run "the_default_is_highly_available_and_secure" {
  command = plan

  assert {
    condition     = google_redis_instance.this.tier == "STANDARD_HA"
    error_message = "a replica"
  }

  assert {
    condition     = google_redis_instance.this.auth_enabled == true
    error_message = "a password"
  }

  assert {
    condition     = google_redis_instance.this.transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "encryption"
  }

  assert {
    condition     = google_redis_instance.this.redis_configs["maxmemory-policy"] == "noeviction"
    error_message = "rooms are never evicted"
  }

  assert {
    condition     = google_redis_instance.this.redis_version == "REDIS_7_2"
    error_message = "the newest version"
  }

  assert {
    condition     = google_redis_instance.this.connect_mode == "DIRECT_PEERING"
    error_message = "the mode that destroys cleanly"
  }

  assert {
    condition     = google_redis_instance.this.maintenance_policy[0].weekly_maintenance_window[0].day == "SUNDAY"
    error_message = "a window"
  }

  assert {
    condition     = google_redis_instance.this.deletion_protection == false
    error_message = "the first destroy works"
  }
}

run "protection_reaches_it" {
  command = plan

  variables {
    deletion_protection = true
  }

  assert {
    condition     = google_redis_instance.this.deletion_protection == true
    error_message = "protected"
  }
}

run "without_tls" {
  command = plan

  variables {
    tls = false
  }

  assert {
    condition     = google_redis_instance.this.transit_encryption_mode == "DISABLED"
    error_message = "plain"
  }
}

run "snapshots_every_six_hours" {
  command = plan

  variables {
    snapshot_hours = 6
  }

  assert {
    condition     = google_redis_instance.this.persistence_config[0].rdb_snapshot_period == "SIX_HOURS"
    error_message = "the period"
  }

  assert {
    condition     = google_redis_instance.this.persistence_config[0].persistence_mode == "RDB"
    error_message = "the mode"
  }
}

run "no_snapshots_is_stated" {
  command = plan

  assert {
    condition     = google_redis_instance.this.persistence_config[0].persistence_mode == "DISABLED" && google_redis_instance.this.persistence_config[0].rdb_snapshot_period == null
    error_message = "left out, the provider would keep what was there"
  }
}

run "private_service_access_takes_a_range_by_name" {
  command = plan

  variables {
    connect_mode      = "PRIVATE_SERVICE_ACCESS"
    reserved_ip_range = "confab-services"
  }

  assert {
    condition     = google_redis_instance.this.reserved_ip_range == "confab-services"
    error_message = "the range"
  }
}

run "name_of_41_characters_is_refused" {
  command = plan

  variables {
    name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  expect_failures = [var.name]
}

run "tier_unknown_is_refused" {
  command = plan

  variables {
    tier = "PREMIUM"
  }

  expect_failures = [var.tier]
}

run "memory_gb_zero_is_refused" {
  command = plan

  variables {
    memory_gb = 0
  }

  expect_failures = [var.memory_gb]
}

run "memory_gb_over_300_is_refused" {
  command = plan

  variables {
    memory_gb = 301
  }

  expect_failures = [var.memory_gb]
}

run "memory_gb_fraction_is_refused" {
  command = plan

  variables {
    memory_gb = 1.5
  }

  expect_failures = [var.memory_gb]
}

run "redis_version_old_is_refused" {
  command = plan

  variables {
    redis_version = "REDIS_6_X"
  }

  expect_failures = [var.redis_version]
}

run "connect_mode_unknown_is_refused" {
  command = plan

  variables {
    connect_mode = "PEERING"
  }

  expect_failures = [var.connect_mode]
}

run "reserved_ip_range_28_is_refused" {
  command = plan

  variables {
    reserved_ip_range = "10.1.0.0/28"
  }

  expect_failures = [google_redis_instance.this]
}

run "reserved_ip_range_with_host_bits_is_refused" {
  command = plan

  variables {
    reserved_ip_range = "10.1.0.4/29"
  }

  expect_failures = [google_redis_instance.this]
}

run "zone_of_another_region_is_refused" {
  command = plan

  variables {
    zone = "europe-west1-b"
  }

  expect_failures = [google_redis_instance.this]
}

run "maintenance_day_lower_case_is_refused" {
  command = plan

  variables {
    maintenance = { day = "sunday" }
  }

  expect_failures = [var.maintenance]
}

run "maintenance_hour_24_is_refused" {
  command = plan

  variables {
    maintenance = { hour = 24 }
  }

  expect_failures = [var.maintenance]
}

run "snapshot_hours_two_is_refused" {
  command = plan

  variables {
    snapshot_hours = 2
  }

  expect_failures = [var.snapshot_hours]
}
