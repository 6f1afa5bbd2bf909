"""The command line of the operator: plan a change, show it, ask, carry it out, and prove the result."""

from pneumoctl import model_package

__version__ = "0.2.0"

model_package.prefer()  # here, since every module of ours may be the one that a process starts with
