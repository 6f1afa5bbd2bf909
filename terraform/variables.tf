# The settings of a stack. pneumoctl checks them, with its own messages, and writes them to a tfvars file.
variable "stack" {
  description = "Name of the stack: part of every resource name, and the value of the tag pneumoctl:stack."
  type        = string

  validation {
    # With the account and the longest region name, this fits the 63 characters of a bucket name.
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,24}$", var.stack))
    error_message = "stack: a-z, 0-9 and hyphens, at most 25, not beginning with a hyphen."
  }
}

variable "region" {
  description = "AWS region of all resources."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: as eu-west-1."
  }
}

variable "operator_cidr" {
  description = "The only IPv4 address that may use SSH, as a.b.c.d/32."
  type        = string

  validation {
    condition = (
      can(regex("/32$", var.operator_cidr)) && can(cidrhost(var.operator_cidr, 0)) &&
      !startswith(var.operator_cidr, "0.")
    )
    error_message = "operator_cidr: one address, as 203.0.113.7/32."
  }
}

variable "public_key" {
  description = "Public SSH key of the operator, one line. The private key is not passed to terraform."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]+( [^\n]*)?$", trimspace(var.public_key)))
    error_message = "public_key: one line, as ssh-ed25519 AAAA... comment."
  }
}

variable "web_count" {
  description = "Number of hosts that serve the web page."
  type        = number
  default     = 1

  validation {
    condition     = contains(range(1, 9), var.web_count)
    error_message = "web_count: 1 to 8."
  }
}

variable "app_count" {
  description = "Number of hosts that serve the API. Redis runs on the first one, app-0."
  type        = number
  default     = 1

  validation {
    condition     = contains(range(1, 9), var.app_count)
    error_message = "app_count: 1 to 8."
  }
}

variable "train_count" {
  description = "Number of GPU hosts for training: 0 until the first training."
  type        = number
  default     = 0

  validation {
    condition     = contains([0, 1], var.train_count)
    error_message = "train_count: 0 or 1."
  }
}

variable "nginx_type" {
  description = "Instance type of the front door, which is also the bastion."
  type        = string
  default     = "t3.micro"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.nginx_type))
    error_message = "nginx_type: an EC2 type, as t3.micro."
  }
}

variable "monitoring_type" {
  description = "Instance type of the monitoring host."
  type        = string
  default     = "t3.small"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.monitoring_type))
    error_message = "monitoring_type: an EC2 type, as t3.small."
  }
}

variable "web_type" {
  description = "Instance type of the web hosts."
  type        = string
  default     = "t3.small"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.web_type))
    error_message = "web_type: an EC2 type, as t3.small."
  }
}

variable "app_type" {
  description = "Instance type of the API hosts."
  type        = string
  default     = "t3.medium"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.app_type))
    error_message = "app_type: an EC2 type, as t3.medium."
  }
}

variable "gpu_type" {
  description = "Instance type of the training host. A change replaces the training subnet and host."
  type        = string
  default     = "g5.xlarge"

  validation {
    condition     = can(regex("^(g|p)[0-9][a-z0-9-]*\\.[a-z0-9-]+$", var.gpu_type))
    error_message = "gpu_type: an EC2 type with a GPU, as g5.xlarge or p3.2xlarge."
  }
}

variable "gpu_image" {
  description = "Name pattern (with * and ?) of Amazon's image for the training host; empty: chosen by gpu_type."
  type        = string
  default     = ""
}

variable "bucket" {
  description = "Name of the bucket for data, runs and model bundles; empty: pneumoctl-STACK-ACCOUNT-REGION."
  type        = string
  default     = ""

  validation {
    condition     = var.bucket == "" || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: 3 to 63 of a-z, 0-9, hyphens and dots."
  }
}

variable "backup_days" {
  description = "For how many days backups of the results are kept in the bucket."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_days >= 2 && var.backup_days <= 3650 && floor(var.backup_days) == var.backup_days
    error_message = "backup_days: a whole number from 2 to 3650."
  }
}

variable "vpc_cidr" {
  description = "IPv4 address range of the VPC. Each of its three subnets is a sixteenth of it."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    # A private range whose subnets are large enough for the fixed addresses of all hosts.
    condition = (
      can(cidrhost(var.vpc_cidr, 0)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.vpc_cidr)) &&
      can(regex("/(1[6-9]|20|21|22)$", var.vpc_cidr))
    )
    error_message = "vpc_cidr: a private IPv4 range of /16 to /22, as 10.20.0.0/16."
  }
}

variable "disk_gb" {
  description = "Size of the root disk of every host except the training host (GB)."
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gb >= 10 && var.disk_gb <= 1000 && floor(var.disk_gb) == var.disk_gb
    error_message = "disk_gb: a whole number from 10 to 1000."
  }
}

variable "train_disk_gb" {
  description = "Size of the training host's root disk (GB). The Deep Learning images need most of 75 GB."
  type        = number
  default     = 120

  validation {
    condition     = var.train_disk_gb >= 100 && var.train_disk_gb <= 4000 && floor(var.train_disk_gb) == var.train_disk_gb
    error_message = "train_disk_gb: a whole number from 100 to 4000."
  }
}
