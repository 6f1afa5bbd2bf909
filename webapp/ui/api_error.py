"""What the page says when the API failed, or refused what was asked of it."""

import json

from webapp.ui.languages.said import coded, say

TITLES = {  # of the statuses that are passed on to the browser; all others become 502
    400: say("The request was not understood"),
    404: say("Not found"),
    409: say("Not possible"),
    413: say("The upload is too large"),
    429: say("Too many requests"),
    503: say("The assessment service is not available at the moment"),
    507: say("The store is full"),
}
_LOGIN_TITLES = {  # by the code of the API's error: of those that are about a user, not about the page's own token
    "session-ended": say("Your session has ended"),
    "login-failed": say("Not logged in"),
    "link-invalid": say("The link is not valid"),
    "weak-password": say("The password is not set"),
    "forbidden": say("Not allowed"),
    "not-author": say("Not allowed"),
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
        return say(" The result may have been erased: look at it before you try again.")
    if method != "POST" or path.endswith("/find"):
        return ""
    if path.endswith("/withdrawal"):
        return say(" The review may have been withdrawn: look at the result before you try again.")
    if path.endswith("/feedback"):
        return say(" The feedback may have been saved: look at the result before you send it again.")
    return say(" The files may have been assessed: look under Results before you send them again.")


def status_error(status: int, body: bytes, retry_after: str | None) -> ApiError:
    """The error for a response with an error status, with the API's own detail if it has one."""
    try:
        problem = json.loads(body)
        detail, code = str(problem["detail"]), problem.get("code")
        detail = coded("problem", code if isinstance(code, str) else None, detail)
    except (ValueError, TypeError, KeyError, AttributeError):
        detail, code = say("It answered with status {status}.", status=status), None
    if isinstance(code, str) and code in _LOGIN_TITLES:
        return ApiError(status, _LOGIN_TITLES[code], detail, retry_after, code)
    if status not in TITLES:
        return ApiError(502, say("The assessment service failed"), detail, code=code)
    return ApiError(status, TITLES[status], detail, retry_after, code)
