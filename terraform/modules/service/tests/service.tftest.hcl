# The Cloud Run service and its contract with the program.

mock_provider "google" {}

variables {
  project_id      = "demo-project"
  region          = "us-central1"
  name            = "confab"
  image           = "us-central1-docker.pkg.dev/demo-project/confab/confab:1"
  service_account = "confab-run@demo-project.iam.gserviceaccount.com"
  store           = { host = "10.0.0.3", port = 6378, region = "us-central1" }
  connector       = "projects/demo-project/locations/us-central1/connectors/confab"
  secret_files    = { "redis-auth" = { secret = "confab-redis-auth", file = "password" }, "redis-ca" = { secret = "confab-redis-ca", file = "ca.pem" }, "token-keys" = { secret = "confab-token-keys", file = "keys" } }
}

run "sockets_live_an_hour_and_one_variable_says_so" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].timeout == "3600s" && output.settings["CONFAB__HTTP__REQUEST_TIMEOUT_MS"] == "3600000"
    error_message = "platform and program agree"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].session_affinity == true
    error_message = "affinity is on"
  }
}

run "a_shorter_life_reaches_both" {
  command = plan

  variables {
    request_timeout_seconds = 900
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].timeout == "900s" && output.settings["CONFAB__HTTP__REQUEST_TIMEOUT_MS"] == "900000"
    error_message = "platform and program agree"
  }
}

run "concurrency_is_the_programs_cap" {
  command = plan

  variables {
    socket_cap = 800
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].max_instance_request_concurrency == 800 && output.settings["CONFAB__LIMITS__CONNECTIONS"] == "800"
    error_message = "no socket is sent to be refused"
  }
}

run "the_cpu_stays_allocated" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].cpu_idle == false
    error_message = "background work needs it"
  }
}

run "http_1_and_never_h2c" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].ports[0].name == "http1" && google_cloud_run_v2_service.this.template[0].containers[0].ports[0].container_port == 8080
    error_message = "WebSockets need HTTP/1"
  }
}

run "the_startup_probe_stays_under_240_seconds" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].failure_threshold * google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].period_seconds <= 240
    error_message = "Cloud Run's limit"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].startup_probe[0].http_get[0].path == "/health/startup"
    error_message = "it proves the path to Redis"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].liveness_probe[0].http_get[0].path == "/health/live"
    error_message = "it doesn't ask about Redis"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].containers[0].readiness_probe[0].http_get[0].path == "/health/ready"
    error_message = "a draining instance gets no requests"
  }
}

run "the_readiness_probe_is_a_switch" {
  command = plan

  variables {
    readiness_probe = false
  }

  assert {
    condition     = length(google_cloud_run_v2_service.this.template[0].containers[0].readiness_probe) == 0
    error_message = "off"
  }
}

run "redis_is_reached_by_tls_with_a_password_from_a_file" {
  command = plan

  assert {
    condition     = output.settings["CONFAB__STORE__URL"] == "rediss://10.0.0.3:6378"
    error_message = "the URL has no password"
  }

  assert {
    condition     = output.settings["CONFAB__STORE__TLS_VERIFY"] == "ca" && output.settings["CONFAB__STORE__CA_FILE"] == "/secrets/redis-ca/ca.pem"
    error_message = "the authority is checked"
  }

  assert {
    condition     = output.settings["CONFAB__STORE__PASSWORD_FILE"] == "/secrets/redis-auth/password"
    error_message = "a file"
  }

  assert {
    condition     = output.settings["CONFAB__AUTH__KEYS_FILE"] == "/secrets/token-keys/keys"
    error_message = "a file"
  }

  assert {
    condition     = alltrue([for v in google_cloud_run_v2_service.this.template[0].volumes : v.secret[0].items[0].version == "latest"])
    error_message = "new versions reach running instances"
  }
}

run "without_tls_nothing_is_said_about_certificates" {
  command = plan

  variables {
    store = { host = "10.0.0.3", port = 6379, region = "us-central1", tls = false }
  }

  assert {
    condition     = output.settings["CONFAB__STORE__URL"] == "redis://10.0.0.3:6379" && !contains(keys(output.settings), "CONFAB__STORE__TLS_VERIFY")
    error_message = "plain"
  }
}

run "public_without_a_grant_to_everybody" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.invoker_iam_disabled == true && length(google_cloud_run_v2_service_iam_member.invoker) == 0
    error_message = "the check is off"
  }
}

run "private_with_named_invokers" {
  command = plan

  variables {
    public   = false
    invokers = ["group:team@example.com"]
  }

  assert {
    condition     = google_cloud_run_v2_service.this.invoker_iam_disabled == false && google_cloud_run_v2_service_iam_member.invoker["group:team@example.com"].role == "roles/run.invoker"
    error_message = "the check is on"
  }
}

run "direct_egress_has_an_interface_and_no_connector" {
  command = plan

  variables {
    connector = null
    direct    = { network = "projects/demo-project/global/networks/confab", subnetwork = "confab-direct" }
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].vpc_access[0].connector == null && google_cloud_run_v2_service.this.template[0].vpc_access[0].network_interfaces[0].subnetwork == "confab-direct"
    error_message = "direct"
  }
}

run "internal_ingress" {
  command = plan

  variables {
    ingress = "internal"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "the API's word"
  }
}

run "ingress_from_a_load_balancer" {
  command = plan

  variables {
    ingress = "internal-and-cloud-load-balancing"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    error_message = "the API's word"
  }
}

