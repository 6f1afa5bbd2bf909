"""The rows of the preflight of a stack on aws."""

from pathlib import Path

from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning.preflight import rows
from pneumoctl.targets.common.checks import Row
from tests.pneumoctl.cloud import REGION

SETTINGS = Settings(stack="pre", target="aws", region=REGION, operator_cidr="198.51.100.7/32")
PROGRAMS = {"terraform", "ssh client"}
TERRAFORM = Path(__file__).parents[6] / "terraform"


def row_of(stack: Stack, check: str, settings: Settings = SETTINGS) -> Row:
    every = rows(settings, stack)
    return next(row for row in every if row.check.startswith(check))


def failed_rows(stack: Stack, settings: Settings = SETTINGS) -> list[Row]:
    """The failing rows, apart from those of programs that the machine of the tests may lack."""
    return [row for row in rows(settings, stack) if not row.good and row.check not in PROGRAMS]
