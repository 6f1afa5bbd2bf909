"""Evaluate a request against IAM policy documents: bucket policies, and those of a schedule's role."""

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

Verdict = Literal["allow", "deny", "neutral"]
Context = Mapping[str, str]  # condition keys in lower case


def evaluate(documents: Iterable[str], action: str, resource: str, context: Context, principal: str = "") -> Verdict:
    """Evaluate a request. `principal` empty: the documents are identity policies, which name no principal."""
    verdict: Verdict = "neutral"
    for document in documents:
        for statement in _as_list(json.loads(document)["Statement"]):
            if not _applies(statement, action, resource, context, principal):
                continue
            if statement["Effect"] == "Deny":
                return "deny"
            verdict = "allow"
    return verdict


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Context, principal: str) -> bool:
    return (
        _element(statement, "Action", action.lower(), str.lower)
        and _element(statement, "Resource", resource, str)
        and (not principal or _principal(statement, principal))
        and all(_holds(operator, expected, context) for operator, expected in statement.get("Condition", {}).items())
    )


def _element(statement: Mapping[str, Any], name: str, value: str, normalize: Callable[[str], str]) -> bool:
    """Whether an element of a statement matches. A trust policy has no Resource: it applies to its role."""
    if f"Not{name}" in statement:
        return not any(fnmatchcase(value, normalize(pattern)) for pattern in _as_list(statement[f"Not{name}"]))
    return name not in statement or any(fnmatchcase(value, normalize(pattern)) for pattern in _as_list(statement[name]))


def _principal(statement: Mapping[str, Any], principal: str) -> bool:
    """Whether a statement names `principal`, a service or an ARN. The root of the ARN's account includes it."""
    if "NotPrincipal" in statement:
        raise NotImplementedError("NotPrincipal in a policy")
    expected = statement.get("Principal", {})
    if expected == "*":
        return True
    account = principal.split(":")[4] if principal.startswith("arn:") else ""
    names = {"*", principal, account, f"arn:aws:iam::{account}:root"}
    return any(names & set(_as_list(value)) for value in expected.values())


def _holds(operator: str, expected: Mapping[str, Any], context: Context) -> bool:
    lenient = operator.endswith("IfExists")
    compare = OPERATORS.get(operator.removesuffix("IfExists"))
    if compare is None:
        raise NotImplementedError(f"the condition {operator} in a policy")
    return all(
        (lenient and key.lower() not in context)
        or compare(context.get(key.lower()), [str(value) for value in _as_list(values)])
        for key, values in expected.items()
    )


def _equal(value: str | None, expected: list[str]) -> bool:
    return value is not None and value in expected


def _like(value: str | None, expected: list[str]) -> bool:
    return value is not None and any(fnmatchcase(value, pattern) for pattern in expected)


def _bool(value: str | None, expected: list[str]) -> bool:
    return value is not None and value.lower() in [text.lower() for text in expected]


OPERATORS: Mapping[str, Callable[[str | None, list[str]], bool]] = {
    "StringEquals": _equal,
    "StringNotEquals": lambda value, expected: not _equal(value, expected),
    "StringLike": _like,
    "StringNotLike": lambda value, expected: not _like(value, expected),
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _bool,
    "Null": lambda value, expected: _bool("true" if value is None else "false", expected),
    "NumericLessThan": lambda value, expected: value is not None and float(value) < float(expected[0]),
    "NumericGreaterThan": lambda value, expected: value is not None and float(value) > float(expected[0]),
}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
