output "run_task" {
  description = "Commands that run the tasks init and logins."
  value       = module.services.run_task
}

output "cluster_name" {
  description = "ECS cluster of the processes."
  value       = module.services.cluster_name
}

output "postgres" {
  description = "Where services append, and the security group that must let them in."
  value = {
    place             = module.postgres.place
    security_group_id = module.postgres.security_group_id
  }
}

output "graph" {
  description = "Where readers ask, and the security group that must let them in."
  value = {
    uri               = module.neo4j.uri
    certificate       = module.neo4j.certificate
    security_group_id = module.neo4j.security_group_id
  }
}

output "redis_node_id" {
  description = "Node of the cache, to reboot it."
  value       = module.redis.node_id
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = module.observability.dashboard_name
}
