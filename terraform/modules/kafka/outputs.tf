output "bootstrap" {
  description = "host:port of the brokers for SASL/SCRAM over TLS, separated by commas."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "port" {
  description = "Port of the brokers for SASL/SCRAM over TLS."
  value       = 9096
}

output "security_group_id" {
  description = "Security group of the brokers; it lets nobody in until a rule is added."
  value       = aws_security_group.this.id
}

output "secret_arn" {
  description = "JSON with `username` and `password`."
  value       = aws_secretsmanager_secret.login.arn
  depends_on  = [aws_msk_scram_secret_association.login]
}

output "secret_key_arn" {
  description = "Key of that secret."
  value       = aws_kms_key.login.arn
}

output "cluster_name" {
  description = "Name of the cluster, for alarms."
  value       = aws_msk_cluster.this.cluster_name
}

output "brokers" {
  description = "How many brokers there are; their ids are 1, 2, 3 ..."
  value       = aws_msk_cluster.this.number_of_broker_nodes
}
