"""From the desired state of the hosts to the steps that bring it about. Pure."""
