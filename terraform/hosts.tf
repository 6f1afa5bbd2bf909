# The hosts. Their addresses are fixed: a replaced host keeps its address, so no other host's configuration changes. The
# first eight of a role have those from `first` on, all further ones those from `more` on, which need a larger subnet.
locals {
  name = "pneumoctl-${var.stack}"
  roles = {
    nginx      = { type = var.nginx_type, place = "public", first = 10, more = 0, names = ["nginx"] }
    monitoring = { type = var.monitoring_type, place = "public", first = 20, more = 0, names = ["monitoring"] }
    web        = { type = var.web_type, place = "service", first = 10, more = 100, names = [for i in range(var.web_count) : "web-${i}"] }
    app        = { type = var.app_type, place = "service", first = 20, more = 150, names = [for i in range(var.app_count) : "app-${i}"] }
    train      = { type = var.gpu_type, place = "train", first = 10, more = 0, names = var.train_count == 1 ? ["train"] : [] }
  }
  hosts = merge([
    for role, of in local.roles : {
      for number, name in of.names :
      name => { role = role, type = of.type, place = of.place, address = cidrhost(local.cidr[of.place], (number < 8 ? of.first : of.more) + number) }
    }
  ]...)
  train   = templatefile("${path.module}/user_data/train.sh.tftpl", { guard = file("${path.module}/user_data/guard.py") })
  subnets = { public = aws_subnet.public, service = aws_subnet.service, train = aws_subnet.train }

  # Amazon's base images with an NVIDIA driver, and Python 3.12 (Ubuntu 22.04 has a release candidate of Python 3.11, and
  # nothing newer). The open driver supports no GPU older than Turing, so the V100 of p3
  # needs the proprietary driver of branch 580 or older: the images up to 2025 (those of 2026 have 595).
  gpu_images = {
    p3    = [for year in [2024, 2025] : "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 2?.04) ${year}????"]
    other = ["Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) ????????"]
  }
  gpu_image = var.gpu_image != "" ? [var.gpu_image] : local.gpu_images[startswith(var.gpu_type, "p3") ? "p3" : "other"]
}

# EC2 refuses the option for types without it, as t2.
data "aws_ec2_instance_types" "ebs_optimized" {
  filter {
    name   = "instance-type"
    values = toset([for host in local.hosts : host.type])
  }

  filter {
    name   = "ebs-info.ebs-optimized-support"
    values = ["default", "supported"]
  }
}

data "aws_ami" "debian" {
  most_recent        = true
  include_deprecated = true             # AWS deprecates every image two years after its creation; it can still be used
  owners             = ["136693071363"] # Debian

  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

data "aws_ami" "gpu" {
  for_each           = toset(local.roles.train.names)
  most_recent        = true
  include_deprecated = true # a pinned image may be deprecated
  owners             = ["amazon"]

  filter {
    name   = "name"
    values = local.gpu_image
  }
}

resource "aws_instance" "host" {
  for_each                             = local.hosts
  ami                                  = each.value.role == "train" ? data.aws_ami.gpu["train"].id : data.aws_ami.debian.id
  instance_type                        = each.value.type
  subnet_id                            = local.subnets[each.value.place].id
  private_ip                           = each.value.address
  vpc_security_group_ids               = [aws_security_group.role[each.value.role].id]
  key_name                             = aws_key_pair.operator.key_name
  iam_instance_profile                 = try(aws_iam_instance_profile.host[each.key].name, null)
  instance_initiated_shutdown_behavior = "stop"
  ebs_optimized                        = contains(data.aws_ec2_instance_types.ebs_optimized.instance_types, each.value.type)
  monitoring                           = each.value.type == var.gpu_type # detailed monitoring (every minute) for the most expensive host only

  # All that can stop a GPU host exists before it.
  depends_on = [aws_iam_role_policy.scheduler, aws_scheduler_schedule_group.stop]

  user_data = templatefile("${path.module}/user_data/boot.sh.tftpl", {
    name = each.key
    part = each.value.role == "train" ? local.train : ""
  })

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = each.value.role == "train" ? var.train_disk_gb : var.disk_gb
    encrypted   = true
    tags = {
      Name                = "${local.name}-${each.key}"
      "pneumoctl:address" = "aws_instance.host:${each.key}"
      "pneumoctl:role"    = each.value.role
    }
  }

  tags = {
    Name                = "${local.name}-${each.key}"
    "pneumoctl:address" = "aws_instance.host:${each.key}"
    "pneumoctl:role"    = each.value.role
  }

  lifecycle {
    # A newer image or boot script only applies to new hosts; it does not replace or restart existing ones.
    ignore_changes = [ami, user_data]

    precondition {
      condition     = contains(local.zones_of[each.value.type], local.subnets[each.value.place].availability_zone)
      error_message = "${each.value.type} (${each.key}) is not offered in ${local.subnets[each.value.place].availability_zone}; it is in: ${coalesce(join(", ", local.zones_of[each.value.type]), "no zone of ${var.region}")}."
    }
  }
}

# The monitoring host has a public address to download packages; its security group allows no connection from outside.
# An address that AWS assigns by itself is lost when the host stops, and terraform would then replace the host.
resource "aws_eip" "host" {
  for_each   = toset(["nginx", "monitoring"])
  domain     = "vpc"
  instance   = aws_instance.host[each.key].id
  tags       = { Name = "${local.name}-${each.key}", "pneumoctl:address" = "aws_eip.host:${each.key}" }
  depends_on = [aws_internet_gateway.main]
}
