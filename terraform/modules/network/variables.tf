variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "A /16 is needed, such as 10.0.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones, each with a public and a private subnet. Three for Kafka with three replicas."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 6
    error_message = "Between 2 and 6 zones."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone. With false there is one, and its zone's end cuts all zones off from the internet."
  type        = bool
  default     = true
}

variable "interface_endpoints" {
  description = "AWS services that are reached by an endpoint inside the VPC instead of through NAT. S3 always is, that is free of charge."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
}

variable "flow_log_retention_days" {
  description = "Days that the log of the VPC's connections is kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "Key that encrypts the flow log; its policy must let CloudWatch Logs use it."
  type        = string
}
