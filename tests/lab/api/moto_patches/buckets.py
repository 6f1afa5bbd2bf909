"""S3: evaluate bucket policies with their conditions."""

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket

from tests.lab.api.iam.policy import evaluate
from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.state import ACCOUNT

OPERATOR = f"arn:aws:iam::{ACCOUNT}:user/lab"
CONTEXT = {  # the lab uses HTTP in place of TLS
    "aws:securetransport": "true",
    "s3:tlsversion": "1.3",
    "aws:principalaccount": ACCOUNT,
    "aws:principalarn": OPERATOR,
    "aws:principaltype": "User",
}
VERDICTS = {"allow": PermissionResult.PERMITTED, "deny": PermissionResult.DENIED, "neutral": PermissionResult.NEUTRAL}


@replaces(FakeBucket, "get_permission")
def permission(original: Any, self: Any, action: str, resource: str) -> Any:
    """Evaluate the bucket policy with its conditions; a denial is an S3 error.

    (moto ignores Condition, so that "deny without TLS" denies everything, and gives no error message.)
    """
    if self.policy is None:
        return PermissionResult.NEUTRAL
    verdict = evaluate([self.policy.decode()], action, resource, CONTEXT, OPERATOR)
    if verdict == "deny" and action != "s3:DeleteObject":  # DeleteObjects reports the denial of each object
        raise S3AccessDeniedError
    return VERDICTS[verdict]
