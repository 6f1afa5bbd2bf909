"""Divide the hosts of a role into batches: how many of them may be switched to another release at the same time."""

from collections.abc import Sequence

from pneumoctl.stack.inventory import Host

Batches = list[list[Host]]


def size(batch: str, total: int, missing: int = 0) -> int:
    """How many of `total` hosts may be out of service at once; `missing` ones already are. At least one.

    `batch` is a number or a percentage, rounded down. One host always keeps serving, unless there is only one.
    """
    share = int(batch.removesuffix("%"))
    most = total * share // 100 if batch.endswith("%") else share
    return max(1, min(most, total - 1) - missing)


def of(batch: str, new: Sequence[Host], serving: Sequence[Host], total: int) -> Batches:
    """The hosts that serve nothing yet are the first batch, however many they are; then come those that serve."""
    most = size(batch, total, total - len(new) - len(serving))
    later = [list(serving[begin : begin + most]) for begin in range(0, len(serving), most)]
    return [list(new), *later] if new else later
