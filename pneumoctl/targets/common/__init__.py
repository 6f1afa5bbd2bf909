"""Code that both targets use: checks, the health gate, ports and service logs."""
