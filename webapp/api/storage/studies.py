"""Pseudonyms of studies: which films belong together, without the Study Instance UID, which names a patient's study."""

import base64
import hashlib
import hmac

import redis

from webapp.api.storage.errors import redis_errors
from webapp.api.storage.keys import STUDY_KEY
from webapp.api.storage.seal import Seal, SealBroken

LENGTH = 12  # letters of base32, 60 bits: at 100,000 studies, two share a pseudonym once in 200 million stores
_PURPOSE = "pneumoctl study pseudonym"

_DIGITS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghijklmnopqrstuv")  # of base32


def study_number(study: str) -> int:
    """A pseudonym of a study, 12 digits of base32, as a number."""
    return int(study.translate(_DIGITS), 32)


class Pseudonyms:
    """Makes the same pseudonym for a study in every process, also after a rotation of the MAC keys.

    The key is derived from one of the store's MAC keys. The store keeps the id of that one, under a seal: a rotation
    seals with another key and keeps all earlier ones. A store that has no such id yet takes the oldest key, which is
    the one that it had before if it was lost and filled again.
    """

    def __init__(self, client: redis.Redis, seal: Seal) -> None:
        self._redis = client
        self._seal = seal
        self._key: bytes | None = None

    def of(self, study_uid: str) -> str:
        """The pseudonym of a Study Instance UID; raises StoreUnavailable."""
        digest = hmac.new(self._derived(), study_uid.encode("ascii"), hashlib.sha256).digest()
        return base64.b32encode(digest).decode("ascii")[:LENGTH]

    def _derived(self) -> bytes:
        """The key of pseudonyms, read once."""
        if self._key is None:
            with redis_errors():
                self._key = self._read() or self._choose(replace=False) or self._choose(replace=True)
        return self._key

    def _read(self) -> bytes | None:
        """The key whose id the store keeps; None if it keeps none, or none that is known and intact."""
        sealed = self._redis.get(STUDY_KEY)
        try:
            if sealed is None:
                return None
            return self._seal.derived(_PURPOSE, self._seal.open(STUDY_KEY, sealed).decode("ascii"))[1]
        except SealBroken:
            return None

    def _choose(self, replace: bool) -> bytes | None:
        """Keep the id of the oldest key, unless another process did; `replace`: what is there is of no use."""
        sealed = self._seal.close(STUDY_KEY, self._seal.oldest.encode("ascii"))
        self._redis.set(STUDY_KEY, sealed, nx=not replace)
        return self._read()
