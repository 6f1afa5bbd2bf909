"""What moto 5.2.1 does wrong or leaves out, mended: a module a part of AWS, and beside each mend what moto does."""

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
    """Mend moto in this process, for good."""
    import boto3

    session = boto3.Session
    boto3.Session = cache(session)  # EC2's import reads the list of endpoints once a partition: a third of the start
    try:
        for part in PARTS:
            import_module(f"{__name__}.{part}")
    finally:
        boto3.Session = session
