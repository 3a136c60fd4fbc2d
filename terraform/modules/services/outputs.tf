output "cluster_name" {
  description = "ECS cluster of the processes."
  value       = aws_ecs_cluster.this.name
}

output "service_names" {
  description = "ECS services by process."
  value = merge(
    { for process, service in aws_ecs_service.fixed : process => service.name },
    { for process, service in aws_ecs_service.scaled : process => service.name },
  )
}

output "task_definitions" {
  description = "Task definitions by process."
  value       = { for process, task in aws_ecs_task_definition.this : process => task.arn }
}

output "security_group_ids" {
  description = "Security groups by process."
  value       = { for process, group in aws_security_group.this : process => group.id }
}

output "run_task" {
  description = "`aws ecs run-task` for the tasks init and logins."
  value = {
    for process in ["init", "logins"] : process => join(" ", [
      "aws ecs run-task --launch-type FARGATE --cluster ${aws_ecs_cluster.this.name}",
      "--task-definition ${aws_ecs_task_definition.this[process].family}",
      "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", var.subnet_ids)}],securityGroups=[${aws_security_group.this[process].id}]}'",
    ])
  }
}

output "metric_namespace" {
  description = "CloudWatch namespace of the pipeline's metrics."
  value       = local.metric_namespace
}
