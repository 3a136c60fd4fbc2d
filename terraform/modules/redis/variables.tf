variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the cache."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in one of which the node is."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts what the node may write to disk."
  type        = string
}

variable "password" {
  description = "Auth token."
  type        = string
  sensitive   = true
}

variable "node_type" {
  description = "Size of the node."
  type        = string
  default     = "cache.r7g.large"
}

variable "emails" {
  description = "Addresses that hear when AWS replaces, patches or reboots the node; each must confirm once. After a replacement: empty it (docs/deploy.md)."
  type        = set(string)
  default     = []
}
