# The allowed connections. Each entry makes an egress rule on one side and an ingress rule on the other.
locals {
  outside = { world = "0.0.0.0/0", operator = var.operator_cidr }
  ports = {
    ssh            = 22
    https          = 443
    http           = 80
    ui             = 8080
    api            = 5000
    redis          = 6379
    node_exporter  = 9100
    nginx_exporter = 9113
    redis_exporter = 9121
  }

  wanted = concat(
    [
      { from = "world", to = ["nginx"], ports = ["https", "http"] },
      { from = "operator", to = ["nginx"], ports = ["ssh"] },
      { from = "nginx", to = ["monitoring", "web", "app", "train"], ports = ["ssh"] },
      { from = "nginx", to = ["web"], ports = ["ui"] },
      { from = "web", to = ["app"], ports = ["api"] },
      { from = "app", to = ["app"], ports = ["redis"] },
      { from = "monitoring", to = ["nginx", "web", "app", "train"], ports = ["node_exporter"] },
      { from = "monitoring", to = ["nginx"], ports = ["nginx_exporter"] },
      { from = "monitoring", to = ["web"], ports = ["ui"] },
      { from = "monitoring", to = ["app"], ports = ["api", "redis_exporter"] },
    ],
    [for role, _ in local.roles : { from = role, to = ["world"], ports = ["https", "http"] }], # packages, S3
  )
  flows = merge([
    for one in local.wanted : {
      for pair in setproduct(one.to, one.ports) :
      "${one.from}-${pair[0]}-${pair[1]}" => { from = one.from, to = pair[0], port = local.ports[pair[1]] }
    }
  ]...)
}

resource "aws_security_group" "role" {
  for_each    = { for role, of in local.roles : role => of.place }
  name        = "${local.name}-${each.key}"
  description = "${each.key} hosts of ${local.name}, in the ${each.value} subnet"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = "${local.name}-${each.key}", "pneumoctl:address" = "aws_security_group.role:${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each                     = { for key, flow in local.flows : key => flow if contains(keys(local.roles), flow.to) }
  security_group_id            = aws_security_group.role[each.value.to].id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = lookup(local.outside, each.value.from, null)
  referenced_security_group_id = try(aws_security_group.role[each.value.from].id, null)
  tags                         = { "pneumoctl:address" = "aws_vpc_security_group_ingress_rule.flow:${each.key}" }
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each                     = { for key, flow in local.flows : key => flow if contains(keys(local.roles), flow.from) }
  security_group_id            = aws_security_group.role[each.value.from].id
  description                  = each.key
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = lookup(local.outside, each.value.to, null)
  referenced_security_group_id = try(aws_security_group.role[each.value.to].id, null)
  tags                         = { "pneumoctl:address" = "aws_vpc_security_group_egress_rule.flow:${each.key}" }
}

resource "aws_key_pair" "operator" {
  key_name   = local.name
  public_key = var.public_key
  tags       = { "pneumoctl:address" = "aws_key_pair.operator" }
}
