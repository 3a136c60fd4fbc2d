output "place" {
  description = "Where the log is, for the module secrets."
  value = {
    address  = aws_db_instance.this.address
    port     = aws_db_instance.this.port
    database = local.database
    owner    = local.owner
  }
}

output "port" {
  description = "Port of the server."
  value       = aws_db_instance.this.port
}

output "security_group_id" {
  description = "Security group of the server; it lets nobody in until a rule is added."
  value       = aws_security_group.this.id
}

output "identifier" {
  description = "Name of the instance, for alarms and for restoring."
  value       = aws_db_instance.this.identifier
}

output "storage_gib" {
  description = "What is allocated now; it grows by itself."
  value       = aws_db_instance.this.allocated_storage
}
