"""What is so: status, drift and logs of a stack on aws, asked from AWS and its hosts."""
