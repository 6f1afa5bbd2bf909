"""terraform as a process: run, attach to, read its output, state and errors."""
