"""The operator's command line: plans, shows, asks, acts and proves."""

__version__ = "0.2.0"
