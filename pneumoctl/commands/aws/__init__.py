"""What the verbs do on the aws target, a file a verb."""
