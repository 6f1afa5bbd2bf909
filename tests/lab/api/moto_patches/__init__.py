"""Patches for what moto 5.2.1 does wrong or lacks, one module for each part of AWS.

The docstring of each patch says what the patched call does and, in parentheses, what moto does without the patch.
"""

from functools import cache
from importlib import import_module

PARTS = (
    "addresses",
    "alarms",
    "buckets",
    "budgets",
    "console",
    "groups",
    "images",
    "instances",
    "offers",
    "quotas",
    "schedules",
    "states",
    "tags",
)


def apply() -> None:
    """Apply all patches to moto in this process, permanently."""
    import boto3

    session = boto3.Session
    boto3.Session = cache(session)  # the import of moto's EC2 reads the endpoints once per partition: slow
    try:
        for part in PARTS:
            import_module(f"{__name__}.{part}")
    finally:
        boto3.Session = session
