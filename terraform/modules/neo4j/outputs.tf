output "uri" {
  description = "Address of the graph. The certificate is the server's own: the connection is encrypted, and who may connect is said by security groups."
  value       = "bolt+ssc://${local.host}:${local.port}"
}

output "port" {
  description = "Port of the server."
  value       = local.port
}

output "security_group_id" {
  description = "Security group of the server; it lets nobody in until a rule is added."
  value       = aws_security_group.this.id
}

output "cluster_name" {
  description = "ECS cluster of the server."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "ECS service of the server."
  value       = aws_ecs_service.this.name
}

output "volume_id" {
  description = "The volume, for restoring."
  value       = aws_ebs_volume.this.id
}

output "metric_namespace" {
  description = "CloudWatch namespace of GraphVolumeUsedPercent."
  value       = local.namespace
}
