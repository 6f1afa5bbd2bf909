"""What a plan is, how it is executed and shown."""
