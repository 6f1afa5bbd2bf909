"""What both targets use."""
