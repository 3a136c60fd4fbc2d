output "kms_key_arn" {
  description = "The key of stores, secrets and logs."
  value       = aws_kms_key.this.arn
}

output "postgres_owner_password" {
  description = "Password of the log's owner, for the module postgres."
  value       = random_password.this["postgres-owner"].result
  sensitive   = true
}

output "redis_password" {
  description = "Auth token of the cache, for the module redis."
  value       = random_password.this["redis"].result
  sensitive   = true
}

# The versions' ARNs would do too, but change with each rotation, and with them every task definition.
output "postgres_owner_secret_arn" {
  description = "Connection string of the log's owner, used by `holonstream init` only."
  value       = aws_secretsmanager_secret.this["postgres-owner"].arn
  depends_on  = [aws_secretsmanager_secret_version.this]
}

output "postgres_relay_secret_arn" {
  description = "Connection string of the relay, who may only read."
  value       = aws_secretsmanager_secret.this["postgres-relay"].arn
  depends_on  = [aws_secretsmanager_secret_version.this]
}

output "redis_secret_arn" {
  description = "URL of the cache."
  value       = aws_secretsmanager_secret.this["redis"].arn
  depends_on  = [aws_secretsmanager_secret_version.this]
}

output "neo4j_secret_arn" {
  description = "JSON with `password`, and with `auth` as Neo4j's image wants it."
  value       = aws_secretsmanager_secret.this["neo4j"].arn
  depends_on  = [aws_secretsmanager_secret_version.this]
}
