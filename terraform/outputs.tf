# pneumoctl reads these with `terraform output -json`.
output "bastion" {
  description = "Public address of the nginx host, which is the front door and the SSH bastion."
  value       = try(aws_eip.host["nginx"].public_ip, null) # null in the plan that only looks, once the address is gone
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
