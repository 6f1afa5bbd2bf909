# Versions of terraform and its provider, and the tag by which all resources of a stack are found.
terraform {
  required_version = ">= 1.10, < 2.0" # 1.10: locking of an S3 backend without DynamoDB

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 5.100 is tested in the lab and reports no deprecation. 6.x is not tested; according to its upgrade guide, nothing
      # that 6.0 removed or changed is used here.
      version = ">= 5.90, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region

  # About half a minute. The provider also repeats a launch for which a zone has no capacity, by default for an hour;
  # pneumoctl tries the other zones instead.
  max_retries = 9

  default_tags {
    tags = { "pneumoctl:stack" = var.stack }
  }
}
