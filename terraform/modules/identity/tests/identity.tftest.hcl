# The service's account has no right that wasn't asked for.

mock_provider "google" {}

variables {
  project_id = "demo-project"
  name       = "confab"
}

run "no_project_role_by_default" {
  command = plan

  assert {
    condition     = length(google_project_iam_member.telemetry) == 0
    error_message = "no role on the project"
  }

  assert {
    condition     = google_service_account.this.account_id == "confab-run"
    error_message = "its name"
  }
}

run "traces_bring_their_two_roles" {
  command = plan

  variables {
    traces = true
  }

  assert {
    condition     = toset([for m in google_project_iam_member.telemetry : m.role]) == toset(["roles/cloudtrace.agent", "roles/telemetry.tracesWriter"])
    error_message = "traces and nothing else"
  }
}

run "metrics_bring_their_two_roles" {
  command = plan

  variables {
    metrics = true
  }

  assert {
    condition     = toset([for m in google_project_iam_member.telemetry : m.role]) == toset(["roles/monitoring.metricWriter", "roles/telemetry.metricsWriter"])
    error_message = "metrics and nothing else"
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

run "project_id_too_short_is_refused" {
  command = plan

  variables {
    project_id = "demo"
  }

  expect_failures = [var.project_id]
}

run "an_account_may_have_a_name_of_its_own" {
  command = plan

  variables {
    account_id = "chat-identity"
  }

  assert {
    condition     = google_service_account.this.account_id == "chat-identity"
    error_message = "as named"
  }
}

run "account_id_too_short_is_refused" {
  command = plan

  variables {
    account_id = "chat"
  }

  expect_failures = [var.account_id]
}
