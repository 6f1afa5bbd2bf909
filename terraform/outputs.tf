# pneumoctl reads these with `terraform output -json`.
output "region" {
  description = "AWS region of the stack."
  value       = var.region
}

output "account_id" {
  description = "AWS account of the stack."
  value       = local.account
}

output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.main.id
}

output "bucket" {
  description = "Name of the bucket for data/, runs/, bundles/, backups/ and transfers/."
  value       = aws_s3_bucket.main.bucket
}

output "bastion" {
  description = "Public address of the nginx host, which is the front door and the SSH bastion."
  value       = try(aws_eip.host["nginx"].public_ip, null) # null in the plan that only looks, once the address is gone
}

output "scheduler_role_arn" {
  description = "Role of the schedules that stop the GPU host."
  value       = aws_iam_role.scheduler.arn
}

output "schedule_group" {
  description = "Group of the schedules that stop the GPU host."
  value       = aws_scheduler_schedule_group.stop.name
}

output "hosts" {
  description = "All hosts by name."
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
