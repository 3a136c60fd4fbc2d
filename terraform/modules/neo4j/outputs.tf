output "uri" {
  description = "Address of the graph; clients verify the server by `certificate`."
  value       = "bolt+s://${local.host}:${local.port}"
}

output "certificate" {
  description = "PEM text by which clients verify the server: the file that HOLONSTREAM_NEO4J_CA names."
  value       = tls_self_signed_cert.server.cert_pem
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
