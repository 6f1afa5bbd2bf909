# The bucket (data/, runs/, bundles/, backups/, transfers/), and the rights of the hosts in it.
data "aws_caller_identity" "me" {}

data "aws_partition" "here" {}

locals {
  account = data.aws_caller_identity.me.account_id
  arn     = "arn:${data.aws_partition.here.partition}" # start of every ARN
  bucket  = var.bucket != "" ? var.bucket : "${local.name}-${local.account}-${var.region}"
}

# `pneumoctl teardown` empties the bucket, not terraform, so that a destroy cannot lose results.
resource "aws_s3_bucket" "main" {
  #checkov:skip=CKV_AWS_18:An access log wants a bucket of its own; one operator and two roles have access.
  #checkov:skip=CKV_AWS_144:Data can be fetched again and bundles are exported to the operator; a copy in another region doubles the price.
  #checkov:skip=CKV2_AWS_62:Nothing reacts to new objects.
  bucket = local.bucket
  tags   = { Name = local.bucket, "pneumoctl:address" = "aws_s3_bucket.main" }
}

resource "aws_s3_bucket_ownership_controls" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "main" {
  bucket                  = aws_s3_bucket.main.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "main" {
  bucket = aws_s3_bucket.main.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms" # AWS's key for S3: no monthly price, no grants
    }
  }
}

resource "aws_s3_bucket_policy" "tls_only" {
  bucket     = aws_s3_bucket.main.id
  depends_on = [aws_s3_bucket_public_access_block.main] # they conflict if applied at the same time

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.main.arn, "${aws_s3_bucket.main.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_s3_bucket_lifecycle_configuration" "main" {
  bucket     = aws_s3_bucket.main.id
  depends_on = [aws_s3_bucket_versioning.main]

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  # Trees on their way to hosts; a command deletes its own, unless it is killed.
  rule {
    id     = "transfers"
    status = "Enabled"

    filter {
      prefix = "transfers/"
    }

    expiration {
      days = 1
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # Checkpoints and logs of runs expire; the trained bundle in bundles/ does not.
  rule {
    id     = "runs"
    status = "Enabled"

    filter {
      prefix = "runs/"
    }

    expiration {
      days = 90
    }
  }

  # Who may write backups can replace them: what was there before stays as long as a backup does. Pictures of patients
  # are therefore gone after twice that time at the latest. No number limits the versions: who writes that many would
  # delete all earlier ones.
  rule {
    id     = "backups"
    status = "Enabled"

    filter {
      prefix = "backups/"
    }

    expiration {
      days = var.backup_days
    }

    noncurrent_version_expiration {
      noncurrent_days = var.backup_days
    }
  }

  # The backups of a day after its first all have this name: their versions would be as many as the hours of all days.
  rule {
    id     = "latest-backup"
    status = "Enabled"

    filter {
      prefix = "backups/results/latest.tar"
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }
}

# By the name of the host; the others have no IAM role. The host of the store writes backups of results, and can neither
# read nor delete them.
locals {
  grants = {
    app-0 = { read = [], write = ["backups"] }
    train = { read = ["data", "runs"], write = ["runs"] }
  }
}

resource "aws_iam_role" "host" {
  for_each    = local.grants
  name        = "${local.name}-${each.key}-${var.region}"
  description = "What the host ${each.key} of ${local.name} may do"
  tags        = { "pneumoctl:address" = "aws_iam_role.host:${each.key}" }

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "host" {
  for_each = local.grants
  name     = "bucket"
  role     = aws_iam_role.host[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [for prefixes in [each.value.read] : {
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [aws_s3_bucket.main.arn]
        Condition = { StringLike = { "s3:prefix" = [for prefix in prefixes : "${prefix}/*"] } }
      } if length(prefixes) > 0],
      [for prefix in each.value.read : {
        Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${aws_s3_bucket.main.arn}/${prefix}/*"]
      }],
      [for prefix in each.value.write : {
        Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = ["${aws_s3_bucket.main.arn}/${prefix}/*"]
      }],
    )
  })
}

resource "aws_iam_instance_profile" "host" {
  for_each = local.grants
  name     = aws_iam_role.host[each.key].name
  role     = aws_iam_role.host[each.key].name
  tags     = { "pneumoctl:address" = "aws_iam_instance_profile.host:${each.key}" }
}
