"""The client of a stack's API; the only module of the command line that speaks HTTP to it."""

import json
import re
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

from model.schema import Invalid
from model.serving import unix_socket
from model.serving.prediction import OUTSIDE_USE, Prediction, Scoring, checked_prediction, current
from pneumoctl.errors import PneumoError
from pneumoctl.stack import audit

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
ATTEMPTS = 4  # of a request that the API answers with 429 or 503, or whose connection breaks
LONGEST_WAIT = 30.0  # seconds; a longer Retry-After is cut to this
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_OPERATOR = "X-Pneumo-Operator"  # for the trail of clinical acts; an earlier API ignores it
OTHER_VERSION = "pneumoctl up (the API may be of another version)"


class Refused(PneumoError):
    """The API refused a request. `status`: of its answer; `reason`: what it says."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.reason = status, _problem(status, body)
        super().__init__(f"the API refused the request: {self.reason}", _hint(status))


class Endpoint(NamedTuple):
    """The address of an API. On this machine its socket is used, because another program may have taken its port."""

    url: str
    token: str
    socket: Path | None = None


class ApiClient:
    """The prediction API of one stack. Every failure raises PneumoError; a failure never looks like a finding."""

    def __init__(self, url: str, token: str, connections: int = 1, socket: Path | None = None) -> None:
        import urllib3

        self.url = url.rstrip("/")
        self._socket = socket
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", _OPERATOR: _operator()}
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        pool = partial(unix_socket.pool, socket) if socket else urllib3.PoolManager
        self._pool = pool(maxsize=connections, timeout=timeout, retries=False)

    @classmethod
    def of(cls, endpoint: Endpoint) -> "ApiClient":
        """The client of an endpoint."""
        return cls(endpoint.url, endpoint.token, socket=endpoint.socket)

    def score(self, content: bytes, file: str, path: str | None = None) -> Prediction:
        """The prediction document of one picture. Its `path` is sent, of which the stack shows the folder, too.

        Without one, only the file name is sent.
        """
        name = (path or PurePath(file).name).encode("utf-8", "replace").decode() or "picture"
        status, body = self._ask("POST", "/v1/predictions", {"file": (name, content, "application/octet-stream")})
        if status != 201:
            raise Refused(status, body)
        return _document(body)

    def stored(self, identifier: str) -> Prediction | None:
        """The prediction document that the API has stored under an id, None if there is none."""
        status, body = self._ask("GET", f"/v1/predictions/{identifier}", None)
        if status == 404:
            return None
        if status != 200:
            raise Refused(status, body)
        return _document(b'{"predictions": [%b]}' % body)

    def page(self, cursor: str | None, rows: int, chosen: Mapping[str, str]) -> Any:
        """A page of a list of results as the API sent it for an export; `rows`: at most 100.

        `chosen`: the parameters of the API that narrow and order the list; none: all results, newest first.
        """
        query = "?" + urlencode({**chosen, "limit": str(rows)} | ({"cursor": cursor} if cursor else {}))
        status, body = self._ask("GET", f"/v1/predictions{query}", None, more={"X-Pneumo-Export": "1"})
        if status != 200:
            raise Refused(status, body)
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise PneumoError("the API's answer is no list of results", "pneumoctl status") from error

    def exchange(self, method: str, path: str, sent: Any = None) -> Any:
        """The API's answer to a JSON document; None if the answer has no body.

        Raises Refused. A request whose connection breaks is not repeated: it may have been carried out.
        """
        status, answer = self._ask(method, path, None, None if sent is None else json.dumps(sent).encode(), False)
        if not 200 <= status < 300:
            raise Refused(status, answer)
        try:
            return json.loads(answer) if answer else None
        except (ValueError, RecursionError) as error:
            raise PneumoError("the API's answer is not JSON", OTHER_VERSION) from error

    def trail(self, after: int, limit: int, chain: str = "") -> Any:
        """A part of the trail of clinical acts, as the API sent it; `limit`: at most 1000. `chain`: an imported one."""
        query = f"?after={after}&limit={limit}" + (f"&chain={chain}" if chain else "")
        status, body = self._ask("GET", f"/v1/trail{query}", None)
        if status == 404 and not chain:
            raise PneumoError("the API of the stack has no trail of clinical acts", OTHER_VERSION)
        if status == 404:
            return {"entries": [], "next": None}
        if status != 200:
            raise Refused(status, body)
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise PneumoError("the API's answer is no trail of clinical acts", "pneumoctl status") from error

    def picture(self, identifier: str) -> bytes | None:
        """The picture stored with a result, a whole PNG; None if none is stored. Raises PneumoError."""
        status, body = self._ask("GET", f"/v1/predictions/{identifier}/image.png", None)
        if status == 404:
            return None
        if status != 200:
            raise PneumoError(f"the API refused the request: {_problem(status, body)}", _hint(status))
        if not body.startswith(b"\x89PNG") or not body.endswith(b"IEND\xaeB`\x82"):
            raise PneumoError("the picture from the API is cut off or damaged", "pneumoctl logs api")
        return body

    def review_time(self, identifier: str, label: str, reviewer: str | None) -> str:
        """When the review of a result that counts was made (ISO 8601). Raises PneumoError if it is not that one."""
        answer = self.exchange("GET", f"/v1/predictions/{identifier}/feedback")
        try:
            entries = [] if answer["damaged"] else answer["feedback"]
            last = next((each for each in reversed(entries) if not each["withdrawn"]), None)
            if last is None or (last["label"], last["who"]) != (label, reviewer):
                raise PneumoError("the review was changed meanwhile", "try again")
            return str(last["created"])
        except (KeyError, TypeError) as error:
            raise PneumoError("the API's answer is no list of reviews", OTHER_VERSION) from error

    def scoring(self) -> Scoring:
        """The version of the model that the API scores with, and its setting `outside_use`."""
        status, body = self._ask("GET", "/readyz", None)
        if status != 200:
            raise PneumoError(f"the API is not ready: {_problem(status, body)}", _hint(status))
        try:
            model = json.loads(body)["checks"]["model"]
            version, outside_use = model["version"], model.get("outside_use", OUTSIDE_USE[0])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PneumoError("the API does not report the version of its model", "pneumoctl status") from error
        if not isinstance(version, str) or not version:
            raise PneumoError("the API does not report the version of its model", "pneumoctl status")
        if outside_use not in OUTSIDE_USE:
            raise PneumoError("the API reports an unknown value of its setting outside_use", OTHER_VERSION)
        return Scoring(version, outside_use)

    def _ask(
        self,
        method: str,
        path: str,
        fields: dict[str, Any] | None,
        document: bytes | None = None,
        repeat: bool = True,
        more: Mapping[str, str] = _NO_HEADERS,
    ) -> tuple[int, bytes]:
        import urllib3

        url = f"{self.url}{path}"
        headers = self._headers | ({"Content-Type": "application/json"} if document else {})
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                content: dict[str, Any] = {"body": document} if document else {"fields": fields}
                response = self._pool.request(method, url, headers={**headers, **more}, redirect=False, **content)
            except urllib3.exceptions.NewConnectionError as error:
                raise self._unreached(error) from error
            except urllib3.exceptions.HTTPError as error:
                # A picture has one id however often it is posted, so a broken connection may be retried.
                if last or not repeat or not isinstance(error, urllib3.exceptions.ProtocolError):
                    message = f"the API at {self.url} does not answer: {_cause(error)}"
                    raise PneumoError(message, "pneumoctl status") from error
                time.sleep(_wait(None, attempt))
                continue
            if last or response.status not in (429, 503):
                break
            time.sleep(_wait(response.headers.get("Retry-After"), attempt))
        return int(response.status), bytes(response.data)

    def _unreached(self, error: Exception) -> PneumoError:
        if self._socket:
            return PneumoError(f"the API of the stack does not run: {_cause(error)}", "pneumoctl up")
        return PneumoError(f"the API at {self.url} does not answer: {_cause(error)}", "pneumoctl status")


def _operator() -> str:
    """Who runs this command, as in the record of changes; a character that the API does not take is an underscore."""
    return re.sub(r"[^A-Za-z0-9_.@-]", "_", audit.current_user())[:128]


def _wait(retry_after: str | None, attempt: int) -> float:
    """Seconds to wait before the next attempt: what the API asks for, else 1, 2, 4."""
    asked = int(retry_after) if retry_after and retry_after.isdecimal() else 2**attempt
    return min(float(asked), LONGEST_WAIT)


def _document(body: bytes) -> Prediction:
    """The one prediction in the API's answer to one picture, checked in every field."""
    try:
        answer = json.loads(body)
        (document,) = answer["predictions"]
        if answer.get("errors"):
            raise Invalid("it lists errors beside the prediction")
        return checked_prediction(current(document))
    except Invalid as error:
        message = f"the API's answer is not a valid prediction: {error}"
        raise PneumoError(message, OTHER_VERSION) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PneumoError("the API's answer is not a valid prediction", "pneumoctl status") from error


def _problem(status: int, body: bytes) -> str:
    """Status, title and detail of a problem document (RFC 9457); the status alone if the body is no such document."""
    try:
        problem = json.loads(body)
        words = [problem.get("title"), problem.get("detail")]
    except (ValueError, AttributeError):
        words = []
    return ", ".join([str(status), *(str(word)[:200] for word in words if word)])


def _hint(status: int) -> str:
    return {
        401: "pneumoctl up (the stack may have been created again with another token)",
        413: "raise max_upload_mb, or predict without --remote",
        429: "the stack is busy: use fewer --jobs, or retry later",
        503: "pneumoctl status",
        507: "pneumoctl status",
    }.get(status, "pneumoctl logs")


def _cause(error: Exception) -> str:
    """The message of the innermost cause, without the object address that urllib3 puts before it."""
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(": ")[2]
