"""The stack on this machine, under a supervisor."""
