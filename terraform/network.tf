# One VPC: a public subnet (front door, monitoring) and two private ones (web and app; training), each in a zone that
# offers the types of its hosts.
data "aws_ec2_instance_type_offerings" "zones" {
  for_each      = toset([for role in local.roles : role.type])
  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = [each.key]
  }
}

locals {
  # Without local zones (for example us-west-2-lax-1a), which are also listed.
  zones_of = {
    for type, found in data.aws_ec2_instance_type_offerings.zones :
    type => [for zone in found.locations : zone if can(regex("^${var.region}[a-z]$", zone))]
  }
  fitting = {
    for place in local.places : place =>
    setintersection([for role in local.roles : local.zones_of[role.type] if role.place == place]...)
  }
  # The first zone by name, so that a zone that AWS adds later changes nothing. If no zone offers the type, for example
  # that of the GPU host, any existing zone: the precondition of the host then fails, if there is such a host.
  some_zone = try(sort(local.fitting["service"])[0], "${var.region}a")
  first     = { for place, zones in local.fitting : place => try(sort(zones)[0], local.some_zone) }
  zone      = merge(local.first, var.gpu_zone == "" ? {} : { train = var.gpu_zone })
  places    = ["public", "service", "train"]
  cidr      = { for number, place in local.places : place => cidrsubnet(var.vpc_cidr, 4, number) }
}

resource "aws_vpc" "main" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = local.name, "pneumoctl:address" = "aws_vpc.main" }
}

# AWS creates this group with every VPC, with rules between its members. It is managed here to have no rules.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "${local.name}-unused", "pneumoctl:address" = "aws_default_security_group.closed" }
}

# A subnet stays in its zone, even if another zone would be chosen now: moving it would replace its hosts.
resource "aws_subnet" "public" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = local.cidr["public"]
  availability_zone = local.zone["public"]
  tags              = { Name = "${local.name}-public", "pneumoctl:address" = "aws_subnet.public" }

  lifecycle {
    ignore_changes = [availability_zone]
  }
}

resource "aws_subnet" "service" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = local.cidr["service"]
  availability_zone = local.zone["service"]
  tags              = { Name = "${local.name}-service", "pneumoctl:address" = "aws_subnet.service" }

  lifecycle {
    ignore_changes = [availability_zone]
  }
}

# Another GPU type may need another zone and image: the subnet is replaced, and with it the host, which stores nothing.
resource "terraform_data" "gpu" {
  input = { type = var.gpu_type, image = var.gpu_image }
}

resource "aws_subnet" "train" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = local.cidr["train"]
  availability_zone = local.zone["train"]
  tags              = { Name = "${local.name}-train", "pneumoctl:address" = "aws_subnet.train" }

  lifecycle {
    ignore_changes       = [availability_zone]
    replace_triggered_by = [terraform_data.gpu]
  }
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = local.name, "pneumoctl:address" = "aws_internet_gateway.main" }
}

resource "aws_eip" "nat" {
  domain     = "vpc"
  tags       = { Name = "${local.name}-nat", "pneumoctl:address" = "aws_eip.nat" }
  depends_on = [aws_internet_gateway.main]
}

resource "aws_nat_gateway" "main" {
  allocation_id = aws_eip.nat.id
  subnet_id     = aws_subnet.public.id
  private_ip    = cidrhost(local.cidr["public"], 9) # fixed, so that AWS does not choose the address of a host
  tags          = { Name = local.name, "pneumoctl:address" = "aws_nat_gateway.main" }
  depends_on    = [aws_internet_gateway.main]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "${local.name}-public", "pneumoctl:address" = "aws_route_table.public" }

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.main.id
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "${local.name}-private", "pneumoctl:address" = "aws_route_table.private" }

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.main.id
  }
}

resource "aws_route_table_association" "public" {
  subnet_id      = aws_subnet.public.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table_association" "private" {
  for_each       = { service = aws_subnet.service.id, train = aws_subnet.train.id }
  subnet_id      = each.value
  route_table_id = aws_route_table.private.id
}

# An S3 endpoint, so that training data does not cause costs of the NAT gateway.
resource "aws_vpc_endpoint" "s3" {
  vpc_id          = aws_vpc.main.id
  service_name    = "com.amazonaws.${var.region}.s3"
  route_table_ids = [aws_route_table.public.id, aws_route_table.private.id]
  tags            = { Name = "${local.name}-s3", "pneumoctl:address" = "aws_vpc_endpoint.s3" }
}
