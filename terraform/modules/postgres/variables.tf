variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the database."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in two zones at least."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts storage, backups, Performance Insights and logs."
  type        = string
}

variable "owner_password" {
  description = "Password of the owner, as whom `holonstream init` runs."
  type        = string
  sensitive   = true
}

variable "engine_version" {
  description = "Version of PostgreSQL, major or with the minor part. The tests run on 15."
  type        = string
  default     = "15"

  validation {
    condition     = try(tonumber(split(".", var.engine_version)[0]), 0) >= 15
    error_message = "PostgreSQL 15 or later."
  }
}

variable "instance_class" {
  description = "Size of the instance."
  type        = string
  default     = "db.r7g.large"
}

variable "multi_az" {
  description = "A standby in another zone that takes over within a minute or two. Without it the log is as available as one machine."
  type        = bool
  default     = true
}

variable "storage_gib" {
  description = "Storage at the start. The log is never deleted from: it grows by itself up to `storage_limit_gib`."
  type        = number
  default     = 100
}

variable "storage_limit_gib" {
  description = "Up to where storage grows by itself."
  type        = number
  default     = 1000

  validation {
    condition     = var.storage_limit_gib > var.storage_gib
    error_message = "The limit must be above the storage at the start."
  }
}

variable "backup_days" {
  description = "Days to any second of which the log can be restored."
  type        = number
  default     = 35

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "Between 1 and 35: the log is the only truth, it is never without a backup."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the database. A last snapshot is taken in any case."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days that the server's log is kept."
  type        = number
  default     = 365
}
