# The dashboard, the alerts and the uptime check, from Google's own metrics.

mock_provider "google" {}

variables {
  project_id    = "demo-project"
  name          = "confab"
  service       = "confab"
  host          = "confab-1.us-central1.run.app"
  redis         = "projects/demo-project/locations/us-central1/instances/confab"
  max_instances = 10
}

run "redis_is_watched_at_80_percent" {
  command = plan

  assert {
    condition     = google_monitoring_alert_policy.redis_memory.conditions[0].condition_threshold[0].threshold_value == 0.8
    error_message = "before it is full"
  }

  assert {
    condition     = google_monitoring_alert_policy.instances.conditions[0].condition_threshold[0].threshold_value == 8
    error_message = "at 80 % of the instances"
  }
}

run "the_dashboard_shows_service_and_redis" {
  command = plan

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.widgets) == 9
    error_message = "five charts of the service, four of Redis"
  }

  assert {
    condition     = !strcontains(google_monitoring_dashboard.this.dashboard_json, "vpc_access_connector")
    error_message = "no connector, no chart of one"
  }
}

run "the_dashboard_shows_the_connector_where_there_is_one" {
  command = plan

  variables {
    connector = "confab-1234"
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.widgets) == 11
    error_message = "two more charts"
  }

  assert {
    condition     = strcontains(google_monitoring_dashboard.this.dashboard_json, "confab-1234")
    error_message = "by its name"
  }
}

run "concurrency_over_cloud_runs_limit_is_refused" {
  command = plan

  variables {
    concurrency = 1001
  }

  expect_failures = [var.concurrency]
}

run "nobody_is_told_unless_named" {
  command = plan

  assert {
    condition     = length(google_monitoring_notification_channel.email) == 0
    error_message = "no channel"
  }
}

run "each_address_is_a_channel" {
  command = plan

  variables {
    notify = ["a@example.com", "b@example.com"]
  }

  assert {
    condition     = length(google_monitoring_notification_channel.email) == 2
    error_message = "one each"
  }
}

run "a_private_service_is_not_asked_from_outside" {
  command = plan

  variables {
    uptime_check = false
  }

  assert {
    condition     = length(google_monitoring_uptime_check_config.ready) == 0 && length(google_monitoring_alert_policy.down) == 0
    error_message = "it wouldn't answer"
  }
}

run "notify_nonsense_is_refused" {
  command = plan

  variables {
    notify = ["nobody"]
  }

  expect_failures = [var.notify]
}

run "max_instances_zero_is_refused" {
  command = plan

  variables {
    max_instances = 0
  }

  expect_failures = [var.max_instances]
}

run "name_too_short_is_refused" {
  command = plan

  variables {
    name = "ab"
  }

  expect_failures = [var.name]
}

run "the_promises_are_watched_only_where_the_programs_metrics_come" {
  command = plan

  assert {
    condition     = length(google_monitoring_alert_policy.rule) == 0 && length(google_monitoring_dashboard.page) == 0
    error_message = "no metrics, no alert on them"
  }
}

run "each_rule_is_an_alert_and_each_page_a_dashboard" {
  command = plan

  variables {
    program_metrics = true
    runbooks        = "https://docs.example.com/operations/"
  }

  assert {
    condition     = length(google_monitoring_alert_policy.rule) == 21 && length(google_monitoring_dashboard.page) == 3
    error_message = "as many as the files have"
  }

  assert {
    condition     = google_monitoring_alert_policy.rule["ConfabUndelivered-creeping"].conditions[0].condition_prometheus_query_language[0].duration == "3600s"
    error_message = "an hour, in seconds"
  }

  assert {
    condition     = google_monitoring_alert_policy.rule["ConfabUnannouncedGap-none"].conditions[0].condition_prometheus_query_language[0].query == "sum(increase(confab_gaps_unannounced_total{job=\"confab\"}[1h])) > 0"
    error_message = "this service's alone"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.rule["ConfabRedisMemory-none"].conditions[0].condition_prometheus_query_language[0].query, "confab_redis_memory_bytes{job=\"confab\",state=\"used\"}")
    error_message = "beside the matchers that there are"
  }

  assert {
    condition     = google_monitoring_alert_policy.rule["ConfabNothingDelivered-none"].conditions[0].condition_prometheus_query_language[0].query == "sum by (instance) (increase(confab_acknowledgements_total{job=\"confab\",attempt=\"first\"}[10m])) > 10 unless sum by (instance) (increase(confab_delivery_duration_seconds_count{job=\"confab\"}[10m])) > 0"
    error_message = "each metric of a query, and nothing but metrics"
  }

  assert {
    condition     = endswith(google_monitoring_alert_policy.rule["ConfabUndelivered-fast"].conditions[0].condition_prometheus_query_language[0].query, "(sum(rate(confab_deliveries_dropped_total{job=\"confab\",reason=~\"overflow|stalled|reset\"}[5m])) or vector(0)))) > 14.4 * 0.001")
    error_message = "also where several are added"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.rule["ConfabDegraded-fast"].documentation[0].content, "https://docs.example.com/operations/degraded.md")
    error_message = "a link to its runbook"
  }

  assert {
    condition     = strcontains(google_monitoring_alert_policy.redis_memory.documentation[0].content, "https://docs.example.com/operations/redis-memory.md")
    error_message = "so do the alerts on Google's own metrics"
  }
}

