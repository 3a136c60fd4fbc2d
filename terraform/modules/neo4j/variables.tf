variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the graph."
  type        = string
}

variable "subnet_id" {
  description = "Private subnet. The volume is in its zone, so the instance is too."
  type        = string
}

variable "zone" {
  description = "Availability zone of that subnet."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the volume, its backups and the log."
  type        = string
}

variable "secret_arn" {
  description = "JSON with `password` and `auth`, made by the module secrets."
  type        = string
}

variable "image" {
  description = "Image of Neo4j 5.26, Community edition is enough."
  type        = string
  default     = "neo4j:5.26-community"
}

variable "instance_type" {
  description = "Size of the instance, x86 (Nitro)."
  type        = string
  default     = "r6i.xlarge"
}

variable "memory" {
  description = "MiB of the container, of Neo4j's heap, and of its page cache. Leave the instance 1 GiB, the container a fifth."
  type = object({
    container  = number
    heap       = number
    page_cache = number
  })
  default = { container = 30000, heap = 10240, page_cache = 14336 }

  validation {
    condition     = var.memory.heap + var.memory.page_cache <= 0.9 * var.memory.container
    error_message = "Heap and page cache together may be 90 % of the container's memory at most."
  }
}

variable "volume_gib" {
  description = "Size of the volume. It can be made larger at any time, never smaller."
  type        = number
  default     = 100
}

variable "graph" {
  description = "Folder on the volume that holds the graph. With a new name Neo4j starts with an empty graph; the old one stays on the volume."
  type        = string
  default     = "1"

  validation {
    condition     = can(regex("^[a-z0-9-]+$", var.graph)) && var.graph != "tls"
    error_message = "Small letters, digits and hyphens, and not tls."
  }
}

variable "backup_days" {
  description = "Days that a daily backup of the volume is kept."
  type        = number
  default     = 14
}

variable "destroy_backups" {
  description = "Delete the backups with the stack. Without it a vault that holds any cannot be destroyed. Apply it before the destroy."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that the server's log is kept."
  type        = number
  default     = 365
}
