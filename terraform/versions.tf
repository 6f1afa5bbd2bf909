# The aws target: what terraform and its provider must be, and the tag that finds all of a stack again.
terraform {
  required_version = ">= 1.10, < 2.0" # 1.10: locking of an S3 backend without DynamoDB

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { "pneumoctl:stack" = var.stack }
  }
}
