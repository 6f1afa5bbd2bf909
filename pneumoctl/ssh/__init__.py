"""Reach a host over SSH and have it carry out steps."""
