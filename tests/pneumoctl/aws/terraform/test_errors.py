"""Every error of terraform that a user may see: its message, the next command and the exit code."""

import time
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.errors import MEANINGS, explained
from pneumoctl.aws.terraform.events import Diagnostic, errors_in
from pneumoctl.errors import Exit, PneumoError

HOST = 'aws_instance.host["train"]'
RUN = "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 400, RequestID: 1-2, "


def explain(summary: str, detail: str = "", address: str = HOST) -> PneumoError:
    return explained([Diagnostic("error", summary, detail, address)], Path("/st ack"), "eu-west-1", "terraform apply")


# What the provider says -> kind, exit code, words of the message, words of the hint.
SAID = [
    ("No valid credential sources found", "no credentials", 1, "no AWS credentials", "aws configure"),
    ("failed to get shared config profile, nobody", "profile", 4, "profile nobody cannot be used", "pneumo.toml"),
    ("The config profile (nobody) could not be found", "profile", 4, "profile nobody cannot be used", "list-profiles"),
    (
        "validating provider credentials: operation error STS: GetCallerIdentity, api error ExpiredToken: The token",
        "expired",
        1,
        "credentials have expired",
        "aws sso login",
    ),
    (
        "operation error STS: GetCallerIdentity, api error InvalidClientTokenId: The security token is invalid.",
        "invalid",
        1,
        "does not accept the credentials (InvalidClientTokenId from sts:GetCallerIdentity)",
        "aws sts get-caller-identity",
    ),
    ("api error RequestExpired: Signature expired: 1 is now earlier", "clock", 1, "clock is", "set-ntp"),
    (
        RUN
        + "api error UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:iam::1:u "
        "is not authorized to perform: ec2:RunInstances on resource: y. Encoded authorization failure message: AbC-d_1",
        "denied",
        1,
        "denies ec2:RunInstances",
        "have ec2:RunInstances allowed",
    ),
    (
        "creating IAM Role (r): operation error IAM: CreateRole, api error AccessDenied: User: a is not authorized to "
        "perform: iam:CreateRole on resource: role",
        "denied",
        1,
        "denies iam:CreateRole",
        "iam:CreateRole allowed",
    ),
    (
        "operation error S3: PutBucketPolicy, api error AccessDenied: no",
        "denied",
        1,
        "denies s3:PutBucketPolicy",
        "s3:Put",
    ),
    (
        RUN
        + "api error VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 0 allows",
        "vcpu",
        1,
        f"too small for {HOST}: creating EC2 Instance: VcpuLimitExceeded: You have requested more vCPU capacity",
        "pneumoctl doctor",
    ),
    (RUN + "api error InstanceLimitExceeded: 20", "instances", 1, "no more instances", "pneumoctl doctor"),
    ("api error AddressLimitExceeded: too many", "eip", 1, "no more elastic IPs in eu-west-1", "pneumoctl doctor"),
    ("api error VpcLimitExceeded: too many", "vpc", 1, "no more VPCs in eu-west-1", "pneumoctl doctor"),
    ("api error NatGatewayLimitExceeded: five", "nat", 1, "no more NAT gateways", "pneumoctl doctor"),
    (
        RUN + "api error Unsupported: Your requested instance type (g5.xlarge) is not supported in your requested "
        "Availability Zone (eu-west-1a).",
        "unsupported type",
        1,
        "g5.xlarge",
        "another type or region",
    ),
    (
        "Resource precondition failed\n\ng5.xlarge (train) is not offered in eu-west-1a.",
        "unsupported type",
        1,
        "g5.xlarge (train) is not offered in eu-west-1a",
        "pneumoctl doctor",
    ),
    (RUN + "api error InsufficientInstanceCapacity: We have no g5.xlarge", "capacity", 1, "no capacity", "later"),
    (
        "creating S3 Bucket (my-bucket): operation error S3: CreateBucket, BucketAlreadyExists: The bucket name",
        "bucket name",
        1,
        "my-bucket is taken",
        "set bucket in pneumo.toml",
    ),
    (
        "deleting S3 Bucket (my-bucket): operation error S3: DeleteBucket, https response error StatusCode: 409, api "
        "error BucketNotEmpty: The bucket you tried to delete is not empty",
        "bucket not empty",
        1,
        "written to the bucket my-bucket",
        "run the same command again",
    ),
    (
        'Failed to get existing workspaces: S3 bucket "states" does not exist.',
        "state bucket",
        4,
        "states, does not exist",
        "aws s3 mb s3://states --region eu-west-1",
    ),
    ("operation error EC2: RunInstances, api error RequestLimitExceeded: slow", "throttled", 1, "throttles", "wait"),
    ("operation error IAM: CreateRole, api error Throttling: Rate exceeded", "throttled", 1, "iam:CreateRole", "wait"),
    ("api error InvalidKeyPair.Duplicate: The keypair already exists", "exists", 1, "in AWS already", "--stack NAME"),
    (
        "api error EntityAlreadyExists: Role with name r already exists.",
        "exists",
        1,
        "Role with name r",
        "--stack NAME",
    ),
    ("api error OptInRequired: not subscribed", "opt-in", 1, "not signed up", "sign-up"),
    ("Invalid AWS Region: eu-wast-1", "region", 4, "no AWS region eu-wast-1", "correct region"),
    ("Failed to save state: no space left", "state lost", 1, "'/st ack'/errored.tfstate", "stores the state first"),
    ("Unsupported state file format: syntax error", "state", 1, "damaged", ".backup"),
    (
        "Failed to install provider: Error while installing hashicorp/aws: could not query provider registry",
        "provider",
        4,
        "cannot install its AWS provider",
        "mirror",
    ),
    ("Saved plan is stale", "stale plan", 1, "out of date", "plan again"),
    ("Inconsistent dependency lock file", "init", 1, "incomplete", "same command again"),
    (
        "operation error EC2: DescribeVpcs, dial tcp: lookup ec2.eu-west-1.amazonaws.com: no such host",
        "unreachable",
        1,
        "cannot be reached in eu-west-1",
        "network",
    ),
]


