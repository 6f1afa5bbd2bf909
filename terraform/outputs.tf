# What the tool reads: `terraform output -json`.
output "region" {
  description = "Where everything is."
  value       = var.region
}

output "account_id" {
  description = "Whose everything is."
  value       = local.account
}

output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.main.id
}

output "bucket" {
  description = "The bucket for data/, runs/ and bundles/."
  value       = aws_s3_bucket.main.bucket
}

output "bastion" {
  description = "Public address of the nginx host: the front door and the way in by SSH."
  value       = aws_eip.host["nginx"].public_ip
}

output "scheduler_role_arn" {
  description = "Role for schedules that stop the GPU host."
  value       = aws_iam_role.scheduler.arn
}

output "schedule_group" {
  description = "Group that such schedules must be in."
  value       = aws_scheduler_schedule_group.stop.name
}

output "hosts" {
  description = "Every host by its name."
  value = {
    for name, host in aws_instance.host : name => {
      role        = local.hosts[name].role
      instance_id = host.id
      private_ip  = host.private_ip
      public_ip   = try(aws_eip.host[name].public_ip, null)
      type        = host.instance_type
    }
  }
}
