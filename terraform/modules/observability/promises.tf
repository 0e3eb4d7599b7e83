# Alerts and dashboards from the program's own metrics, which a collector has to bring here (telemetry.collector): rules.yaml
# and pages.yaml, which the local stack's Prometheus and Grafana have too.
locals {
  seconds = { s = 1, m = 60, h = 3600 }

  rules = flatten([
    for group in yamldecode(file("${path.module}/rules.yaml")).groups : [
      for rule in group.rules : {
        key      = "${rule.alert}-${rule.labels.burn}"
        group    = group.name
        interval = group.interval
        alert    = rule.alert
        expr     = rule.expr
        severity = { page = "CRITICAL", ticket = "WARNING" }[rule.labels.severity]
        summary  = rule.annotations.summary
        runbook  = rule.annotations.runbook
        # Kept for so long before anybody is told, in seconds.
        wait = try(tonumber(substr(rule["for"], 0, length(rule["for"]) - 1)) * local.seconds[substr(rule["for"], -1, 1)], 0)
      } if var.program_metrics
    ]
  ])

  pages = [for page in yamldecode(file("${path.module}/pages.yaml")) : page if var.program_metrics]

  # Every metric's name gets a matcher of this service, for a project may have several. First those without braces get some.
  own = { for expr in distinct(concat(local.rules[*].expr, flatten([for page in local.pages : [for panel in page.panels : panel.queries[*].expr]]))) :
    expr => replace(
      replace(
        replace(expr, "/((?:confab|process)_[a-z_]+)([^a-z_{])/", "$1{}$2"),
        "/((?:confab|process)_[a-z_]+)[{]/", "$1{job=\"${var.service}\",",
      ),
      ",}", "}",
    )
  }

  # Where a page of docs/operations can be read.
  runbook = { for page in distinct(concat(local.rules[*].runbook, values(local.pages_of_own_alerts))) :
    page => var.runbooks == null ? "Runbook: `${page}` of the sources." : "Runbook: ${trimsuffix(var.runbooks, "/")}/${trimprefix(page, "docs/operations/")}"
  }
  pages_of_own_alerts = {
    redis_memory  = "docs/operations/redis-memory.md"
    server_errors = "docs/operations/server-errors.md"
    instances     = "docs/operations/instances.md"
    down          = "docs/operations/not-answering.md"
    prober        = "docs/operations/prober.md"
  }
}

resource "google_monitoring_alert_policy" "rule" {
  for_each = { for rule in local.rules : rule.key => rule }

  project               = var.project_id
  display_name          = "${var.name}: ${each.value.summary}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.key
    condition_prometheus_query_language {
      query               = local.own[each.value.expr]
      duration            = each.value.wait == 0 ? null : "${each.value.wait}s"
      evaluation_interval = each.value.interval
      rule_group          = each.value.group
      alert_rule          = each.value.alert
      # The metrics come with the first instance that runs, after this.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.summary}.\n\n${local.runbook[each.value.runbook]}"
  }
}

resource "google_monitoring_dashboard" "page" {
  for_each = { for page in local.pages : page.name => page }

  project = var.project_id

  dashboard_json = jsonencode({
    displayName = "${var.name}: ${trimprefix(each.value.title, "confab: ")}"
    gridLayout = {
      columns = "2"
      widgets = [for panel in each.value.panels : {
        title = panel.title
        xyChart = merge(
          {
            dataSets = [for query in panel.queries : {
              plotType        = "LINE"
              timeSeriesQuery = { prometheusQuery = local.own[query.expr] }
            }]
          },
          try({ thresholds = [{ value = panel.threshold }] }, {}),
        )
      }]
    }
  })
}
