"""The aws target: a stack on AWS."""
