"""Data sets: download, read and split."""
