"""Evaluate a request against IAM policy documents: bucket policies, and those of a schedule's role."""

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

Verdict = Literal["allow", "deny", "neutral"]
Context = Mapping[str, str]  # condition keys in lower case


def judge(documents: Iterable[str], action: str, resource: str, context: Context, principal: str = "") -> Verdict:
    """Evaluate a request. `principal` empty: the documents are identity policies, which name no principal."""
    verdict: Verdict = "neutral"
    for document in documents:
        for statement in _listed(json.loads(document)["Statement"]):
            if not _concerns(statement, action, resource, context, principal):
                continue
            if statement["Effect"] == "Deny":
                return "deny"
            verdict = "allow"
    return verdict


def _concerns(statement: Mapping[str, Any], action: str, resource: str, context: Context, principal: str) -> bool:
    return (
        _element(statement, "Action", action.lower(), str.lower)
        and _element(statement, "Resource", resource, str)
        and (not principal or _principal(statement, principal))
        and all(_holds(operator, wanted, context) for operator, wanted in statement.get("Condition", {}).items())
    )


def _element(statement: Mapping[str, Any], name: str, value: str, fold: Callable[[str], str]) -> bool:
    """Whether an element of a statement matches. A trust policy has no Resource: it applies to its role."""
    if f"Not{name}" in statement:
        return not any(fnmatchcase(value, fold(pattern)) for pattern in _listed(statement[f"Not{name}"]))
    return name not in statement or any(fnmatchcase(value, fold(pattern)) for pattern in _listed(statement[name]))


def _principal(statement: Mapping[str, Any], principal: str) -> bool:
    """Whether a statement names `principal`, a service or an ARN. The root of the ARN's account includes it."""
    if "NotPrincipal" in statement:
        raise NotImplementedError("NotPrincipal in a policy")
    wanted = statement.get("Principal", {})
    if wanted == "*":
        return True
    account = principal.split(":")[4] if principal.startswith("arn:") else ""
    names = {"*", principal, account, f"arn:aws:iam::{account}:root"}
    return any(names & set(_listed(value)) for value in wanted.values())


def _holds(operator: str, wanted: Mapping[str, Any], context: Context) -> bool:
    lenient = operator.endswith("IfExists")
    compare = OPERATORS.get(operator.removesuffix("IfExists"))
    if compare is None:
        raise NotImplementedError(f"the condition {operator} in a policy")
    return all(
        (lenient and key.lower() not in context)
        or compare(context.get(key.lower()), [str(value) for value in _listed(values)])
        for key, values in wanted.items()
    )


def _equal(value: str | None, wanted: list[str]) -> bool:
    return value is not None and value in wanted


def _like(value: str | None, wanted: list[str]) -> bool:
    return value is not None and any(fnmatchcase(value, pattern) for pattern in wanted)


def _bool(value: str | None, wanted: list[str]) -> bool:
    return value is not None and value.lower() in [text.lower() for text in wanted]


OPERATORS: Mapping[str, Callable[[str | None, list[str]], bool]] = {
    "StringEquals": _equal,
    "StringNotEquals": lambda value, wanted: not _equal(value, wanted),
    "StringLike": _like,
    "StringNotLike": lambda value, wanted: not _like(value, wanted),
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _bool,
    "Null": lambda value, wanted: _bool("true" if value is None else "false", wanted),
    "NumericLessThan": lambda value, wanted: value is not None and float(value) < float(wanted[0]),
    "NumericGreaterThan": lambda value, wanted: value is not None and float(value) > float(wanted[0]),
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
