# Each group scales by its own lag alone, between its own bounds. By steps, not towards a target: lag is not shared out by
# workers as load is, it is zero while they keep up, however many they are.

locals {
  groups = {
    graph = { min = var.graph.min, max = var.graph.max, metric = "GraphLagSeconds" }
    cache = { min = var.cache.min, max = var.cache.max, metric = "CacheLagSeconds" }
  }
}

resource "aws_appautoscaling_target" "group" {
  for_each = local.groups

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.scaled[each.key].name}"
  min_capacity       = var.running ? each.value.min : 0
  max_capacity       = var.running ? each.value.max : 0
}

resource "aws_appautoscaling_policy" "out" {
  for_each = local.groups

  name               = "${var.name}-${each.key}-out"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.group[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.group[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.group[each.key].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 180 # seconds: a new worker costs the whole group a rebalance

    # Bounds count from the alarm's threshold.
    step_adjustment {
      metric_interval_lower_bound = 0
      metric_interval_upper_bound = 4 * var.scale_out_lag
      scaling_adjustment          = 1
    }

    step_adjustment {
      metric_interval_lower_bound = 4 * var.scale_out_lag
      scaling_adjustment          = 3
    }
  }
}

resource "aws_appautoscaling_policy" "in" {
  for_each = local.groups

  name               = "${var.name}-${each.key}-in"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.group[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.group[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.group[each.key].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 900 # seconds

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = -1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "out" {
  for_each = local.groups

  alarm_name          = "${var.name}-${each.key}-scale-out"
  alarm_description   = "Adds ${each.key} workers; nothing for people to do."
  namespace           = local.metric_namespace
  metric_name         = each.value.metric
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.scale_out_lag
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_appautoscaling_policy.out[each.key].arn]
}

resource "aws_cloudwatch_metric_alarm" "in" {
  for_each = local.groups

  alarm_name          = "${var.name}-${each.key}-scale-in"
  alarm_description   = "Takes a ${each.key} worker away; nothing for people to do."
  namespace           = local.metric_namespace
  metric_name         = each.value.metric
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 15
  comparison_operator = "LessThanThreshold"
  threshold           = var.scale_in_lag
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_appautoscaling_policy.in[each.key].arn]
}
