"""The output of pneumoctl, as text for a person or JSON for a program."""
