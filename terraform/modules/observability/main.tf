# Alarms to a topic, and a dashboard. What to do on each alarm stands in its description.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  pipeline = var.pipeline.metric_namespace

  # namespace, metric, dimensions, statistic, comparison, threshold, minutes, what a missing value means, what to do
  alarms = merge(
    {
      relay-lag = {
        namespace = local.pipeline, metric = "RelayLagSeconds", dimensions = {}, statistic = "Maximum", above = true
        threshold = var.lag_seconds, minutes = 5, missing = "ignore"
        text      = "Events wait in the log. holonstream status shows which relay leads and what holds the frontier back."
      }
      relay-no-leader = {
        namespace = local.pipeline, metric = "NoLeader", dimensions = {}, statistic = "Minimum", above = true
        threshold = 0, minutes = 3, missing = "ignore"
        text      = "No relay leads, nothing is published. Read the log of the service relay: it says why it ends."
      }
      frontier-held = {
        namespace = local.pipeline, metric = "FrontierHeldSeconds", dimensions = {}, statistic = "Maximum", above = true
        threshold = var.frontier_seconds, minutes = 2, missing = "notBreaching"
        text      = "A transaction has appended and stays open; no later event is relayed. holonstream status names its pid and application."
      }
      graph-lag = {
        namespace = local.pipeline, metric = "GraphLagSeconds", dimensions = {}, statistic = "Maximum", above = true
        threshold = var.lag_seconds, minutes = 5, missing = "ignore"
        text      = "The graph is behind. If it has all its workers, check whether Neo4j answers (sink.unavailable in the log of graph); traversals and cache fills wait for it."
      }
      cache-lag = {
        namespace = local.pipeline, metric = "CacheLagSeconds", dimensions = {}, statistic = "Maximum", above = true
        threshold = var.lag_seconds, minutes = 5, missing = "ignore"
        text      = "Invalidation is behind: reads without a token may be as old as that. Check whether Redis answers (sink.unavailable in the log of cache)."
      }
      no-report = {
        namespace = local.pipeline, metric = "GraphLagSeconds", dimensions = {}, statistic = "SampleCount", above = false
        threshold = 1, minutes = 5, missing = "breaching"
        text      = "holonstream status gives no report, so no other alarm of the pipeline can come and no group scales. Read the log of the service status."
      }
      stream-parked = {
        namespace = local.pipeline, metric = "StreamsParked", dimensions = {}, statistic = "Sum", above = true
        threshold = 0, minutes = 1, missing = "notBreaching"
        text      = "An event could not be applied; its stream is parked, others continue. The log of graph names stream, version and position; the dead letter has the reason."
      }
      relay-running = {
        namespace  = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Minimum", above = false
        dimensions = { ClusterName = var.pipeline.cluster_name, ServiceName = var.pipeline.service_names["relay"] }
        threshold  = 1, minutes = 3, missing = "breaching"
        text       = "No relay runs. Read the log of relay and the events of its service."
      }
      graph-running = {
        namespace  = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Minimum", above = false
        dimensions = { ClusterName = var.pipeline.cluster_name, ServiceName = var.pipeline.service_names["graph"] }
        threshold  = 1, minutes = 3, missing = "breaching"
        text       = "No graph worker runs. A worker that ends with worker.failed met a bug: what it had not written is read again."
      }
      cache-running = {
        namespace  = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Minimum", above = false
        dimensions = { ClusterName = var.pipeline.cluster_name, ServiceName = var.pipeline.service_names["cache"] }
        threshold  = 1, minutes = 3, missing = "breaching"
        text       = "No cache worker runs; cached values are not invalidated. Read the log of cache and the events of its service."
      }
      neo4j-running = {
        namespace  = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Minimum", above = false
        dimensions = { ClusterName = var.neo4j.cluster_name, ServiceName = var.neo4j.service_name }
        threshold  = 1, minutes = 10, missing = "breaching"
        text       = "Neo4j does not run, and a new instance would have been there by now. Read the log of neo4j and the activity of the autoscaling group."
      }
      neo4j-volume = {
        namespace = var.neo4j.metric_namespace, metric = "GraphVolumeUsedPercent", dimensions = {}, statistic = "Maximum", above = true
        threshold = 80, minutes = 15, missing = "ignore"
        text      = "The graph's volume fills up. Make volume_gib larger, then start an instance refresh: the file system grows at boot."
      }
      postgres-cpu = {
        namespace  = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", above = true
        dimensions = { DBInstanceIdentifier = var.postgres_identifier }
        threshold  = 80, minutes = 15, missing = "ignore"
        text       = "The log's server is busy. See Performance Insights."
      }
      postgres-storage = {
        namespace  = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", above = false
        dimensions = { DBInstanceIdentifier = var.postgres_identifier }
        # Storage grows by itself when a tenth is free: below that it has reached its limit, or grows right now.
        threshold = 0.05 * var.postgres_storage_gib * 1073741824, minutes = 60, missing = "ignore"
        text      = "The log's storage fills up and does not grow: raise storage_limit_gib."
      }
      postgres-transaction-ids = {
        namespace  = "AWS/RDS", metric = "MaximumUsedTransactionIDs", statistic = "Maximum", above = true
        dimensions = { DBInstanceIdentifier = var.postgres_identifier }
        threshold  = 1000000000, minutes = 60, missing = "ignore"
        text       = "Vacuum is held back, by a transaction or a replication slot that does not end."
      }
      kafka-controller = {
        namespace  = "AWS/Kafka", metric = "ActiveControllerCount", statistic = "Maximum", above = false
        dimensions = { "Cluster Name" = var.kafka.cluster_name }
        threshold  = 1, minutes = 3, missing = "ignore"
        text       = "Kafka has no controller."
      }
      kafka-offline-partitions = {
        namespace  = "AWS/Kafka", metric = "OfflinePartitionsCount", statistic = "Maximum", above = true
        dimensions = { "Cluster Name" = var.kafka.cluster_name }
        threshold  = 0, minutes = 3, missing = "ignore"
        text       = "Partitions have no leader: the relay waits."
      }
      redis-memory = {
        namespace  = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum", above = true
        dimensions = { CacheClusterId = var.redis_node_id }
        threshold  = 90, minutes = 15, missing = "ignore"
        text       = "The cache evicts. That is safe, and costs hits: take a larger node, then reboot it (docs/deploy.md)."
      }
      redis-cpu = {
        namespace  = "AWS/ElastiCache", metric = "EngineCPUUtilization", statistic = "Average", above = true
        dimensions = { CacheClusterId = var.redis_node_id }
        threshold  = 80, minutes = 15, missing = "ignore"
        text       = "The cache's one thread is busy: take a faster node, then reboot it (docs/deploy.md)."
      }
    },
    {
      for process in ["Relay", "Graph", "Cache"] : "${lower(process)}-errors" => {
        namespace = local.pipeline, metric = "${process}Errors", dimensions = {}, statistic = "Sum", above = true
        threshold = 0, minutes = 1, missing = "notBreaching"
        text      = "Lines of level error in the log of ${lower(process)}."
      }
    },
    {
      for broker in range(1, var.kafka.brokers + 1) : "kafka-storage-${broker}" => {
        namespace  = "AWS/Kafka", metric = "KafkaDataLogsDiskUsed", statistic = "Maximum", above = true
        dimensions = { "Cluster Name" = var.kafka.cluster_name, "Broker ID" = tostring(broker) }
        threshold  = 80, minutes = 30, missing = "ignore"
        text       = "A broker's storage fills up and does not grow: raise storage_limit_gib."
      }
    },
    {
      for broker in range(1, var.kafka.brokers + 1) : "kafka-under-replicated-${broker}" => {
        namespace  = "AWS/Kafka", metric = "UnderReplicatedPartitions", statistic = "Minimum", above = true
        dimensions = { "Cluster Name" = var.kafka.cluster_name, "Broker ID" = tostring(broker) }
        threshold  = 0, minutes = 30, missing = "ignore"
        text       = "Partitions lack a replica for longer than an update of the brokers takes."
      }
    },
  )
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

