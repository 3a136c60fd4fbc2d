variable "name" {
  description = "First part of the names of what is made."
  type        = string
}

variable "postgres" {
  description = "Where the log is: outputs of the module postgres."
  type = object({
    address  = string
    port     = number
    database = string
    owner    = string
  })
}

variable "postgres_tls" {
  description = "libpq's TLS parameters. The default verifies the server by the file that deploy/aws/Dockerfile puts into the image; `sslmode=require` only encrypts."
  type        = string
  default     = "sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"

  validation {
    condition     = can(regex("^sslmode=(require|verify-ca|verify-full)(&|$)", var.postgres_tls))
    error_message = "The server refuses connections without TLS: sslmode must be require, verify-ca or verify-full."
  }
}

variable "redis" {
  description = "Where the cache is: outputs of the module redis."
  type = object({
    address = string
    port    = number
  })
}

variable "recovery_days" {
  description = "Days in which a deleted secret can be had back; 0 deletes at once."
  type        = number
  default     = 30
}
