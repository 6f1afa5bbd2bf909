"""The stack on AWS."""
