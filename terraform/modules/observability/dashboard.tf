# One page: the service, the way to Redis, Redis. Each chart is a row of `charts`; the rest turns rows into the API's form.
#
# Nothing here is zero, false or empty: the API leaves such values out of its answer, and the provider would then plan the
# dashboard anew for ever.
locals {
  connector_filter = var.connector == null ? null : "resource.type = \"vpc_access_connector\" AND resource.labels.connector_name = \"${var.connector}\""

  service_charts = [
    {
      title     = "Requests a second, by class of answer (a socket counts when it ends)"
      threshold = null
      lines     = [{ filter = local.service_filter, metric = "run.googleapis.com/request_count", align = "ALIGN_RATE", reduce = "REDUCE_SUM", by = "metric.label.response_code_class" }]
    },
    {
      title     = "Sockets and requests at once in the fullest instance"
      threshold = var.concurrency
      lines     = [{ filter = local.service_filter, metric = "run.googleapis.com/container/max_request_concurrencies", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = null }]
    },
    {
      title     = "Instances, by state"
      threshold = var.max_instances
      lines     = [{ filter = local.service_filter, metric = "run.googleapis.com/container/instance_count", align = "ALIGN_MAX", reduce = "REDUCE_SUM", by = "metric.label.state" }]
    },
    {
      title     = "CPU of the busiest instance, as a share"
      threshold = 0.8
      lines     = [{ filter = local.service_filter, metric = "run.googleapis.com/container/cpu/utilizations", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = null }]
    },
    {
      title     = "Memory of the fullest instance, as a share"
      threshold = 0.8
      lines     = [{ filter = local.service_filter, metric = "run.googleapis.com/container/memory/utilizations", align = "ALIGN_PERCENTILE_99", reduce = "REDUCE_MAX", by = null }]
    },
  ]

  connector_charts = local.connector_filter == null ? [] : [
    {
      title     = "Connector: bytes a second, out and in"
      threshold = null
      lines = [for way in ["sent", "received"] :
        { filter = local.connector_filter, metric = "vpcaccess.googleapis.com/connector/${way}_bytes_count", align = "ALIGN_RATE", reduce = "REDUCE_SUM", by = null }
      ]
    },
    {
      title     = "Connector: instances (it grows and never shrinks)"
      threshold = null
      lines     = [{ filter = local.connector_filter, metric = "vpcaccess.googleapis.com/connector/instances", align = "ALIGN_MAX", reduce = "REDUCE_MAX", by = null }]
    },
  ]

  redis_charts = [
    {
      title     = "Redis: memory in use, as a share"
      threshold = 0.8
      lines     = [{ filter = local.redis_filter, metric = "redis.googleapis.com/stats/memory/usage_ratio", align = "ALIGN_MAX", reduce = "REDUCE_MAX", by = "metric.label.role" }]
    },
    {
      title     = "Redis: clients"
      threshold = null
      lines     = [{ filter = local.redis_filter, metric = "redis.googleapis.com/clients/connected", align = "ALIGN_MAX", reduce = "REDUCE_MAX", by = "metric.label.role" }]
    },
    {
      title     = "Redis: commands a second"
      threshold = null
      lines     = [{ filter = local.redis_filter, metric = "redis.googleapis.com/commands/calls", align = "ALIGN_RATE", reduce = "REDUCE_SUM", by = "metric.label.cmd" }]
    },
    {
      title     = "Redis: seconds the replica is behind"
      threshold = null
      lines     = [{ filter = local.redis_filter, metric = "redis.googleapis.com/replication/master/slaves/lag", align = "ALIGN_MAX", reduce = "REDUCE_MAX", by = null }]
    },
  ]

  charts = concat(local.service_charts, local.connector_charts, local.redis_charts)
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = var.name
    gridLayout = {
      columns = "2" # an int64, which the API writes as a string
      widgets = [for chart in local.charts : {
        title = chart.title
        xyChart = merge(
          {
            dataSets = [for line in chart.lines : {
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = "${line.filter} AND metric.type = \"${line.metric}\""
                  aggregation = merge(
                    { alignmentPeriod = "60s", perSeriesAligner = line.align, crossSeriesReducer = line.reduce },
                    line.by == null ? {} : { groupByFields = [line.by] },
                  )
                }
              }
            }]
          },
          chart.threshold == null ? {} : { thresholds = [{ value = chart.threshold }] },
        )
      }]
    }
  })
}
