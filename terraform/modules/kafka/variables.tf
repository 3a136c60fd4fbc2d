variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the brokers."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in three zones: three replicas, of which a zone may take one."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) == 3
    error_message = "Exactly three subnets, each in its own zone."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the brokers' storage and log. The login's secret has its own key."
  type        = string
}

variable "kafka_version" {
  description = "Version of Kafka, as MSK names it."
  type        = string
  default     = "3.9.x.kraft"
}

variable "instance_type" {
  description = "Size of the brokers."
  type        = string
  default     = "kafka.m7g.large"
}

variable "brokers" {
  description = "Brokers, a multiple of three."
  type        = number
  default     = 3

  validation {
    condition     = var.brokers >= 3 && var.brokers % 3 == 0
    error_message = "A multiple of three, so that each zone has as many."
  }
}

variable "storage_gib" {
  description = "Storage of each broker at the start. Events are kept for ever: it grows by itself up to `storage_limit_gib`."
  type        = number
  default     = 100
}

variable "storage_limit_gib" {
  description = "Up to where a broker's storage grows by itself."
  type        = number
  default     = 1000

  validation {
    condition     = var.storage_limit_gib > var.storage_gib
    error_message = "The limit must be above the storage at the start."
  }
}

variable "log_retention_days" {
  description = "Days that the brokers' log is kept."
  type        = number
  default     = 365
}
