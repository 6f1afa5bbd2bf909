"""A table that turns terraform's errors into messages, next commands and exit codes."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pneumoctl.aws.errors import KINDS
from pneumoctl.aws.terraform.events import Diagnostic
from pneumoctl.errors import Exit, PneumoError

NOT_EMPTY = "bucket not empty"
AGAIN = "run the same command again: it resumes"
_QUOTA = "pneumoctl doctor --target aws shows what is allowed and how to ask for more; then " + AGAIN
_STATE = (
    "compare {directory}/terraform.tfstate with its .backup and the copies beside it; versions of it are in S3; "
    "if all are lost, move it away, then: pneumoctl up --adopt"
)


@dataclass(frozen=True)
class Meaning:
    """A row of the table. `message` and `hint` may use `{reason}` and the pattern's named groups."""

    kind: str
    pattern: str
    message: str
    hint: str
    code: int = Exit.FAILED


def _aws(kind: str, pattern: str, code: int = Exit.FAILED) -> Meaning:
    """A row with the message and hint that pneumoctl's own calls to AWS give for the same error."""
    return Meaning(kind, pattern, *KINDS[kind], code)


# The first row that matches is used.
MEANINGS = (
    Meaning(
        "locked here",
        r"acquiring the state lock.*temporarily unavailable.*Who: +(?P<who>\S+).*Created: +(?P<created>[^\n]+)",
        "terraform's state is locked by {who} since {age}: that process still runs, and releases the lock when it ends",
        "wait for it to end, then run the same command again",
        Exit.LOCKED,
    ),
    Meaning(
        "locked",
        r"acquiring the state lock.*ID: +(?P<id>\S+)\s+Path: +(?P<path>[^\n]+?)\s+Operation: +(?P<operation>\S+)"
        r"\s+Who: +(?P<who>\S+).*Created: +(?P<created>[^\n]+)",
        "terraform's state is locked by {who} since {age} ({operation} on {path}, lock {id})",
        "wait; or, if you are sure that {who} no longer runs terraform: terraform -chdir={directory} force-unlock {id}",
        Exit.LOCKED,
    ),
    Meaning("stale plan", r"Saved plan is stale", "the plan is out of date: the state has changed since", "plan again"),
    _aws("no credentials", r"No valid credential sources|failed to refresh cached credentials|NoCredentialProviders"),
    _aws("profile", r"config profile,? \(?(?P<profile>[\w.@+-]+)", Exit.PREFLIGHT),
    _aws("clock", r"RequestTimeTooSkewed|RequestInTheFuture|Signature not yet current|Signature expired"),
    _aws("expired", r"ExpiredToken|RequestExpired|token has expired|SSO session has expired|InvalidGrantException"),
    _aws("invalid", r"(?P<code>InvalidClientTokenId|UnrecognizedClient\w*|AuthFailure|SignatureDoesNotMatch)"),
    Meaning(
        "vcpu",
        r"VcpuLimitExceeded",
        "the account's quota of vCPUs is too small for {address}: {reason}",
        _QUOTA,
    ),
    Meaning("instances", r"InstanceLimitExceeded", "the account may run no more instances: {reason}", _QUOTA),
    Meaning("eip", r"AddressLimitExceeded", "the account may have no more elastic IPs in {region}", _QUOTA),
    Meaning("vpc", r"VpcLimitExceeded", "the account may have no more VPCs in {region}", _QUOTA),
    Meaning("nat", r"NatGatewayLimitExceeded", "the account may have no more NAT gateways in this zone", _QUOTA),
    Meaning(
        "capacity",
        r"InsufficientInstanceCapacity|InsufficientHostCapacity",
        "AWS has no capacity for {address} now: {reason}",
        "run the same command again later, or set another type or region in pneumo.toml",
    ),
    Meaning(
        "unsupported type",
        r"api error Unsupported|not supported in your requested Availability Zone|is not offered in",
        "the type of {address} is not offered there: {reason}",
        "another type or region in pneumo.toml; pneumoctl doctor --target aws shows what is offered where",
    ),
    Meaning(
        "bucket name",
        r"creating S3 Bucket \((?P<name>[^)]+)\).*BucketAlreadyExists",
        "the bucket's name {name} is taken by another AWS account",
        "set bucket in pneumo.toml to another name; then " + AGAIN,
    ),
    Meaning(
        NOT_EMPTY,
        r"deleting S3 Bucket \((?P<name>[^)]+)\).*BucketNotEmpty",
        "something was written to the bucket {name} after it was emptied",
        AGAIN,
    ),
    Meaning(
        "state bucket",
        r'S3 bucket "(?P<name>[^"]+)" does not exist',
        "the bucket for terraform's state, {name}, does not exist",
        "aws s3 mb s3://{name} --region {region}, or correct state_bucket in pneumo.toml",
        Exit.PREFLIGHT,
    ),
    Meaning(
        "exists",
        r"InvalidKeyPair\.Duplicate|EntityAlreadyExists|ResourceAlreadyExists|BucketAlreadyOwnedByYou|"
        r"InvalidGroup\.Duplicate|ConflictException|AlreadyAssociated",
        "{address} is in AWS already, but not in this stack's state: {reason}",
        "if another machine has this stack's directory, work there; else take another name: --stack NAME",
    ),
    _aws("denied", r"not authorized to perform|UnauthorizedOperation|AccessDenied"),
    _aws("throttled", r"RequestLimitExceeded|Throttling|TooManyRequests|SlowDown|rate exceeded|Rate exceeded"),
    _aws("opt-in", r"(?P<code>OptInRequired|PendingVerification|SubscriptionRequired\w*)"),
    Meaning(
        "region",
        r"[Ii]nvalid AWS Region: (?P<name>[\w-]+)",
        "there is no AWS region {name}",
        "correct region in pneumo.toml, AWS_REGION or ~/.aws/config",
        Exit.PREFLIGHT,
    ),
    Meaning(
        "state lost",
        r"Failed to (?:persist|save) state|errored\.tfstate",
        "terraform could not store its state, and kept it in {directory}/errored.tfstate: {reason}",
        "repair that, then run the same command again: it stores the state first",
    ),
    Meaning(
        "state",
        r"Unsupported state file format|state file could not be|does not have the expected content|state with lineage|"
        r"state with serial|newer state|state snapshot was created by",
        "terraform's state is damaged or not this stack's: {reason}",
        _STATE,
    ),
    Meaning(
        "init",
        r"Required plugins are not installed|Inconsistent dependency lock|Backend initialization required|"
        r"provider binary|Could not load plugin|Missing required provider",
        "terraform's working copy was incomplete: {reason}",
        "run the same command again: it initialises the working copy",
    ),
    Meaning(
        "provider",
        r"Failed to (?:query available|install) provider|no available releases match|provider registry|"
        r"locked provider .* does not match",
        "terraform cannot install its AWS provider: {reason}",
        "check the network and the proxy (HTTPS_PROXY), or name a mirror in terraform's CLI configuration",
        Exit.PREFLIGHT,
    ),
    _aws("unreachable", r"no such host|connection refused|i/o timeout|network is unreachable|TLS handshake"),
)


