"""The faults that can be switched on: calls that fail, wait or get no answer, and limits of the simulated account.

A fault is a JSON object with a `kind`:

| kind | what happens | fields |
|---|---|---|
| error | matching calls fail | code, status (400), message |
| denied, throttled, expired, invalid | the same, with the service's own code and status | |
| slow | matching calls wait first | seconds |
| down | the connection is closed without an answer | |
| quota | Service Quotas reports this value and EC2 enforces it | name (`L-DB2E81BA`), value |
| not-offered | an instance type is not offered, in the region or in one zone | name (`g5.xlarge`), zone ("" = region) |
| bucket-taken | a bucket's name belongs to another account | name |
| skew | the Date of all answers is wrong | seconds |
| no-capacity | EC2 has none of an instance type left, in the region or in one zone | name, zone ("" = region) |
| no-console | EC2 shows no console output | name (a host's id, "" = all) |
| deprecated | images are only listed if deprecated ones are asked for | name (an image's id, "" = all) |
| deregistered | an image is not listed, and no instance can be made from it | name (an image's id) |
| no-user-data | a new host boots without its user data, as when cloud-init fails | name (`train`) |

Faults that match calls have the fields `service` (signing name), `action`, `agent` and `source` (globs, default `*`),
`after` (this number of matching calls pass first) and `times` (this number of calls fail; absent: all). The provider
waits longer before each retry of a call: one call throttled 12 times takes minutes, 12 calls throttled once seconds.
"""

import itertools
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.lab.api.answers import Answer, error
from tests.lab.api.request import Call

EXPIRED = "The security token included in the request is expired"
DENIED = (
    "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/lab is not authorized to "
    "perform: {service}:{action} because no identity-based policy allows the {service}:{action} action"
)
CODES: Mapping[str, Mapping[str, tuple[str, int]]] = {  # kind -> protocol -> code and status
    "denied": {
        "ec2": ("UnauthorizedOperation", 403),
        "query": ("AccessDenied", 403),
        "s3": ("AccessDenied", 403),
        "json": ("AccessDeniedException", 400),
        "rest-json": ("AccessDeniedException", 403),
        "cbor": ("AccessDenied", 403),
    },
    "throttled": {
        "ec2": ("RequestLimitExceeded", 503),
        "query": ("Throttling", 400),
        "s3": ("SlowDown", 503),
        "json": ("ThrottlingException", 400),
        "rest-json": ("ThrottlingException", 429),
        "cbor": ("Throttling", 400),
    },
    "expired": {
        "ec2": ("RequestExpired", 400),
        "query": ("ExpiredToken", 403),
        "s3": ("ExpiredToken", 400),
        "json": ("ExpiredTokenException", 400),
        "rest-json": ("ExpiredTokenException", 403),
        "cbor": ("ExpiredToken", 403),
    },
    "invalid": {
        "ec2": ("AuthFailure", 401),
        "query": ("InvalidClientTokenId", 403),
        "s3": ("InvalidAccessKeyId", 403),
        "json": ("UnrecognizedClientException", 400),
        "rest-json": ("UnrecognizedClientException", 403),
        "cbor": ("InvalidClientTokenId", 403),
    },
}
MESSAGES = {
    "denied": DENIED,
    "throttled": "Request limit exceeded.",
    "expired": EXPIRED,
    "invalid": "The security token included in the request is invalid.",
}
CALL_FAULTS = {"error", "slow", "down", "bucket-taken", *CODES}
STATES = {"quota", "not-offered", "skew", "no-console", "no-user-data", "deprecated", "deregistered", "no-capacity"}


@dataclass
class Fault:
    kind: str
    service: str = "*"
    action: str = "*"
    agent: str = "*"
    source: str = "*"
    after: int = 0
    times: int | None = None
    code: str = "InternalError"
    status: int = 400
    message: str = "A fault of the lab"
    seconds: float = 0.0
    name: str = ""
    value: float = 0.0
    zone: str = ""
    id: int = 0
    matched: int = 0

    def matches(self, call: Call) -> bool:
        if self.kind == "bucket-taken":
            return call.service == "s3" and call.target.split("/")[1] == self.name
        pairs = ((call.service, self.service), (call.action, self.action), (call.agent, self.agent))
        return fnmatchcase(call.source, self.source) and all(fnmatchcase(*pair) for pair in pairs)

    def answer(self, call: Call) -> Answer | None:
        """The answer to a call that matched a fault; None: no answer at all."""
        if self.kind == "down":
            return None
        if self.kind == "bucket-taken":
            return _taken(call)
        if self.kind == "error":
            return error(call, self.code, self.message, self.status)
        code, status = CODES[self.kind][call.protocol]
        return error(call, code, MESSAGES[self.kind].format(service=call.service, action=call.action), status)


def _taken(call: Call) -> Answer:
    if call.action == "CreateBucket":
        message = "The requested bucket name is not available. Please select a different name and try again."
        return error(call, "BucketAlreadyExists", message, 409)
    return Answer(403) if call.action.startswith("Head") else error(call, "AccessDenied", "Access Denied", 403)


class ActiveFaults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, description: Mapping[str, Any]) -> Fault:
        """Switch a fault on. Raises ValueError if the description of the fault is wrong."""
        if description.get("kind") not in CALL_FAULTS | STATES:
            raise ValueError(f"kind {description.get('kind')!r} is none of {', '.join(sorted(CALL_FAULTS | STATES))}")
        try:
            fault = Fault(**{**description, "id": next(self._ids), "matched": 0})
        except TypeError as wrong:
            raise ValueError(str(wrong)) from None
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self, number: int | None = None) -> int:
        """Switch one fault off, or all. Returns how many were switched off."""
        with self._lock:
            remaining = [fault for fault in self._faults if number not in (None, fault.id)]
            gone = len(self._faults) - len(remaining)
            self._faults = remaining
        return gone

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def matching(self, call: Call) -> list[Fault]:
        """The faults that match this call, also those of kind `slow`. The lab's own calls match none."""
        if call.agent == "lab":
            return []
        with self._lock:
            return [
                fault for fault in self._faults if fault.kind in CALL_FAULTS and fault.matches(call) and _due(fault)
            ]

    def quota(self, code: str) -> float | None:
        values = [fault.value for fault in self._of("quota") if fault.name == code]
        return values[-1] if values else None

    def offered(self, kind: str, zone: str) -> bool:
        """Whether an instance type is offered in a zone (zone empty: anywhere in the region)."""
        return not any(fault.name == kind and fault.zone in ("", zone) for fault in self._of("not-offered"))

    def has_capacity(self, kind: str, zone: str) -> bool:
        """Whether EC2 can launch an instance of a type in a zone."""
        return not any(fault.name == kind and fault.zone in ("", zone) for fault in self._of("no-capacity"))

    def applies(self, kind: str, name: str) -> bool:
        """Whether a fault of this kind is on for something of that name."""
        return any(fault.name in ("", name) for fault in self._of(kind))

    def skew(self) -> float:
        return sum(fault.seconds for fault in self._of("skew"))

    def _of(self, kind: str) -> list[Fault]:
        with self._lock:
            return [fault for fault in self._faults if fault.kind == kind]


def _due(fault: Fault) -> bool:
    """Count a match. Whether the fault applies: not to the first `after` calls, then to `times` calls."""
    fault.matched += 1
    beyond = fault.matched - fault.after
    return beyond > 0 and (fault.times is None or beyond <= fault.times)
