"""Where a stack runs: this machine or AWS."""
