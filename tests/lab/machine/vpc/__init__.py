"""EC2's description of a network, compiled into the rules of the router."""
