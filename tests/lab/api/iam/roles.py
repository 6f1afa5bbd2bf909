"""What an IAM role may do, according to its trust policy and its own policies."""

from collections.abc import Mapping
from typing import Any

from tests.lab.api.iam.policy import evaluate


def trusts(arn: str, service: str, source: str) -> bool:
    """Whether the role exists and a service may assume it on behalf of the resource `source`."""
    role = _role(arn)
    context = {"aws:sourceaccount": source.split(":")[4], "aws:sourcearn": source}
    document = role.assume_role_policy_document if role else '{"Statement": []}'
    return evaluate([document], "sts:AssumeRole", arn, context, service) == "allow"


def allows(arn: str, action: str, resource: str, tags: Mapping[str, str]) -> bool:
    """Whether the role's policies allow an action on a resource that has these tags."""
    role = _role(arn)
    if role is None:
        return False
    prefixes = ("aws:resourcetag/", "ec2:resourcetag/")
    context = {f"{prefix}{key.lower()}": value for prefix in prefixes for key, value in tags.items()}
    documents = [*role.policies.values(), *(policy.document for policy in role.managed_policies.values())]
    return evaluate(documents, action, resource, context) == "allow"


def _role(arn: str) -> Any:
    from moto.iam.models import iam_backends

    return next((role for role in iam_backends[arn.split(":")[4]]["aws"].get_roles() if role.arn == arn), None)
