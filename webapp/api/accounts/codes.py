"""One-time codes by time (TOTP, RFC 6238) from an authenticator app: six digits, a new one every 30 seconds."""

import base64
from datetime import UTC, datetime

import pyotp

_ISSUER = "pneumoctl"
_STEP = 30  # seconds
_WINDOW = (-1, 0, 1)  # steps that the clock of the telephone may differ


def secret_text(secret: bytes) -> str:
    """A secret as authenticator apps take it: base32."""
    return base64.b32encode(secret).decode("ascii")


def address(secret: str, name: str) -> str:
    """The otpauth address that an authenticator app opens."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=_ISSUER)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step (30 s since 1970) of which that is the code, within one step of `now`; None: of none.

    A step must be accepted once only; the caller remembers the last one.
    """
    digits = "".join(code.split())
    totp, current = pyotp.TOTP(secret), int(now) // _STEP
    fitting = [
        current + offset
        for offset in _WINDOW
        if pyotp.utils.strings_equal(digits, totp.at(datetime.fromtimestamp((current + offset) * _STEP, UTC)))
    ]
    return fitting[0] if fitting else None
