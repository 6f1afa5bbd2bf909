"""The command that pushes a data set, and what is then in the bucket."""

from typing import Any

import pytest

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from tests.pneumoctl.command_documents import document_of

NAME = "pneumoctl-pushed-of-a-test"
PATIENT = "person7_bacteria_1"


def push(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    return document_of(capsys, "data", "push", *words, code=code)


def keys(aws: Aws) -> dict[str, Any]:
    return {item.key: item.modified for item in s3.objects(aws, NAME, ("data/",))}
