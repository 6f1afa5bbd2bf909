# The aws target: what terraform and its provider must be, and the tag that finds all of a stack again.
terraform {
  required_version = ">= 1.10, < 2.0" # 1.10: locking of an S3 backend without DynamoDB

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.100 runs in the lab, and finds nothing deprecated here. 6.x was only compared with its upgrade guide: none of
      # what 6.0 removed or changed is used.
      version = ">= 5.90, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { "pneumoctl:stack" = var.stack }
  }
}
