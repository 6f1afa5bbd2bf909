"""The plans, a file a verb: pure functions from settings and inventory to a plan."""
