"""The desired state of the hosts, and the steps that lead to it. Pure functions: nothing here reaches a host."""
