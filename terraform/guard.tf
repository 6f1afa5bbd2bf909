# Guards in the AWS account: the role that may stop a GPU host on schedule, and the VPC's flow logs.

# pneumoctl creates one-time schedules in this group; they run as the role below.
resource "aws_scheduler_schedule_group" "stop" {
  name = local.name
  tags = { "pneumoctl:address" = "aws_scheduler_schedule_group.stop" }
}

resource "aws_iam_role" "scheduler" {
  name        = "${local.name}-scheduler-${var.region}"
  description = "Stops the GPU host of ${local.name}, and nothing else"
  tags        = { "pneumoctl:address" = "aws_iam_role.scheduler" }

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account, "aws:SourceArn" = aws_scheduler_schedule_group.stop.arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "stop"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ec2:StopInstances"]
      Resource = ["${local.arn}:ec2:${var.region}:${local.account}:instance/*"]
      Condition = {
        StringEquals = { "aws:ResourceTag/pneumoctl:stack" = var.stack, "aws:ResourceTag/pneumoctl:role" = "train" }
      }
    }]
  })
}

# Only spot instances may be terminated. pneumoctl tags each with its run; the stack's own GPU host has no such tag.
resource "aws_iam_role_policy" "scheduler_spot" {
  name = "terminate"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["ec2:TerminateInstances"]
      Resource = ["${local.arn}:ec2:${var.region}:${local.account}:instance/*"]
      Condition = {
        StringEquals = { "aws:ResourceTag/pneumoctl:stack" = var.stack, "aws:ResourceTag/pneumoctl:role" = "train" }
        StringLike   = { "aws:ResourceTag/pneumoctl:run" = "*" }
      }
    }]
  })
}

# A new GPU host starts running, so its stop is armed as soon as its id is known: it acts also if user data never ran and
# everything that could stop the host was killed. A training run disables it. With the key written out, it depends on this
# host alone: with each.key, terraform would make it only after all other hosts, and not at all if one of them failed.
resource "aws_scheduler_schedule" "first_boot" {
  #checkov:skip=CKV_AWS_297:It holds the id of an instance, nothing secret; a key of our own costs money.
  for_each                     = toset(local.roles.train.names)
  name                         = "first-boot-${aws_instance.host["train"].id}" # so that each new host gets a new one
  group_name                   = aws_scheduler_schedule_group.stop.name
  description                  = "pneumoctl: stops the new GPU host of ${var.stack}"
  schedule_expression          = "at(${formatdate("YYYY-MM-DD'T'hh:mm:ss", timeadd(timestamp(), "15m"))})" # from its creation
  schedule_expression_timezone = "UTC"
  depends_on                   = [aws_iam_role_policy.scheduler]

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "${local.arn}:scheduler:::aws-sdk:ec2:stopInstances"
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ InstanceIds = [aws_instance.host["train"].id] })

    retry_policy {
      maximum_event_age_in_seconds = 86400
      maximum_retry_attempts       = 185
    }
  }

  lifecycle {
    ignore_changes = [schedule_expression, state]
  }
}

resource "aws_cloudwatch_log_group" "flows" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts it; a key of our own costs money and stays 7 days after teardown.
  name              = "${local.name}-flow-logs"
  retention_in_days = 365
  tags              = { "pneumoctl:address" = "aws_cloudwatch_log_group.flows" }
}

resource "aws_iam_role" "flows" {
  name        = "${local.name}-flow-logs-${var.region}"
  description = "Writes the flow logs of ${local.name}"
  tags        = { "pneumoctl:address" = "aws_iam_role.flows" }

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "vpc-flow-logs.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "${local.arn}:ec2:${var.region}:${local.account}:vpc-flow-log/*" }
      }
    }]
  })
}

# Without the right to create the log group: a late delivery would create it again after teardown.
resource "aws_iam_role_policy" "flows" {
  name = "write"
  role = aws_iam_role.flows.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.flows.arn}:*"]
      },
      {
        Effect   = "Allow"
        Action   = ["logs:DescribeLogGroups"]
        Resource = ["${local.arn}:logs:${var.region}:${local.account}:log-group:*"]
      },
    ]
  })
}

resource "aws_flow_log" "main" {
  vpc_id          = aws_vpc.main.id
  traffic_type    = "ALL"
  log_destination = aws_cloudwatch_log_group.flows.arn
  iam_role_arn    = aws_iam_role.flows.arn
  tags            = { Name = local.name, "pneumoctl:address" = "aws_flow_log.main" }
  depends_on      = [aws_iam_role_policy.flows]
}
