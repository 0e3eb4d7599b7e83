# Which secrets there are, who reads them, and when they get a new version.

mock_provider "google" {}
mock_provider "time" {}

variables {
  project_id            = "demo-project"
  name                  = "confab"
  accessor              = "serviceAccount:confab-run@demo-project.iam.gserviceaccount.com"
  redis_auth_string     = "a-password"
  redis_ca_certificates = "-----BEGIN CERTIFICATE-----"
}

run "three_secrets_are_mounted_and_read_by_one_account" {
  command = plan

  assert {
    condition     = toset(keys(google_secret_manager_secret.mounted)) == toset(["redis-auth", "redis-ca", "token-keys"])
    error_message = "password, certificates, keys"
  }

  assert {
    condition     = alltrue([for g in google_secret_manager_secret_iam_member.accessor : g.role == "roles/secretmanager.secretAccessor" && g.member == var.accessor])
    error_message = "each lets one account in"
  }

  assert {
    condition     = length(google_secret_manager_secret_iam_member.accessor) == 3
    error_message = "the keys' material has no reader"
  }

  assert {
    condition     = google_secret_manager_secret_version.redis_auth[0].deletion_policy == "ABANDON"
    error_message = "the old password stays until the new one is there"
  }
}

run "another_password_is_another_version" {
  command = plan

  variables {
    redis_auth_string = "another"
  }

  assert {
    condition     = google_secret_manager_secret_version.redis_auth[0].secret_data_wo_version == tostring(parseint(substr(sha256("another"), 0, 10), 16))
    error_message = "the version follows the password"
  }
}

run "the_version_is_a_number_for_provider_7" {
  command = plan

  assert {
    condition     = can(tonumber(google_secret_manager_secret_version.redis_auth[0].secret_data_wo_version)) && can(tonumber(google_secret_manager_secret_version.token_keys.secret_data_wo_version))
    error_message = "a decimal in a string"
  }
}

run "rotating_keeps_the_secret_and_writes_nothing" {
  command = plan

  variables {
    redis_auth        = "rotating"
    redis_auth_string = ""
  }

  assert {
    condition     = contains(keys(google_secret_manager_secret.mounted), "redis-auth")
    error_message = "the file stays mounted"
  }

  assert {
    condition     = length(google_secret_manager_secret_version.redis_auth) == 0
    error_message = "no empty password"
  }
}

run "without_auth_there_is_no_such_secret" {
  command = plan

  variables {
    redis_auth = "off"
  }

  assert {
    condition     = !contains(keys(google_secret_manager_secret.mounted), "redis-auth")
    error_message = "nothing to keep"
  }
}

run "without_tls_there_are_no_certificates" {
  command = plan

  variables {
    redis_tls = false
  }

  assert {
    condition     = !contains(keys(google_secret_manager_secret.mounted), "redis-ca")
    error_message = "nothing to check"
  }
}

run "two_generations_are_two_keys" {
  command = plan

  variables {
    token_keys = ["2", "1"]
  }

  assert {
    condition     = length(google_secret_manager_secret_version.token_key) == 2
    error_message = "one per generation"
  }
}

run "accessor_user_is_refused" {
  command = plan

  variables {
    accessor = "user:ada@example.com"
  }

  expect_failures = [var.accessor]
}

run "redis_auth_unknown_is_refused" {
  command = plan

  variables {
    redis_auth = "maybe"
  }

  expect_failures = [var.redis_auth]
}

run "token_keys_empty_is_refused" {
  command = plan

  variables {
    token_keys = []
  }

  expect_failures = [var.token_keys]
}

run "token_keys_twice_the_same_is_refused" {
  command = plan

  variables {
    token_keys = ["1", "1"]
  }

  expect_failures = [var.token_keys]
}

run "token_keys_six_is_refused" {
  command = plan

  variables {
    token_keys = ["1", "2", "3", "4", "5", "6"]
  }

  expect_failures = [var.token_keys]
}

run "grant_wait_seconds_fraction_is_refused" {
  command = plan

  variables {
    grant_wait_seconds = 0.5
  }

  expect_failures = [var.grant_wait_seconds]
}

run "name_too_short_is_refused" {
  command = plan

  variables {
    name = "ab"
  }

  expect_failures = [var.name]
}
