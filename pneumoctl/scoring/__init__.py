"""Score pictures, through the API or on this machine."""
