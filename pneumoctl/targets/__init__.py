"""The targets on which a stack can run: this machine or AWS."""
