"""What the hosts of a stack on aws should be, the changes that make them so, and their proof."""
