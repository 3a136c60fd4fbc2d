variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the alarms' topic; its policy must let CloudWatch use it."
  type        = string
}

variable "emails" {
  description = "Addresses that get the alarms; each must confirm once."
  type        = set(string)
  default     = []
}

variable "pipeline" {
  description = "Outputs of the module services."
  type = object({
    metric_namespace = string
    cluster_name     = string
    service_names    = map(string)
  })
}

variable "postgres_identifier" {
  description = "Output `identifier` of the module postgres."
  type        = string
}

variable "postgres_storage_gib" {
  description = "Output `storage_gib` of the module postgres; an alarm comes when less than a twentieth of it is free."
  type        = number
}

variable "kafka" {
  description = "Outputs of the module kafka."
  type = object({
    cluster_name = string
    brokers      = number
  })
}

variable "redis_node_id" {
  description = "Output `node_id` of the module redis."
  type        = string
}

variable "neo4j" {
  description = "Outputs of the module neo4j."
  type = object({
    metric_namespace = string
    cluster_name     = string
    service_name     = string
  })
}

variable "lag_seconds" {
  description = "Lag of the relay or of a group above which an alarm is sent. Well above that at which workers are added."
  type        = number
  default     = 120
}

variable "frontier_seconds" {
  description = "Age of a transaction that has appended and is still open, above which an alarm is sent."
  type        = number
  default     = 60
}
