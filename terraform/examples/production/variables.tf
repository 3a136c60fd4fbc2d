variable "name" {
  description = "First part of the names of what is made."
  type        = string
  default     = "holonstream-prod"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}$", var.name)) && !endswith(var.name, "-") && !strcontains(var.name, "--")
    error_message = "2 to 25 small letters, digits and single hyphens, a letter first."
  }
}

variable "region" {
  description = "AWS region; the zones a, b and c are used."
  type        = string
  default     = "eu-west-1"
}

variable "image" {
  description = "Image of holonstream, with its tag or digest."
  type        = string
}

variable "init_image" {
  description = "Image of the tasks init and logins; null for `image`. An upgrade sets it first."
  type        = string
  default     = null
}

variable "ecr_repository_arn" {
  description = "The image's repository when it is in ECR."
  type        = string
  default     = null
}

variable "running" {
  description = "False for the first deployment, until init and logins have run."
  type        = bool
  default     = true
}

variable "emails" {
  description = "Addresses that get the alarms."
  type        = set(string)
  default     = []
}