def explained(errors: Sequence[Diagnostic], directory: Path, region: str, doing: str, **details: Any) -> PneumoError:
    """The PneumoError for terraform's errors. `doing`: what failed, as "terraform plan".

    The details have the `terraform` kind of the table, and the address and terraform's summary of each failure.
    """
    rows = [(*meaning, error) for error in errors if (meaning := _meaning(error))]
    if not rows:
        return _untranslated(errors, directory, doing, details)
    row, match, error = rows[0]
    values = _Values(
        _context(error, directory, region) | {name: text for name, text in match.groupdict().items() if text}
    )
    values["age"] = _age(values["created"])
    message = f"{doing} failed: {row.message.format_map(values)}"
    return PneumoError(message, row.hint.format_map(values), row.code, **_details(row.kind, errors), **details)


def _untranslated(errors: Sequence[Diagnostic], directory: Path, doing: str, details: Mapping[str, Any]) -> PneumoError:
    where = f"terraform -chdir={shlex.quote(str(directory))} plan"
    if not errors:
        return PneumoError(
            f"{doing} failed without an error message", f"{AGAIN}; or see: {where}", terraform="", **details
        )
    first = errors[0]
    at = f" at {first.address}" if first.address else ""
    message = f"{doing} failed{at}: {_short(first.summary)}" + (f": {_short(first.detail)}" if first.detail else "")
    return PneumoError(message, AGAIN, Exit.FAILED, **_details("", errors), **details)


def _meaning(error: Diagnostic) -> tuple[Meaning, re.Match[str]] | None:
    text = f"{error.summary}\n{error.detail}"
    for row in MEANINGS:
        if match := re.search(row.pattern, text, re.DOTALL):
            return row, match
    return None


class _Values(dict[str, str]):
    """The values for a message, with a substitute for each that AWS did not give."""

    def __missing__(self, key: str) -> str:
        return {"action": "an action", "code": "the request", "attempts": "many"}.get(key, "unknown")


def _context(error: Diagnostic, directory: Path, region: str) -> dict[str, str]:
    return {
        "directory": shlex.quote(str(directory)),
        "region": region,
        "address": error.address or "a resource",
        "reason": _short(f"{error.summary}\n{error.detail}"),
        "skew": "more than five minutes",
        "action": _action(f"{error.summary}\n{error.detail}"),
    }


def _action(text: str) -> str:
    """The IAM action that failed, by AWS's message, else by the provider's (operation error EC2: RunInstances)."""
    if named := re.search(r"not authorized to perform:? ([\w-]+:\w+)", text):
        return named[1]
    match = re.search(r"operation error ([\w ]+): (\w+)", text)
    return f"{match[1].lower().replace(' ', '')}:{match[2]}" if match else "an action"


def _short(text: str) -> str:
    """AWS's message in one line, without the provider's chain of wrappers."""
    words = re.sub(r"operation error .*?api error ", "", text, flags=re.DOTALL)
    line = " ".join(re.sub(r" ?Encoded authorization failure message: \S+", "", words).split())
    return line if len(line) <= 400 else f"{line[:400]}..."


def _age(created: str) -> str:
    """Terraform's `2026-11-22 23:09:24.965046104 +0000 UTC`, shortened, and how long ago that was."""
    try:
        since = datetime.strptime(created[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return created
    seconds = max(0, int((datetime.now(UTC) - since).total_seconds()))
    hours, minutes = seconds // 3600, seconds // 60 % 60
    ago = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
    return f"{since:%Y-%m-%d %H:%M:%S} UTC ({ago} ago)"


def _details(kind: str, errors: Sequence[Diagnostic]) -> dict[str, Any]:
    failed = [{"address": error.address, "summary": _short(error.summary)} for error in errors]
    return {"terraform": kind, "failed": failed}
