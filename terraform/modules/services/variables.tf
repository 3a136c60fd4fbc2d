variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the processes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets; tasks are spread over them."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts secrets and logs."
  type        = string
}

variable "image" {
  description = "Image of holonstream, with its tag or digest."
  type        = string
}

variable "init_image" {
  description = "Image of the tasks init and logins; null for `image`. An upgrade sets it first (docs/deploy.md)."
  type        = string
  default     = null
}

variable "ecr_repository_arn" {
  description = "The image's repository when it is in ECR, so that tasks may pull from it; null when it is elsewhere and public."
  type        = string
  default     = null
}

variable "cpu_architecture" {
  description = "For which the image was built: X86_64 or ARM64."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "X86_64 or ARM64."
  }
}

variable "user" {
  description = "uid:gid of the processes; any but root's will do, they write no file."
  type        = string
  default     = "10001:10001"

  validation {
    condition     = can(regex("^[1-9][0-9]*:[1-9][0-9]*$", var.user))
    error_message = "uid:gid in figures, and not root's."
  }
}

variable "running" {
  description = "With false relay and workers are scaled to nothing: for the first deployment, until init has run."
  type        = bool
  default     = true
}

variable "namespace" {
  description = "HOLONSTREAM_NAMESPACE: first part of the names of topics, groups and cache keys. Another one is another pipeline on the same servers."
  type        = string
  default     = "holonstream"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.namespace))
    error_message = "Letters, digits, _ and -. (The pipeline allows dots too; the metric filters here do not.)"
  }
}

variable "partitions" {
  description = "HOLONSTREAM_PARTITIONS: partitions of the event topic when init makes it, and so the most workers of a group that have work. For a topic that is there, say how many it has."
  type        = number
  default     = 12
}

variable "settings" {
  description = "More settings of the processes, such as { HOLONSTREAM_BATCH_EVENTS = \"2000\" }."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : startswith(name, "HOLONSTREAM_")])
    error_message = "Every setting starts with HOLONSTREAM_."
  }
}

variable "postgres" {
  description = "The log: outputs of the modules postgres and secrets."
  type = object({
    security_group_id = string
    port              = number
    owner_secret_arn  = string
    relay_secret_arn  = string
  })
}

variable "kafka" {
  description = "The brokers: outputs of the module kafka."
  type = object({
    security_group_id = string
    port              = number
    bootstrap         = string
    secret_arn        = string
    secret_key_arn    = string
  })
}

variable "neo4j" {
  description = "The graph: outputs of the modules neo4j and secrets."
  type = object({
    security_group_id = string
    port              = number
    uri               = string
    certificate       = string
    secret_arn        = string
  })
}

variable "redis" {
  description = "The cache: outputs of the modules redis and secrets."
  type = object({
    security_group_id = string
    port              = number
    secret_arn        = string
  })
}

variable "relay" {
  description = "CPU units and MiB of a relay, and how many: one leads, the others wait for the leader's lock."
  type = object({
    cpu    = number
    memory = number
    count  = number
  })
  default = { cpu = 1024, memory = 2048, count = 2 }
}

variable "graph" {
  description = "CPU units and MiB of a graph worker, and between how many workers the group scales."
  type = object({
    cpu    = number
    memory = number
    min    = number
    max    = number
  })
  default = { cpu = 1024, memory = 2048, min = 2, max = 12 }

  validation {
    condition     = var.graph.min >= 1 && var.graph.min <= var.graph.max && var.graph.max <= var.partitions
    error_message = "1 <= min <= max <= partitions: a worker beyond that has no work."
  }
}

variable "cache" {
  description = "CPU units and MiB of a cache worker, and between how many workers the group scales."
  type = object({
    cpu    = number
    memory = number
    min    = number
    max    = number
  })
  default = { cpu = 512, memory = 1024, min = 2, max = 12 }

  validation {
    condition     = var.cache.min >= 1 && var.cache.min <= var.cache.max && var.cache.max <= var.partitions
    error_message = "1 <= min <= max <= partitions: a worker beyond that has no work."
  }
}

variable "scale_out_lag" {
  description = "Seconds of a group's lag from which workers are added: one, and from five times as much on three at once."
  type        = number
  default     = 10
}

variable "scale_in_lag" {
  description = "Seconds below which a group's lag stays for a quarter of an hour before a worker is taken away."
  type        = number
  default     = 1
}

variable "status_interval" {
  description = "Seconds between two reports of `holonstream status`, from which the metrics are made. 60 at most: alarms evaluate minutes."
  type        = number
  default     = 30

  validation {
    condition     = var.status_interval >= 5 && var.status_interval <= 60
    error_message = "Between 5 and 60."
  }
}

variable "log_retention_days" {
  description = "Days that the processes' logs are kept."
  type        = number
  default     = 365
}
