"""IAM documents are evaluated as in AWS, for the features that the stack uses."""

import json
from typing import Any

import pytest

from tests.lab.api.iam.policy import evaluate

ALLOW = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}
ME = "arn:aws:iam::123456789012:user/lab"


def verdict(statements: Any, action: str = "s3:GetObject", principal: str = "", **context: str) -> str:
    conditions = {key.replace("_", ":"): value for key, value in context.items()}
    return evaluate([json.dumps({"Statement": statements})], action, "arn:aws:s3:::b/k", conditions, principal)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({}, "allow"),
        ({"Action": ["s3:PutObject", "S3:GETOBJECT"]}, "allow"),
        ({"Action": "s3:PutObject"}, "neutral"),
        ({"Resource": ["arn:aws:s3:::b", "arn:aws:s3:::c/*"]}, "neutral"),
        ({"Effect": "Deny"}, "deny"),
    ],
)
def test_actions_and_resources(statement: dict[str, Any], expected: str) -> None:
    assert verdict({**ALLOW, **statement}) == expected


def test_a_denial_outweighs_any_number_of_allowances() -> None:
    assert verdict([ALLOW, {**ALLOW, "Effect": "Deny"}, ALLOW]) == "deny"


def test_what_is_not_named() -> None:
    but = {"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}
    assert verdict(but) == "allow"
    assert verdict(but, "s3:DeleteObject") == "neutral"


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("*", "allow"),
        ({"AWS": "*"}, "allow"),
        ({"AWS": "123456789012"}, "allow"),
        ({"AWS": ["arn:aws:iam::123456789012:root"]}, "allow"),
        ({"AWS": ME}, "allow"),
        ({"AWS": "arn:aws:iam::999999999999:root"}, "neutral"),
        ({"Service": "scheduler.amazonaws.com"}, "neutral"),
    ],
)
def test_principals(principal: Any, expected: str) -> None:
    assert verdict({**ALLOW, "Principal": principal}, principal=ME) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, "neutral"),
        ({"Bool": {"aws:SecureTransport": True}}, "allow"),
        ({"StringEquals": {"aws:x": ["a", "b"]}}, "allow"),
        ({"StringEquals": {"aws:x": "a", "aws:y": "a"}}, "neutral"),
        ({"StringEqualsIfExists": {"aws:y": "a"}}, "allow"),
        ({"StringNotEquals": {"aws:x": "a"}}, "neutral"),
        ({"StringNotEquals": {"aws:y": "a"}}, "allow"),
        ({"StringLike": {"AWS:X": "?"}}, "allow"),
        ({"ArnLike": {"aws:x": "b*"}}, "neutral"),
        ({"Null": {"aws:y": "true"}}, "allow"),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, "neutral"),
    ],
)
def test_conditions(condition: dict[str, Any], expected: str) -> None:
    context = {"aws_securetransport": "true", "aws_x": "a", "s3_tlsversion": "1.3"}
    assert verdict({**ALLOW, "Condition": condition}, **context) == expected


def test_an_unknown_condition_is_an_error() -> None:
    with pytest.raises(NotImplementedError, match="DateLessThan"):
        verdict({**ALLOW, "Condition": {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}})
