"""Decode picture files, refuse unsuitable ones, and prepare the input of the network."""
