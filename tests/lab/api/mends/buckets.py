"""S3: bucket policies judged with their conditions."""

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket

from tests.lab.api.lab import ACCOUNT
from tests.lab.api.mends.patch import replaces
from tests.lab.api.policy import judge

OPERATOR = f"arn:aws:iam::{ACCOUNT}:user/lab"
CONTEXT = {  # the lab speaks HTTP, but stands for TLS
    "aws:securetransport": "true",
    "s3:tlsversion": "1.3",
    "aws:principalaccount": ACCOUNT,
    "aws:principalarn": OPERATOR,
    "aws:principaltype": "User",
}
VERDICTS = {"allow": PermissionResult.PERMITTED, "deny": PermissionResult.DENIED, "neutral": PermissionResult.NEUTRAL}


@replaces(FakeBucket, "get_permission")
def permission(original: Any, self: Any, action: str, resource: str) -> Any:
    """moto: reads no Condition, so that "deny without TLS" denies everything, and denies without a word."""
    if self.policy is None:
        return PermissionResult.NEUTRAL
    verdict = judge([self.policy.decode()], action, resource, CONTEXT, OPERATOR)
    if verdict == "deny" and action != "s3:DeleteObject":  # many at once are denied one by one
        raise S3AccessDeniedError
    return VERDICTS[verdict]
