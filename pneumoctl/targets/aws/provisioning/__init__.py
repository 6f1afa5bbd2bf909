"""What terraform makes of a stack on aws, and what must be so before."""
