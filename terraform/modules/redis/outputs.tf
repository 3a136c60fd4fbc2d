output "place" {
  description = "Where the cache is, for the module secrets."
  value = {
    address = aws_elasticache_replication_group.this.primary_endpoint_address
    port    = aws_elasticache_replication_group.this.port
  }
}

output "port" {
  description = "Port of the node."
  value       = aws_elasticache_replication_group.this.port
}

output "security_group_id" {
  description = "Security group of the node; it lets nobody in until a rule is added."
  value       = aws_security_group.this.id
}

output "node_id" {
  description = "Name of the node, for alarms and for rebooting it."
  value       = "${aws_elasticache_replication_group.this.replication_group_id}-001"
}
