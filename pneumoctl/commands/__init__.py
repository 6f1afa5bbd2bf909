"""The commands, a file a verb: load, plan, apply, report."""
