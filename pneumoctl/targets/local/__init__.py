"""The local target: a stack on this machine, run by supervisord."""
