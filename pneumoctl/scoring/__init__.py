"""From pictures to predictions, through the API or on this machine."""
