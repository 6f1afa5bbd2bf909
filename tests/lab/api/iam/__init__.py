"""IAM as the lab's AWS evaluates it: policy documents and roles."""
