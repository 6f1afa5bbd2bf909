"""The line of a password file by which nginx knows a user."""

import base64
import hashlib
import hmac
import string

# nginx works the hash out anew at every request: 2 ms of a core at 5, 55 at 10. The password is 144 random bits,
# which no slower hash would guard better.
COST = 5
_STANDARD = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
_BCRYPT = ("./" + string.ascii_uppercase + string.ascii_lowercase + string.digits).encode()


def line(user: str, password: str) -> str:
    """`user:hash` (bcrypt, which libxcrypt knows), the same bytes for the same two: a second rendering changes nothing.

    The salt comes from both, so that nobody learns from two lines whether their passwords are the same.
    """
    import bcrypt

    mixed = hmac.digest(password.encode(), b"pneumoctl htpasswd " + user.encode(), hashlib.sha256)[:16]
    salt = base64.b64encode(mixed).rstrip(b"=").translate(bytes.maketrans(_STANDARD, _BCRYPT))
    return f"{user}:{bcrypt.hashpw(password.encode(), b'$2b$%02d$%b' % (COST, salt)).decode()}"