run "runbooks_without_https_are_refused" {
  command = plan

  variables {
    runbooks = "docs/operations"
  }

  expect_failures = [var.runbooks]
}

run "nobody_probes_unless_asked_to" {
  command = plan

  assert {
    condition     = length(google_cloud_run_v2_job.prober) == 0 && length(google_cloud_scheduler_job.prober) == 0 && length(google_service_account.prober) == 0
    error_message = "it costs money"
  }
}

run "the_prober_goes_a_messages_way_on_schedule_and_may_do_nothing_else" {
  command = plan

  variables {
    prober = {
      image         = "example.com/images/confab@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      region        = "europe-north1"
      every_minutes = 10

      scheduler_region = "europe-west1"
    }
  }

  assert {
    condition     = google_cloud_run_v2_job.prober["this"].template[0].template[0].containers[0].args == tolist(["probe", "wss://confab-1.us-central1.run.app/ws", "--json", "--within", "30", "--delivery-within", "1000"])
    error_message = "the service's own address and the defaults"
  }

  assert {
    condition     = google_cloud_run_v2_job.prober["this"].template[0].template[0].max_retries == 0 && google_cloud_run_v2_job.prober["this"].template[0].template[0].timeout == "60s"
    error_message = "one try, which ends by itself before it is ended"
  }

  assert {
    condition     = google_cloud_scheduler_job.prober["this"].schedule == "*/10 * * * *" && google_cloud_scheduler_job.prober["this"].region == "europe-west1"
    error_message = "every ten minutes, from where there is a scheduler"
  }

  assert {
    condition     = google_cloud_scheduler_job.prober["this"].http_target[0].uri == "https://run.googleapis.com/v2/projects/demo-project/locations/europe-north1/jobs/confab-probe:run"
    error_message = "the job, where it is"
  }

  assert {
    condition     = google_cloud_run_v2_job_iam_member.prober["this"].role == "roles/run.invoker" && google_cloud_run_v2_job_iam_member.prober["this"].name == "confab-probe"
    error_message = "that job alone"
  }

  assert {
    condition     = google_monitoring_alert_policy.prober["this"].conditions[0].condition_threshold[0].aggregations[0].alignment_period == "1800s" && google_monitoring_alert_policy.prober["this"].conditions[1].condition_absent[0].duration == "3600s"
    error_message = "two of three, or none for six"
  }
}

run "the_prober_asks_where_people_come_in" {
  command = plan

  variables {
    prober = { image = "example.com/images/confab", region = "us-central1", url = "wss://chat.example.com/ws" }
  }

  assert {
    condition     = google_cloud_run_v2_job.prober["this"].template[0].template[0].containers[0].args[1] == "wss://chat.example.com/ws"
    error_message = "the address that was given"
  }
}

run "a_prober_that_never_comes_is_refused" {
  command = plan

  variables {
    prober = { image = "example.com/images/confab", region = "us-central1", every_minutes = 7 }
  }

  expect_failures = [var.prober]
}

run "a_probers_secret_in_its_url_is_refused" {
  command = plan

  variables {
    prober = { image = "example.com/images/confab", region = "us-central1", url = "wss://chat.example.com/ws?token=secret" }
  }

  expect_failures = [var.prober]
}

run "a_prober_without_time_is_refused" {
  command = plan

  variables {
    prober = { image = "example.com/images/confab", region = "us-central1", within_seconds = 4 }
  }

  expect_failures = [var.prober]
}

run "a_prober_that_no_message_satisfies_is_refused" {
  command = plan

  variables {
    prober = { image = "example.com/images/confab", region = "us-central1", delivery_within_ms = 0 }
  }

  expect_failures = [var.prober]
}

run "a_prober_in_no_region_is_refused" {
  command = plan

  variables {
    prober = { image = "example.com/images/confab", region = "everywhere" }
  }

  expect_failures = [var.prober]
}
