"""Connect to hosts over SSH and carry out steps there."""