@pytest.mark.parametrize(
    ("output", "kind", "code", "message", "hint"), SAID, ids=[f"{one[1]}-{n}" for n, one in enumerate(SAID)]
)
def test_each_error_has_its_message_its_next_command_and_its_exit_code(
    output: str, kind: str, code: int, message: str, hint: str
) -> None:
    error = explain(output)
    assert error.details["terraform"] == kind
    assert error.code == code
    assert message in error.message
    assert hint in error.hint
    assert "Encoded" not in error.message and "{" not in error.message + error.hint


def test_every_row_of_the_table_is_tested_here() -> None:
    assert {row.kind for row in MEANINGS} == {one[1] for one in SAID} | {"locked", "locked here"}


def lock_info(error: str, path: str, created: float) -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(created))
    return (
        f"Error message: {error}\nLock Info:\n  ID:        26b0c2b9-9e6c\n  Path:      {path}\n"
        f"  Operation: OperationTypeApply\n  Who:       ann@laptop\n  Version:   1.11.4\n"
        f"  Created:   {stamp}.965046104 +0000 UTC\n  Info:      \n\n\nTerraform acquires a state lock ..."
    )


def test_a_stale_lock_is_shown_with_holder_age_and_the_exact_command() -> None:
    detail = lock_info(
        "operation error S3: PutObject, api error PreconditionFailed: x", "b/k", time.time() - 2 * 3600 - 61
    )
    error = explain("Error acquiring the state lock", detail)
    assert error.code == Exit.LOCKED
    assert "by ann@laptop since " in error.message and "(2 h 1 min ago)" in error.message
    assert "OperationTypeApply on b/k" in error.message
    assert error.hint.endswith("terraform -chdir='/st ack' force-unlock 26b0c2b9-9e6c")


def test_a_lock_of_a_living_process_here_is_waited_for() -> None:
    error = explain(
        "Error acquiring the state lock", lock_info("resource temporarily unavailable", "t", time.time() - 5)
    )
    assert error.code == Exit.LOCKED and "force-unlock" not in error.hint and "(0 min 5 s ago)" in error.message


def test_an_unknown_error_is_shown_in_terraforms_words() -> None:
    error = explain("creating X: odd", "because\n  of that", "aws_vpc.main")
    assert error.message == "terraform apply failed at aws_vpc.main: creating X: odd: because of that"
    assert error.details["failed"] == [{"address": "aws_vpc.main", "summary": "creating X: odd"}]


def test_of_several_errors_the_known_one_comes_first_and_all_are_listed() -> None:
    errors = [
        Diagnostic("error", "odd", "", "a.b"),
        Diagnostic("error", "api error VpcLimitExceeded: x", "", "aws_vpc.main"),
    ]
    error = explained(errors, Path("/s"), "r", "terraform apply")
    assert "no more VPCs" in error.message
    assert [failure["address"] for failure in error.details["failed"]] == ["a.b", "aws_vpc.main"]  # type: ignore[attr-defined]


def test_no_error_at_all() -> None:
    error = explained([], Path("/s"), "r", "terraform apply (ended by signal 9)")
    assert error.message == "terraform apply (ended by signal 9) failed without an error message"
    assert "terraform -chdir=/s plan" in error.hint


def test_a_long_message_is_truncated() -> None:
    assert len(explain("x" * 3000).message) < 600


def test_errors_in_text_for_people() -> None:
    framed = "\x1b[31m╷\x1b[0m\n\x1b[31m│\x1b[0m \x1b[1mError: \x1b[0mOne thing\n│ \n│ with detail\n╵\n"
    plain = "Initializing...\n\nError: First\n\ndetail one\nmore\n\nError: Second\n\n"
    assert errors_in(framed) == [Diagnostic("error", "One thing", "with detail")]
    assert errors_in(plain) == [Diagnostic("error", "First", "detail one\nmore"), Diagnostic("error", "Second", "")]
    assert errors_in("Failed to load state\n") == [Diagnostic("error", "Failed to load state", "")]
    assert errors_in("  \n") == []
