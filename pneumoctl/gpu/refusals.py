"""EC2's refusals to start an instance, mostly for lack of capacity: then nothing runs and nothing is billed."""

from pneumoctl.errors import Exit, PneumoError

# EC2's error codes for no capacity and no quota, and the state reason of an instance whose start it gave up.
UNAVAILABLE = {
    "InstanceLimitExceeded",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientReservedInstanceCapacity",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    "Unsupported",
    "VcpuLimitExceeded",
}
GIVEN_UP = ("Server.InsufficientInstanceCapacity", "Server.InsufficientHostCapacity")
HINT = (
    "nothing was started or billed; try again later: pneumoctl train --gpu --resume; or with --spot; or set another "
    "gpu_type, then: pneumoctl up"
)


def is_refusal(error: PneumoError) -> bool:
    """Whether EC2 answered that it starts nothing. Without an answer, the instance may have been started."""
    return error.details.get("aws") in ("refused", "denied") and "aws_code" in error.details


def is_unavailable(error: PneumoError) -> bool:
    """Whether EC2 has no such instance now, or the account may have no more."""
    return error.details.get("aws_code") in UNAVAILABLE


def no_capacity(what: str, why: str) -> PneumoError:
    """The error for an instance that EC2 does not have. `what`: its type."""
    return PneumoError(f"EC2 has no {what} now: {why}", HINT, Exit.PREFLIGHT, unavailable=True)
