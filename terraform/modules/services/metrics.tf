# CloudWatch metrics out of the reports of `holonstream status --json`, one JSON object a line in the log of `status`, and
# out of the processes' own log lines. A filter's dimensions can only be fields of the line, so each group has a metric of
# its own name.

locals {
  metric_namespace = "Holonstream/${var.name}"

  report_metrics = {
    GraphLagSeconds     = { field = "$.groups.${var.namespace}-graph.lag_seconds", unit = "Seconds" }
    GraphLagOffsets     = { field = "$.groups.${var.namespace}-graph.lag", unit = "Count" }
    GraphWorkers        = { field = "$.groups.${var.namespace}-graph.members", unit = "Count" }
    CacheLagSeconds     = { field = "$.groups.${var.namespace}-cache.lag_seconds", unit = "Seconds" }
    CacheLagOffsets     = { field = "$.groups.${var.namespace}-cache.lag", unit = "Count" }
    CacheWorkers        = { field = "$.groups.${var.namespace}-cache.members", unit = "Count" }
    RelayLagSeconds     = { field = "$.relay.lag_seconds", unit = "Seconds" }
    RelayLagEvents      = { field = "$.relay.lag", unit = "Count" }
    FrontierHeldSeconds = { field = "$.log.holder.age_seconds", unit = "Seconds" }
  }

  log_metrics = {
    NoLeader      = { log = "status", pattern = "{ $.relay.leader IS NULL }" }
    RelayErrors   = { log = "relay", pattern = "{ $.level = \"error\" }" }
    GraphErrors   = { log = "graph", pattern = "{ $.level = \"error\" }" }
    CacheErrors   = { log = "cache", pattern = "{ $.level = \"error\" }" }
    StreamsParked = { log = "graph", pattern = "{ $.event = \"graph.stream.parked\" }" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "report" {
  for_each = local.report_metrics

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this["status"].name
  pattern        = "{ ${each.value.field} >= 0 }"

  metric_transformation {
    namespace = local.metric_namespace
    name      = each.key
    value     = each.value.field
    unit      = each.value.unit
  }
}

resource "aws_cloudwatch_log_metric_filter" "log" {
  for_each = local.log_metrics

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this[each.value.log].name
  pattern        = each.value.pattern

  metric_transformation {
    namespace     = local.metric_namespace
    name          = each.key
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}
