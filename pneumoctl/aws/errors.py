"""A table that turns botocore's exceptions into messages and next commands, without importing botocore."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pneumoctl.errors import Exit, PneumoError

SKEW_LIMIT_S = 240  # AWS refuses signatures that are more than five minutes off

# Kind -> what happened, and what to type next. The kind is in the error's details, for callers that distinguish them.
KINDS = {
    "no credentials": ("there are no AWS credentials", "aws configure, or export AWS_PROFILE=NAME"),
    "profile": (
        "the AWS profile {profile} cannot be used: {reason}",
        "correct the profile {profile} in ~/.aws/config, or choose another: aws configure list-profiles, then export "
        "AWS_PROFILE=NAME or set profile in pneumo.toml",
    ),
    "partial": (
        "the AWS credentials are incomplete: {reason}",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together, or neither and AWS_PROFILE",
    ),
    "expired": (
        "the AWS credentials have expired",
        "aws sso login, or get new temporary credentials; then run the same command again: it resumes",
    ),
    "invalid": (
        "AWS does not accept the credentials ({code} from {action}), or the region is not enabled for the account",
        "aws sts get-caller-identity --region us-east-1; if that works: "
        "aws account enable-region --region-name {region}",
    ),
    "denied": (
        "AWS denies {action} to these credentials",
        "have {action} allowed for this user or role, then run the same command again",
    ),
    "throttled": (
        "AWS still throttles {action} after {attempts} attempts",
        "wait a minute, then run the same command again",
    ),
    "unreachable": (
        "AWS cannot be reached in {region}: {reason}",
        "check the network, the proxy (HTTPS_PROXY) and AWS_ENDPOINT_URL; then run the same command again",
    ),
    "clock": (
        "this machine's clock is {skew} off, and AWS refuses what is signed with it",
        "set the clock: sudo timedatectl set-ntp true; then run the same command again",
    ),
    "opt-in": (
        "the account is not signed up for this service in {region} ({code} from {action})",
        "aws account enable-region --region-name {region}, or finish the account's sign-up in the console",
    ),
    "internal": ("AWS reports an internal error: {reason}", "run the same command again in some minutes"),
    "unsupported": ("this AWS endpoint does not know {action}", "check AWS_ENDPOINT_URL"),
    "refused": ("AWS refused {action}: {reason}", ""),
}
_CODES = {
    "expired": "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired",
    "invalid": "InvalidClientTokenId UnrecognizedClientException AuthFailure InvalidAccessKeyId InvalidToken "
    "SignatureDoesNotMatch InvalidSignatureException IncompleteSignature MissingAuthenticationToken",
    "clock": "RequestTimeTooSkewed RequestInTheFuture",
    "denied": "AccessDenied AccessDeniedException UnauthorizedOperation Client.UnauthorizedOperation Forbidden 403",
    "throttled": "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
    "RequestLimitExceeded TooManyRequestsException BandwidthLimitExceeded SlowDown EC2ThrottledException",
    "opt-in": "OptInRequired SubscriptionRequiredException NotSignedUp",
    "internal": "InternalError InternalFailure InternalServiceError ServiceUnavailable Unavailable 500 502 503 504",
    "unsupported": "NotImplemented 501",
}
_CLASSES = {
    "no credentials": "NoCredentialsError NoAuthTokenError",
    "partial": "PartialCredentialsError",
    "profile": "ProfileNotFound ConfigParseError ConfigNotFound InvalidConfigError InfiniteLoopConfigError "
    "CredentialRetrievalError MetadataRetrievalError RefreshWithMFAUnsupportedError",
    "expired": "SSOTokenLoadError UnauthorizedSSOTokenError TokenRetrievalError SSOError "
    "PendingAuthorizationExpiredError",
    "unreachable": "EndpointConnectionError ConnectTimeoutError ReadTimeoutError ConnectionClosedError "
    "ProxyConnectionError SSLError HTTPClientError ResponseStreamingError IncompleteReadError",
}
_KIND_OF_CODE = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_KIND_OF_CLASS = {name: kind for kind, names in _CLASSES.items() for name in names.split()}
# AWS may also answer one of these if the clock is wrong.
_MAYBE_CLOCK = {"RequestExpired", "AuthFailure", "SignatureDoesNotMatch", "InvalidSignatureException", "403"}
_PREFIX = {"service-quotas": "servicequotas"}
_S3_ACTIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "DeleteObjects": "DeleteObjectVersion",
}


def explained(
    error: Exception, service: str, operation: str, region: str, profile: str, attempts: int, kind: str = ""
) -> PneumoError:
    """The PneumoError for an exception; its details have the `aws` kind, the IAM `action` and AWS's `aws_code`.

    `operation` is spelled as in the API (DescribeInstances). `kind`: that of an exception which is not botocore's.
    """
    response: dict[str, Any] = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))
    reason = str(response.get("Error", {}).get("Message") or error)
    action = _action(service, operation, reason)
    skew = skew_seconds(response)
    kind = kind or _kind(error, code, skew)
    message, hint = KINDS[kind]
    values = {
        "action": action,
        "code": code,
        "reason": reason.split(" Encoded authorization")[0].rstrip("."),
        "region": region or "the default region",
        "profile": profile,
        "skew": "more than five minutes" if skew is None else f"{abs(skew) / 60:.0f} minutes",
        "attempts": attempts,
    }
    details = {"aws": kind, "action": action} | ({"aws_code": code} if code else {})
    return PneumoError(message.format(**values), hint.format(**values), Exit.FAILED, **details)


def skew_seconds(response: dict[str, Any]) -> float | None:
    """How many seconds this machine's clock is ahead of AWS's, by an answer's Date header; None without one."""
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds() if date else None
    except (ValueError, TypeError):
        return None


def _kind(error: Exception, code: str, skew: float | None) -> str:
    if code in _MAYBE_CLOCK and skew is not None and abs(skew) > SKEW_LIMIT_S:
        return "clock"
    if code in _KIND_OF_CODE:
        return _KIND_OF_CODE[code]
    names = (each.__name__ for each in type(error).__mro__)
    return next((_KIND_OF_CLASS[name] for name in names if name in _KIND_OF_CLASS), "refused")


def _action(service: str, operation: str, reason: str) -> str:
    """The IAM action: from AWS's message, else from the operation's name, which differs for some of S3's."""
    named = re.search(r"not authorized to perform:? ([a-z0-9-]+:\w+)", reason)
    if named and service != "s3":
        return named[1]
    if service == "s3":
        operation = _S3_ACTIONS.get(operation, operation)
    return f"{_PREFIX.get(service, service)}:{operation}"
