"""The operator's command line: plans, shows, asks, acts and proves."""

from pneumoctl import model_package

__version__ = "0.2.0"

model_package.prefer()  # here, since every module of ours may be the one that a process starts with
