"""Parse a request to AWS: service, action, whether it changes anything, and the client."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote

READING = re.compile("(Describe|Get|List|Head|Lookup|BatchGet|Search|Simulate|Check|Filter|Estimate|Decode)")
AGENTS = {  # the first one that occurs in the User-Agent; the lab's own calls are not counted as the operator's
    "pneumoctl-lab": "lab",
    "terraform-provider-aws": "terraform",
    "Terraform/": "terraform-backend",
    "aws-cli": "aws-cli",
    "Boto3": "boto3",
    "Botocore": "boto3",
}


@dataclass(frozen=True)
class Request:
    """One HTTP request with its body. Header names are in lower case; the query is as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    source: str = ""


@dataclass(frozen=True)
class Call:
    """A call to AWS. `service`: the signing name. `target`: the path in S3, empty for other services."""

    service: str
    action: str
    region: str
    protocol: str
    mutating: bool
    agent: str
    source: str
    target: str
    parameters: Mapping[str, str]


def read(request: Request) -> Call:
    service, region = _scope(request)
    protocol = _protocol(request, service)
    parameters = _parameters(request, protocol)
    action = _action(request, service, protocol, parameters)
    return Call(
        service=service,
        action=action,
        region=region,
        protocol=protocol,
        mutating=_mutating(request, service, action, parameters),
        agent=_agent(request.headers.get("user-agent", "")),
        source=request.source,
        target=_s3_path(request) if service == "s3" else "",
        parameters=parameters,
    )


def _scope(request: Request) -> tuple[str, str]:
    """Service and region from the signature; only S3 accepts requests without a signature."""
    signed = re.search(r"Credential=[^,\s]+", request.headers.get("authorization", ""))
    scope = signed.group() if signed else "".join(parse_qs(request.query).get("X-Amz-Credential", []))
    parts = scope.split("/")
    return (parts[3], parts[2]) if len(parts) >= 5 else ("s3", "us-east-1")


def _protocol(request: Request, service: str) -> str:
    if "smithy-protocol" in request.headers:
        return "cbor"
    if "x-amz-target" in request.headers:
        return "json"
    if service in ("ec2", "s3"):
        return service
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return "query" if form else "rest-json"


def _parameters(request: Request, protocol: str) -> Mapping[str, str]:
    if protocol not in ("ec2", "query"):
        return {}
    return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))


def _action(request: Request, service: str, protocol: str, parameters: Mapping[str, str]) -> str:
    if protocol in ("ec2", "query"):
        return parameters.get("Action", "")
    if protocol == "json":
        return request.headers["x-amz-target"].rpartition(".")[2]
    if protocol == "cbor":
        return request.path.rpartition("/")[2]
    path = _s3_path(request) if service == "s3" else request.path
    return operation(service, request.method, path, request.query, request.headers)


def _mutating(request: Request, service: str, action: str, parameters: Mapping[str, str]) -> bool:
    if service == "s3":
        return request.method not in ("GET", "HEAD", "OPTIONS")
    if service == "sts" or parameters.get("DryRun", "").lower() == "true":
        return False
    return not READING.match(action)


def _agent(text: str) -> str:
    return next((kind for mark, kind in AGENTS.items() if mark in text), text.split("/")[0][:40])


def bucket_host(host: str) -> str:
    """The bucket at the start of a host name (`BUCKET.s3.amazonaws.com`, `BUCKET.localhost`), else empty."""
    name = host.partition(":")[0]
    match = re.fullmatch(r"(.+?)\.(?:s3[.-].+|s3|localhost)", name)
    return match.group(1) if match and not re.fullmatch(r"[0-9.]+", name) else ""


def _s3_path(request: Request) -> str:
    bucket = bucket_host(request.headers.get("host", ""))
    path = unquote(request.path)
    return f"/{bucket}{path}" if bucket else path


# --- REST: the action is found in botocore's model of the service -----------------------------------------------------


@dataclass(frozen=True)
class _Operation:
    name: str
    method: str
    path: re.Pattern[str]
    literals: tuple[tuple[str, str], ...]
    queries: tuple[str, ...]
    headers: tuple[str, ...]
    rank: tuple[int, int, bool]


def operation(service: str, method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
    """The operation whose required parts match most of the request; `GET /path` for an unknown service."""
    sent = dict(parse_qsl(query, keep_blank_values=True))
    candidates = [
        candidate
        for candidate in _operations(service)
        if candidate.method == method
        and candidate.path.fullmatch(path)
        and all(sent.get(key) == value or (not value and key in sent) for key, value in candidate.literals)
        and all(key in sent for key in candidate.queries)
        and all(key in headers for key in candidate.headers)
    ]
    named = [candidate for candidate in candidates if candidate.name == sent.get("x-id")]
    best = max(named or candidates, key=lambda candidate: candidate.rank, default=None)
    return best.name if best else f"{method} {path}"


@cache
def _operations(service: str) -> list[_Operation]:
    import botocore.exceptions
    import botocore.session

    try:
        model = botocore.session.get_session().get_service_model(service)
    except botocore.exceptions.UnknownServiceError:
        return []
    return [_modelled(model.operation_model(name)) for name in sorted(model.operation_names)]


def _modelled(model: Any) -> _Operation:
    path, _, query = model.http["requestUri"].partition("?")
    shape = model.input_shape
    required = [shape.members[name].serialization for name in shape.required_members] if shape else []
    queries = tuple(field["name"] for field in required if field.get("location") == "querystring")
    headers = tuple(field["name"].lower() for field in required if field.get("location") == "header")
    literals = tuple(pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != "x-id")
    fixed = len(re.sub(r"\{[^}]+\}", "", path))
    rank = (len(literals) + len(queries) + len(headers), fixed, not model.deprecated)
    return _Operation(model.name, model.http["method"], _pattern(path), literals, queries, headers, rank)


def _pattern(path: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{[^}]+\})", path.rstrip("/"))
    kinds = [
        ".+" if piece.endswith("+}") else "[^/]+" if piece.startswith("{") else re.escape(piece) for piece in pieces
    ]
    return re.compile("".join(kinds) + "/?", re.DOTALL)
