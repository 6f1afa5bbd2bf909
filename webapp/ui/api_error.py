"""What the page says when the API failed, or refused what was asked of it."""

import json

TITLES = {  # of the statuses that are passed on to the browser; all others become 502
    400: "The request was not understood",
    404: "Not found",
    409: "Not possible",
    413: "The upload is too large",
    429: "Too many requests",
    503: "The assessment service is not available at the moment",
    507: "The store is full",
}
_LOGIN_TITLES = {  # by the code of the API's error: of those that are about a user, not about the page's own token
    "session-ended": "Your session has ended",
    "login-failed": "Not logged in",
    "link-invalid": "The link is not valid",
    "weak-password": "The password is not set",
    "forbidden": "Not allowed",
    "not-author": "Not allowed",
}


class ApiError(Exception):
    """The API failed, or its response cannot be shown: HTTP `status`, `title` and `detail` for the browser.

    code: that of the API's own error, if it was one; None if the API said nothing that can be understood.
    """

    def __init__(
        self, status: int, title: str, detail: str, retry_after: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.code = code


def open_outcome(method: str, path: str) -> str:
    """What the API may have done although its response was lost; empty for a request that only reads."""
    if not path.startswith("/v1/predictions"):
        return ""
    if method == "DELETE":
        return " The result may have been erased: look at it before you try again."
    if method != "POST" or path.endswith("/find"):
        return ""
    if path.endswith("/withdrawal"):
        return " The review may have been withdrawn: look at the result before you try again."
    if path.endswith("/feedback"):
        return " The feedback may have been saved: look at the result before you send it again."
    return " The files may have been assessed: look under Results before you send them again."


def status_error(status: int, body: bytes, retry_after: str | None) -> ApiError:
    """The error for a response with an error status, with the API's own detail if it has one."""
    try:
        problem = json.loads(body)
        detail, code = str(problem["detail"]), problem.get("code")
    except (ValueError, TypeError, KeyError, AttributeError):
        detail, code = f"It answered with status {status}.", None
    if isinstance(code, str) and code in _LOGIN_TITLES:
        return ApiError(status, _LOGIN_TITLES[code], detail, retry_after, code)
    if status not in TITLES:
        return ApiError(502, "The assessment service failed", detail, code=code)
    return ApiError(status, TITLES[status], detail, retry_after, code)
