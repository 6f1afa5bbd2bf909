"""Pseudonyms of studies and of received instances, without their UIDs, which name a patient's examination.

Those of a study tell which films belong together.
"""

import base64
import hashlib
import hmac

import redis

from webapp.api.storage.errors import redis_errors
from webapp.api.storage.keys import STUDY_KEY
from webapp.api.storage.seal import Seal, SealBroken

LENGTH = 12  # letters of base32, 60 bits: at 100,000 studies, two share a pseudonym once in 200 million stores
_INSTANCE_LENGTH = 16  # 80 bits: there are more instances, and two films of one name are taken for one
_STUDY, _INSTANCE = "pneumoctl study pseudonym", "pneumoctl instance pseudonym"  # what the keys are derived for

_DIGITS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghijklmnopqrstuv")  # of base32


def study_number(study: str) -> int:
    """A pseudonym of a study, 12 digits of base32, as a number."""
    return int(study.translate(_DIGITS), 32)


class Pseudonyms:
    """Makes the same pseudonym for a UID in every process, also after a rotation of the MAC keys.

    The keys are derived from one of the store's MAC keys. The store keeps the id of that one, under a seal: a rotation
    seals with another key and keeps all earlier ones. A store that has no such id yet takes the oldest key, which is
    the one that it had before if it was lost and filled again.
    """

    def __init__(self, client: redis.Redis, seal: Seal) -> None:
        self._redis = client
        self._seal = seal
        self._key: str | None = None  # the id of the MAC key

    def of_study(self, uid: str) -> str:
        """The pseudonym of a Study Instance UID; raises StoreUnavailable."""
        return self._of(_STUDY, uid)[:LENGTH]

    def of_instance(self, uid: str) -> str:
        """The pseudonym of a SOP Instance UID; raises StoreUnavailable."""
        return self._of(_INSTANCE, uid)[:_INSTANCE_LENGTH]

    def _of(self, purpose: str, uid: str) -> str:
        if self._key is None:
            with redis_errors():
                self._key = self._read() or self._choose(replace=False) or self._choose(replace=True)
        _, key = self._seal.derived(purpose, self._key)
        return base64.b32encode(hmac.new(key, uid.encode("ascii"), hashlib.sha256).digest()).decode("ascii")

    def _read(self) -> str | None:
        """The id that the store keeps; None if it keeps none, or none that is intact and of a known key."""
        sealed = self._redis.get(STUDY_KEY)
        try:
            if sealed is None:
                return None
            return self._seal.derived(_STUDY, self._seal.open(STUDY_KEY, sealed).decode("ascii"))[0]
        except SealBroken:
            return None

    def _choose(self, replace: bool) -> str | None:
        """Keep the id of the oldest key, unless another process did; `replace`: what is there is of no use."""
        sealed = self._seal.close(STUDY_KEY, self._seal.oldest.encode("ascii"))
        self._redis.set(STUDY_KEY, sealed, nx=not replace)
        return self._read()
