"""Run terraform, attach to a running one, and read its output, state and errors."""
