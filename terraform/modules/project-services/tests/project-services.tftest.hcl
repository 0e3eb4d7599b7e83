# APIs are enabled, stay enabled, and bad names are refused.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
  services   = ["run.googleapis.com", "redis.googleapis.com"]
}

run "every_api_is_enabled_and_left_enabled" {
  command = plan

  assert {
    condition     = length(google_project_service.this) == 2
    error_message = "each API is a resource of its own"
  }

  assert {
    condition     = alltrue([for s in google_project_service.this : s.disable_on_destroy == false])
    error_message = "a destroy must not disable APIs that others use"
  }

  assert {
    condition     = time_sleep.enabled.create_duration == "30s"
    error_message = "what follows waits"
  }
}

run "the_wait_can_be_switched_off" {
  command = plan

  variables {
    wait_seconds = 0
  }

  assert {
    condition     = time_sleep.enabled.create_duration == "0s"
    error_message = "no wait was asked for"
  }
}

run "project_id_upper_case_is_refused" {
  command = plan

  variables {
    project_id = "Demo"
  }

  expect_failures = [var.project_id]
}

run "services_short_name_is_refused" {
  command = plan

  variables {
    services = ["run"]
  }

  expect_failures = [var.services]
}

run "services_empty_is_refused" {
  command = plan

  variables {
    services = []
  }

  expect_failures = [var.services]
}

run "wait_seconds_negative_is_refused" {
  command = plan

  variables {
    wait_seconds = -1
  }

  expect_failures = [var.wait_seconds]
}

run "wait_seconds_over_ten_minutes_is_refused" {
  command = plan

  variables {
    wait_seconds = 601
  }

  expect_failures = [var.wait_seconds]
}
