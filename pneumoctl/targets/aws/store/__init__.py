"""The results of a stack on aws, their backups, and the secrets that seal them."""
