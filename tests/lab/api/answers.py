"""Format an AWS error in the protocol of each service."""

import json
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tests.lab.api.request import Call

REQUEST_ID = "1ab00000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def document(status: int, value: object) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], (json.dumps(value, indent=1) + "\n").encode())


def error(call: Call, code: str, message: str, status: int) -> Answer:
    write = {"ec2": _ec2, "query": _query, "s3": _s3, "cbor": _cbor}.get(call.protocol, _json)
    answer = write(code, message, status)
    return Answer(answer.status, [*answer.headers, ("x-amzn-RequestId", REQUEST_ID)], answer.body)


def _ec2(code: str, message: str, status: int) -> Answer:
    text = f"<Response><Errors>{_pair(code, message)}</Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
    return _xml(status, text)


def _query(code: str, message: str, status: int) -> Answer:
    kind = "Sender" if status < 500 else "Receiver"
    pair = _pair(code, message, f"<Type>{kind}</Type>")
    return _xml(status, f"<ErrorResponse>{pair}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>")


def _s3(code: str, message: str, status: int) -> Answer:
    return _xml(status, _pair(code, message, f"<RequestId>{REQUEST_ID}</RequestId>"))


def _pair(code: str, message: str, more: str = "") -> str:
    return f"<Error>{more}<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"


def _xml(status: int, text: str) -> Answer:
    return Answer(status, [("Content-Type", "text/xml")], b'<?xml version="1.0" encoding="UTF-8"?>' + text.encode())


def _json(code: str, message: str, status: int) -> Answer:
    body = json.dumps({"__type": code, "message": message}).encode()
    return Answer(status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", code)], body)


def _cbor(code: str, message: str, status: int) -> Answer:
    body = b"\xa2" + b"".join(map(_cbor_text, ("__type", code, "message", message)))
    return Answer(status, [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")], body)


def _cbor_text(text: str) -> bytes:
    raw = text.encode()
    return b"\x79" + len(raw).to_bytes(2, "big") + raw