run "origins_and_settings_pass_through" {
  command = plan

  variables {
    allowed_origins = ["https://a.example", "https://b.example"]
    settings        = { CONFAB__LIMITS__HISTORY_ENTRIES = "500" }
  }

  assert {
    condition     = output.settings["CONFAB__HTTP__ALLOWED_ORIGINS"] == "https://a.example,https://b.example" && output.settings["CONFAB__LIMITS__HISTORY_ENTRIES"] == "500"
    error_message = "as given"
  }
}

run "the_limits_hold_for_all_revisions_together" {
  command = plan

  variables {
    min_instances = 3
    max_instances = 40
  }

  assert {
    condition     = google_cloud_run_v2_service.this.scaling[0].min_instance_count == 3 && google_cloud_run_v2_service.this.scaling[0].max_instance_count == 40
    error_message = "the service's own limits, which Google would make up otherwise"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].scaling[0].min_instance_count == 3 && google_cloud_run_v2_service.this.template[0].scaling[0].max_instance_count == 40
    error_message = "the revision's"
  }
}

run "a_failed_first_revision_may_be_replaced" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.deletion_protection == false
    error_message = "the provider's default, true, would refuse to replace a tainted service"
  }
}

run "what_is_read_at_the_start_makes_a_revision" {
  command = plan

  variables {
    revision_label = "keys-2_1"
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].labels["read-at-start"] == "keys-2_1"
    error_message = "part of the template"
  }
}

run "revision_label_upper_case_is_refused" {
  command = plan

  variables {
    revision_label = "Keys"
  }

  expect_failures = [var.revision_label]
}

run "a_redis_in_another_region_is_refused" {
  command = plan

  variables {
    store = { host = "10.0.0.3", port = 6378, region = "us-east1" }
  }

  expect_failures = [google_cloud_run_v2_service.this]
}

run "a_connector_in_another_region_is_refused" {
  command = plan

  variables {
    connector = "projects/demo-project/locations/us-east1/connectors/confab"
  }

  expect_failures = [google_cloud_run_v2_service.this]
}

run "a_setting_the_stack_makes_is_refused" {
  command = plan

  variables {
    settings = { CONFAB__STORE__URL = "redis://elsewhere" }
  }

  expect_failures = [google_cloud_run_v2_service.this]
}

run "settings_lower_case_is_refused" {
  command = plan

  variables {
    settings = { confab__log = "x" }
  }

  expect_failures = [var.settings]
}

run "settings_a_secret_is_refused" {
  command = plan

  variables {
    settings = { CONFAB__AUTH__KEYS = "x" }
  }

  expect_failures = [var.settings]
}

run "image_without_host_is_refused" {
  command = plan

  variables {
    image = "confab"
  }

  expect_failures = [var.image]
}

run "service_account_without_domain_is_refused" {
  command = plan

  variables {
    service_account = "confab-run"
  }

  expect_failures = [var.service_account]
}

run "tls_verify_none_is_refused" {
  command = plan

  variables {
    store = { host = "h", port = 1, region = "us-central1", tls_verify = "none" }
  }

  expect_failures = [var.store]
}

run "durability_unknown_is_refused" {
  command = plan

  variables {
    store = { host = "h", port = 1, region = "us-central1", durability = "most" }
  }

  expect_failures = [var.store]
}

run "secret_files_unknown_key_is_refused" {
  command = plan

  variables {
    secret_files = { other = { secret = "s", file = "f" } }
  }

  expect_failures = [var.secret_files]
}

run "no_way_to_redis_is_refused" {
  command = plan

  variables {
    connector = null
  }

  expect_failures = [var.connector]
}

run "two_ways_to_redis_are_refused" {
  command = plan

  variables {
    direct = { network = "n", subnetwork = "s" }
  }

  expect_failures = [var.connector]
}

run "min_instances_negative_is_refused" {
  command = plan

  variables {
    min_instances = -1
  }

  expect_failures = [var.min_instances]
}

run "max_instances_below_min_is_refused" {
  command = plan

  variables {
    min_instances = 5
    max_instances = 4
  }

  expect_failures = [google_cloud_run_v2_service.this]
}

run "socket_cap_over_1000_is_refused" {
  command = plan

  variables {
    socket_cap = 1001
  }

  expect_failures = [var.socket_cap]
}

run "concurrency_above_the_cap_is_refused" {
  command = plan

  variables {
    socket_cap  = 600
    concurrency = 601
  }

  expect_failures = [var.concurrency]
}

run "request_timeout_over_an_hour_is_refused" {
  command = plan

  variables {
    request_timeout_seconds = 3601
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

run "memory_too_small_for_four_cpus_is_refused" {
  command = plan

  variables {
    cpu    = "4"
    memory = "1Gi"
  }

  expect_failures = [google_cloud_run_v2_service.this]
}

run "invokers_of_a_public_service_are_refused" {
  command = plan

  variables {
    invokers = ["group:team@example.com"]
  }

  expect_failures = [google_cloud_run_v2_service.this]
}

run "ingress_unknown_is_refused" {
  command = plan

  variables {
    ingress = "some"
  }

  expect_failures = [var.ingress]
}

run "trusted_hops_four_is_refused" {
  command = plan

  variables {
    trusted_hops = 4
  }

  expect_failures = [var.trusted_hops]
}