data "aws_iam_policy_document" "alarms" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

locals {
  graphs = [
    { title = "Lag, seconds", statistic = "Maximum", metrics = [
      for metric in ["RelayLagSeconds", "GraphLagSeconds", "CacheLagSeconds", "FrontierHeldSeconds"] : [local.pipeline, metric]
    ] },
    { title = "Lag, events and offsets", statistic = "Maximum", metrics = [
      for metric in ["RelayLagEvents", "GraphLagOffsets", "CacheLagOffsets"] : [local.pipeline, metric]
    ] },
    { title = "Workers", statistic = "Maximum", metrics = [
      for metric in ["GraphWorkers", "CacheWorkers"] : [local.pipeline, metric]
    ] },
    { title = "Errors and parked streams", statistic = "Sum", metrics = [
      for metric in ["RelayErrors", "GraphErrors", "CacheErrors", "StreamsParked"] : [local.pipeline, metric]
    ] },
    { title = "CPU of the stores, %", statistic = "Average", metrics = [
      ["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", var.postgres_identifier],
      ["AWS/ElastiCache", "EngineCPUUtilization", "CacheClusterId", var.redis_node_id],
      ["AWS/ECS", "CPUUtilization", "ClusterName", var.neo4j.cluster_name, "ServiceName", var.neo4j.service_name],
    ] },
    { title = "Use of storage and memory, %", statistic = "Maximum", metrics = concat(
      [
        [var.neo4j.metric_namespace, "GraphVolumeUsedPercent"],
        ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", var.redis_node_id],
      ],
      [
        for broker in range(1, var.kafka.brokers + 1) :
        ["AWS/Kafka", "KafkaDataLogsDiskUsed", "Cluster Name", var.kafka.cluster_name, "Broker ID", tostring(broker)]
      ],
    ) },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      for number, graph in local.graphs : {
        type   = "metric"
        x      = 12 * (number % 2)
        y      = 6 * floor(number / 2)
        width  = 12
        height = 6
        properties = {
          title   = graph.title
          region  = data.aws_region.current.region
          view    = "timeSeries"
          stat    = graph.statistic
          period  = 60
          metrics = graph.metrics
        }
      }
    ]
  })
}
