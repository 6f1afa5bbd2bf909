"""A user's line in the password file of nginx."""

import base64
import hashlib
import hmac
import string

# nginx computes the hash for every request: 2 ms of a core at cost 5, 55 ms at 10. The password has 144 random bits, so
# a slower hash would not make it safer.
COST = 5
_STANDARD = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
_BCRYPT = ("./" + string.ascii_uppercase + string.ascii_lowercase + string.digits).encode()


def line(user: str, password: str) -> str:
    """`user:hash` with bcrypt, which libxcrypt supports. The same user and password always give the same line.

    The salt is derived from both, so that two users with the same password have different hashes.
    """
    import bcrypt

    mixed = hmac.digest(password.encode(), b"pneumoctl htpasswd " + user.encode(), hashlib.sha256)[:16]
    salt = base64.b64encode(mixed).rstrip(b"=").translate(bytes.maketrans(_STANDARD, _BCRYPT))
    return f"{user}:{bcrypt.hashpw(password.encode(), b'$2b$%02d$%b' % (COST, salt)).decode()}"
