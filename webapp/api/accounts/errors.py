"""Why something about accounts cannot be done."""


class Exists(Exception):
    """There is a user of that name."""


class LastAdmin(Exception):
    """The change would leave no active admin."""


class LinkInvalid(Exception):
    """The link was used, has expired, was replaced, or never existed."""


class LoginRefused(Exception):
    """The name, the password or the code is wrong; which of them is not said."""


class TooManyAttempts(Exception):
    """Too many logins were tried; `retry_after`: seconds until the next one is possible."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many attempts; the next is possible in {retry_after} s")
        self.retry_after = retry_after
