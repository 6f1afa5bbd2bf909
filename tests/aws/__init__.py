"""What needs a real AWS account: run by hand, never by `make test`."""
