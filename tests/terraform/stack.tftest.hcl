# The stack against a make-believe provider: what is made, who may speak to whom, what each role may do.
mock_provider "aws" {
  mock_data "aws_ec2_instance_type_offerings" {
    defaults = { locations = ["eu-west-1c", "eu-west-1-lax-1a", "eu-west-1b"] } # unsorted, and with a local zone
  }
  mock_data "aws_ec2_instance_types" {
    defaults = { instance_types = ["t3.micro", "t3.small", "t3.medium", "g5.xlarge", "p3.2xlarge"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::the-bucket" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/mocked" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:mocked" }
  }
  mock_resource "aws_scheduler_schedule_group" {
    defaults = { arn = "arn:aws:scheduler:eu-west-1:123456789012:schedule-group/pneumoctl-demo" }
  }
}

variables {
  stack         = "demo"
  region        = "eu-west-1"
  operator_cidr = "203.0.113.7/32"
  public_key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA operator"
}

run "refuses_bad_values" {
  command = plan

  variables {
    stack           = "-demo"
    region          = "eu-west"
    operator_cidr   = "0.0.0.0/0"
    public_key      = "-----BEGIN OPENSSH PRIVATE KEY-----"
    web_count       = 0
    app_count       = 51
    train_count     = 2
    nginx_type      = "t3"
    monitoring_type = "T3.small"
    web_type        = "t3 small"
    app_type        = ""
    gpu_type        = "t3.large"
    bucket          = "Upper"
    vpc_cidr        = "8.8.0.0/16"
    disk_gb         = 5
    train_disk_gb   = 20
    backup_days     = 1
  }

  expect_failures = [
    var.stack, var.region, var.operator_cidr, var.public_key, var.web_count, var.app_count, var.train_count,
    var.nginx_type, var.monitoring_type, var.web_type, var.app_type, var.gpu_type, var.bucket, var.vpc_cidr,
    var.disk_gb, var.train_disk_gb, var.backup_days,
  ]
}

run "refuses_more_bad_values" {
  command = plan

  variables {
    stack         = "a23456789012345678901234567"
    operator_cidr = "203.0.113.0/24"
    public_key    = "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two"
    web_count     = 1.5
    app_count     = 50.5
    vpc_cidr      = "10.20.0.0/24"
    disk_gb       = 20.5
  }

  expect_failures = [
    var.stack, var.operator_cidr, var.public_key, var.web_count, var.app_count, var.vpc_cidr, var.disk_gb,
  ]
}

run "refuses_the_whole_world_as_one_host" {
  command = plan

  variables {
    operator_cidr = "0.0.0.0/32"
    vpc_cidr      = "172.32.0.0/16"
  }

  expect_failures = [var.operator_cidr, var.vpc_cidr]
}

# As of `drift`: nothing is in AWS, and the plan that only looks must say so instead of failing.
run "everything_is_gone" {
  command = plan

  plan_options {
    mode = refresh-only
  }

  assert {
    condition     = output.bastion == null && length(output.hosts) == 0
    error_message = "No address and no host: ${jsonencode(output.hosts)}"
  }
}

run "by_default" {
  assert {
    condition     = join(" ", keys(aws_instance.host)) == "app-0 monitoring nginx web-0"
    error_message = "One host a role, and no GPU host: ${join(" ", keys(aws_instance.host))}"
  }
  assert {
    condition     = aws_subnet.public.availability_zone == "eu-west-1b" && aws_subnet.service.availability_zone == "eu-west-1b"
    error_message = "The first zone by name that offers the types, local zones aside."
  }
  assert {
    condition     = aws_s3_bucket.main.bucket == "pneumoctl-demo-123456789012-eu-west-1" && aws_s3_bucket.main.force_destroy != true
    error_message = "The bucket's name; and terraform never empties it."
  }
  assert {
    condition     = alltrue([for host in aws_instance.host : host.instance_initiated_shutdown_behavior == "stop"])
    error_message = "A host that powers off is stopped, not terminated."
  }
  assert {
    condition = alltrue([
      for host in aws_instance.host : host.metadata_options[0].http_tokens == "required" &&
      host.metadata_options[0].http_put_response_hop_limit == 1 && host.root_block_device[0].encrypted &&
      host.root_block_device[0].volume_type == "gp3"
    ])
    error_message = "IMDSv2 for the host itself only; encrypted gp3."
  }
  assert {
    condition     = output.bastion == aws_eip.host["nginx"].public_ip && output.hosts["web-0"].public_ip == null
    error_message = "The bastion is the nginx host; private hosts have no public address."
  }
}

run "counts" {
  variables {
    web_count = 2
    app_count = 3
  }

  assert {
    condition     = join(" ", keys(output.hosts)) == "app-0 app-1 app-2 monitoring nginx web-0 web-1"
    error_message = "As many as asked: ${join(" ", keys(output.hosts))}"
  }
  assert {
    condition     = { for name, host in output.hosts : name => host.private_ip } == { nginx = "10.20.0.10", monitoring = "10.20.0.20", web-0 = "10.20.16.10", web-1 = "10.20.16.11", app-0 = "10.20.16.20", app-1 = "10.20.16.21", app-2 = "10.20.16.22" }
    error_message = "Addresses are fixed by name, whatever the counts."
  }
}

run "most_hosts" {
  variables {
    web_count = 50
    app_count = 50
  }

  assert {
    condition     = length(distinct([for host in local.hosts : host.address])) == 102
    error_message = "No two hosts have the same address."
  }
  assert {
    condition     = [for name in ["web-7", "web-8", "web-49", "app-7", "app-8", "app-49"] : local.hosts[name].address] == ["10.20.16.17", "10.20.16.108", "10.20.16.149", "10.20.16.27", "10.20.16.158", "10.20.16.199"]
    error_message = "The first eight hosts of a role keep the addresses that they always had."
  }
}

run "flows" {
  assert {
    condition = join(" ", keys(aws_vpc_security_group_ingress_rule.flow)) == join(" ", [
      "app-app-redis", "monitoring-app-api", "monitoring-app-node_exporter", "monitoring-app-redis_exporter",
      "monitoring-nginx-nginx_exporter", "monitoring-nginx-node_exporter",
      "monitoring-train-node_exporter", "monitoring-web-node_exporter", "monitoring-web-ui", "nginx-app-ssh",
      "nginx-monitoring-ssh", "nginx-train-ssh", "nginx-web-ssh", "nginx-web-ui", "operator-nginx-ssh",
      "web-app-api", "world-nginx-http", "world-nginx-https",
    ])
    error_message = "Exactly the flows that are wanted: ${join(" ", keys(aws_vpc_security_group_ingress_rule.flow))}"
  }
  assert {
    condition = {
      for key, rule in aws_vpc_security_group_ingress_rule.flow : key => "${rule.cidr_ipv4}:${rule.from_port}-${rule.to_port}" if rule.cidr_ipv4 != null
    } == { operator-nginx-ssh = "203.0.113.7/32:22-22", world-nginx-http = "0.0.0.0/0:80-80", world-nginx-https = "0.0.0.0/0:443-443" }
    error_message = "From outside: 443 and 80, and 22 for the operator, all to nginx."
  }
  assert {
    condition = alltrue([
      for key, rule in aws_vpc_security_group_ingress_rule.flow :
      rule.security_group_id == aws_security_group.role[split("-", key)[1]].id &&
      rule.referenced_security_group_id == aws_security_group.role[split("-", key)[0]].id &&
      aws_vpc_security_group_egress_rule.flow[key].security_group_id == rule.referenced_security_group_id &&
      aws_vpc_security_group_egress_rule.flow[key].referenced_security_group_id == rule.security_group_id &&
      aws_vpc_security_group_egress_rule.flow[key].to_port == rule.to_port
      if rule.cidr_ipv4 == null
    ])
    error_message = "What one side lets in, the other lets out."
  }
  assert {
    condition = {
      for key, rule in aws_vpc_security_group_egress_rule.flow : key => "${rule.cidr_ipv4}:${rule.to_port}" if rule.cidr_ipv4 != null
      } == merge([for role in ["nginx", "monitoring", "web", "app", "train"] : {
        "${role}-world-https" = "0.0.0.0/0:443", "${role}-world-http" = "0.0.0.0/0:80"
    }]...)
    error_message = "To outside: 443 and 80, from every role."
  }
}

run "gpu_host" {
  variables {
    train_count = 1
  }

  assert {
    condition     = output.hosts["train"].type == "g5.xlarge" && output.hosts["train"].private_ip == "10.20.32.10"
    error_message = "The GPU host, in its own subnet."
  }
  assert {
    condition     = one(data.aws_ami.gpu["train"].filter).values == toset(["Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) ????????"])
    error_message = "The image with the open driver."
  }
  assert {
    condition     = strcontains(aws_instance.host["train"].user_data, "systemctl enable --now pneumoctl-guard.timer")
    error_message = "Its first boot arms the power-off."
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.first_boot["train"].target[0].input) == { InstanceIds = [aws_instance.host["train"].id] }
    error_message = "A stop in the account is armed for it."
  }
  assert {
    condition = (
      aws_scheduler_schedule.first_boot["train"].target[0].arn == "arn:aws:scheduler:::aws-sdk:ec2:stopInstances" &&
      aws_scheduler_schedule.first_boot["train"].target[0].role_arn == aws_iam_role.scheduler.arn &&
      aws_scheduler_schedule.first_boot["train"].group_name == aws_scheduler_schedule_group.stop.name
    )
    error_message = "It acts as the role that may stop this stack's GPU."
  }
  assert {
    condition     = can(regex("^at\\(20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\)$", aws_scheduler_schedule.first_boot["train"].schedule_expression))
    error_message = "It acts once: ${aws_scheduler_schedule.first_boot["train"].schedule_expression}"
  }
  assert {
    condition     = !anytrue([for name, host in aws_instance.host : strcontains(host.user_data, "poweroff") if name != "train"])
    error_message = "No other host powers itself off."
  }
  assert {
    condition     = !anytrue([for host in aws_instance.host : strcontains(host.user_data, "halt ")])
    error_message = "A halted host goes on billing."
  }
}

run "older_gpu" {
  variables {
    train_count = 1
    gpu_type    = "p3.2xlarge"
  }

  assert {
    condition = one(data.aws_ami.gpu["train"].filter).values == toset([
      "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 2?.04) 2024????",
      "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 2?.04) 2025????",
    ])
    error_message = "A V100 wants the proprietary driver, of branch 580 at most."
  }
}

run "own_gpu_image" {
  variables {
    train_count = 1
    gpu_image   = "my image *"
  }

  assert {
    condition     = one(data.aws_ami.gpu["train"].filter).values == toset(["my image *"])
    error_message = "The image that was asked for."
  }
}

run "gpu_offered_nowhere" {
  command = plan

  variables {
    train_count = 1
  }
  override_data {
    target = data.aws_ec2_instance_type_offerings.zones["g5.xlarge"]
    values = { locations = [] }
  }

  expect_failures = [aws_instance.host["train"]]
}

run "gpu_offered_nowhere_and_not_wanted" {
  command = plan

  override_data {
    target = data.aws_ec2_instance_type_offerings.zones["g5.xlarge"]
    values = { locations = [] }
  }
}

run "rights" {
  variables {
    app_count   = 2
    train_count = 1
  }

  assert {
    condition = { for name, host in aws_instance.host : name => host.iam_instance_profile if startswith(host.iam_instance_profile, "pneumoctl-") } == {
      app-0 = aws_iam_instance_profile.host["app-0"].name
      train = aws_iam_instance_profile.host["train"].name
    }
    error_message = "Only the host of the store and train have an identity in AWS."
  }
  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.main.rule : rule.noncurrent_version_expiration[0].noncurrent_days if rule.id == "backups"]) == var.backup_days
    error_message = "A backup that was replaced stays as long as one that was not."
  }
  assert {
    condition = [for rule in aws_s3_bucket_lifecycle_configuration.main.rule : rule.filter[0].prefix if try(rule.noncurrent_version_expiration[0].noncurrent_days, 0) == 1] == [
      "transfers/", "backups/results/latest.tar",
    ]
    error_message = "Only the versions of the latest backup go after a day."
  }

  assert {
    condition = [for one in jsondecode(aws_iam_role_policy.host["app-0"].policy).Statement : "${join(",", one.Action)} ${one.Resource[0]}"] == [
      "s3:PutObject,s3:AbortMultipartUpload arn:aws:s3:::the-bucket/backups/*",
    ]
    error_message = "app-0 writes backups: ${aws_iam_role_policy.host["app-0"].policy}"
  }
  assert {
    condition = [for one in jsondecode(aws_iam_role_policy.host["train"].policy).Statement : "${join(",", one.Action)} ${one.Resource[0]}"] == [
      "s3:ListBucket arn:aws:s3:::the-bucket",
      "s3:GetObject arn:aws:s3:::the-bucket/data/*",
      "s3:GetObject arn:aws:s3:::the-bucket/runs/*",
      "s3:PutObject,s3:AbortMultipartUpload arn:aws:s3:::the-bucket/runs/*",
    ]
    error_message = "train reads data, reads and writes runs: ${aws_iam_role_policy.host["train"].policy}"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.host["train"].policy).Statement[0].Condition.StringLike["s3:prefix"] == ["data/*", "runs/*"]
    error_message = "Listing ends at the prefixes too."
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.scheduler.policy).Statement == [
      {
        Effect   = "Allow"
        Action   = ["ec2:StopInstances"]
        Resource = ["arn:aws:ec2:eu-west-1:123456789012:instance/*"]
        Condition = {
          StringEquals = { "aws:ResourceTag/pneumoctl:stack" = "demo", "aws:ResourceTag/pneumoctl:role" = "train" }
        }
      },
    ]
    error_message = "The scheduler stops this stack's GPU and nothing else."
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.scheduler_spot.policy).Statement == [
      {
        Effect   = "Allow"
        Action   = ["ec2:TerminateInstances"]
        Resource = ["arn:aws:ec2:eu-west-1:123456789012:instance/*"]
        Condition = {
          StringEquals = { "aws:ResourceTag/pneumoctl:stack" = "demo", "aws:ResourceTag/pneumoctl:role" = "train" }
          StringLike   = { "aws:ResourceTag/pneumoctl:run" = "*" }
        }
      },
    ]
    error_message = "The scheduler terminates what a run made for itself, and nothing else."
  }
  assert {
    condition = jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement[0].Condition == {
      StringEquals = { "aws:SourceAccount" = "123456789012", "aws:SourceArn" = "arn:aws:scheduler:eu-west-1:123456789012:schedule-group/pneumoctl-demo" }
    }
    error_message = "Only schedules of this stack's group act as it."
  }
  assert {
    condition = flatten([for one in jsondecode(aws_iam_role_policy.flows.policy).Statement : [for action in one.Action : "${action} ${one.Resource[0]}"]]) == [
      "logs:CreateLogStream arn:aws:logs:eu-west-1:123456789012:log-group:mocked:*",
      "logs:DescribeLogStreams arn:aws:logs:eu-west-1:123456789012:log-group:mocked:*",
      "logs:PutLogEvents arn:aws:logs:eu-west-1:123456789012:log-group:mocked:*",
      "logs:DescribeLogGroups arn:aws:logs:eu-west-1:123456789012:log-group:*",
    ]
    error_message = "Flow logs never bring their group back: ${aws_iam_role_policy.flows.policy}"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.tls_only.policy).Statement[0].Condition == { Bool = { "aws:SecureTransport" = "false" } }
    error_message = "TLS only."
  }
}
