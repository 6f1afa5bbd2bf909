"""The stack whose runs are on spot instances."""

STACK = "spot"
