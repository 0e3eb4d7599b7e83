# Watches the stack by what Google measures of itself; promises.tf, by what the program measures.
locals {
  service_filter = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${var.service}\""
  redis_filter   = "resource.type = \"redis_instance\" AND resource.labels.instance_id = \"${var.redis}\""
  channels       = [for c in google_monitoring_notification_channel.email : c.id]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.notify)

  project      = var.project_id
  type         = "email"
  display_name = "${var.name}: ${each.value}"
  user_labels  = var.labels
  labels = {
    email_address = each.value
  }
}

resource "google_monitoring_alert_policy" "redis_memory" {
  project               = var.project_id
  display_name          = "${var.name}: Redis is over 80 % full"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "memory usage ratio"
    condition_threshold {
      filter          = "${local.redis_filter} AND metric.type = \"redis.googleapis.com/stats/memory/usage_ratio\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0.8
      duration        = "300s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Above 80 % the program refuses new rooms; full, Redis refuses every message. Raise `redis.memory_gb` (in place, a failover), or keep less history.\n\n${local.runbook[local.pages_of_own_alerts.redis_memory]}"
  }
}

resource "google_monitoring_alert_policy" "server_errors" {
  project               = var.project_id
  display_name          = "${var.name}: more than 1 % of requests fail"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "share of 5xx"
    condition_threshold {
      filter             = "${local.service_filter} AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      denominator_filter = "${local.service_filter} AND metric.type = \"run.googleapis.com/request_count\""
      comparison         = "COMPARISON_GT"
      threshold_value    = 0.01
      duration           = "300s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
      denominator_aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "503 before a WebSocket is open means full or draining instances; compare with the number of instances. Anything else: the service's log.\n\n${local.runbook[local.pages_of_own_alerts.server_errors]}"
  }
}

resource "google_monitoring_alert_policy" "instances" {
  project               = var.project_id
  display_name          = "${var.name}: nearly all instances are in use"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "instances"
    condition_threshold {
      filter          = "${local.service_filter} AND metric.type = \"run.googleapis.com/container/instance_count\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.max_instances * 0.8
      duration        = "600s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "At `max_instances` further people are refused. Raise it; the plan says if the connector must grow with it.\n\n${local.runbook[local.pages_of_own_alerts.instances]}"
  }
}

resource "google_monitoring_uptime_check_config" "ready" {
  count = var.uptime_check ? 1 : 0

  project      = var.project_id
  display_name = "${var.name} answers"
  period       = "300s"
  timeout      = "10s"
  user_labels  = var.labels

  http_check {
    path           = "/health/ready"
    port           = 443
    request_method = "GET"
    use_ssl        = true
    validate_ssl   = true
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = var.host
    }
  }
}

resource "google_monitoring_alert_policy" "down" {
  count = var.uptime_check ? 1 : 0

  project               = var.project_id
  display_name          = "${var.name}: doesn't answer"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "uptime check fails from more than one place"
    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.ready[0].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "60s"
      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "`/health/ready` isn't answered with 200. It doesn't depend on Redis after the start, so look at the service's revisions and logs first.\n\n${local.runbook[local.pages_of_own_alerts.down]}"
  }
}
