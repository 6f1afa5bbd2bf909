"""The AWS API of one account in one region; the only importer of botocore, and each of its errors a PneumoError."""

import difflib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pneumoctl.aws.errors import explained, skew_seconds
from pneumoctl.errors import EXTRA, Exit, PneumoError

# A dead endpoint is given up after ATTEMPTS x the longer of these plus the pauses between: under 20 seconds.
CONNECT_S = 3
READ_S = 5
ATTEMPTS = 3
PRICING_REGION = "us-east-1"  # one of the few that answer for all


@dataclass(frozen=True)
class Account:
    """Who we are to AWS, and by how many seconds this machine's clock was ahead of AWS's (None: not said).

    `asked`, `steady`: when it was asked, by that clock, and by the one that nobody sets and that counts sleep, too.
    """

    id: str
    arn: str
    skew: float | None = None
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))
    steady: float = field(default_factory=lambda: steady())


def steady() -> float:
    """Seconds of a clock that goes on while the machine sleeps, and that no correction of the time of day moves."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # macOS's monotonic counts sleep


class Api:
    """Clients, made once each, with bounded time-outs and retries; safe to use from several threads."""

    def __init__(self, profile: str = "", region: str = "", environ: Mapping[str, str] = os.environ) -> None:
        """PneumoError (usage) where no region is set anywhere, or one that AWS does not have."""
        try:
            from botocore.session import Session
        except ImportError as error:
            raise PneumoError(f"the aws target needs {error.name}", EXTRA.format("aws")) from error
        self.profile = profile
        self._session = Session(profile=profile or None)
        self._clients: dict[str, Any] = {}
        self._account: Account | None = None
        self._lock = threading.Lock()
        with Translated("sts", "GetCallerIdentity", region):  # a profile that cannot be read shows up here
            self.region = _known(region or self._configured(environ))

    def _configured(self, environ: Mapping[str, str]) -> str:
        """As terraform does: AWS_REGION, then AWS_DEFAULT_REGION, then the profile (botocore skips the first)."""
        found = environ.get("AWS_REGION") or self._session.get_config_variable("region")
        if not found:
            hint = "set region in pneumo.toml, or export AWS_REGION=eu-central-1"
            raise PneumoError("no AWS region is set", hint, Exit.USAGE)
        return str(found)

    def client(self, service: str) -> Any:
        """The botocore client of a service; `call`, `pages` and `items` translate its errors."""
        from botocore.config import Config

        with self._lock:
            if service not in self._clients:
                retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
                limits = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries=retries)
                self._clients[service] = self._session.create_client(service, self.region, config=limits)
            return self._clients[service]

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """One API call, as `call("ec2", "describe_vpcs")`. PneumoError, see aws_errors."""
        with self.translated(service, operation):
            answer: dict[str, Any] = getattr(self.client(service), operation)(**arguments)
            return answer

    def pages(self, service: str, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All pages of an answer, as they are read."""
        with self.translated(service, operation):
            yield from self.client(service).get_paginator(operation).paginate(**arguments)

    def items(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        """What all pages of an answer list under `key`."""
        for page in self.pages(service, operation, **arguments):
            yield from page.get(key) or ()

    def translated(self, service: str, operation: str) -> "Translated":
        """A context in which botocore's exceptions become PneumoError."""
        return Translated(service, "".join(word.capitalize() for word in operation.split("_")), self.region)

    def products(self, service: str, filters: Mapping[str, str]) -> list[str]:
        """Entries of AWS's price list, a JSON text each. Gives up after 3 seconds; one try, for it is never needed."""
        from botocore.config import Config

        with self.translated("pricing", "get_products"):
            with self._lock:
                if "pricing" not in self._clients:
                    limits = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
                    self._clients["pricing"] = self._session.create_client("pricing", PRICING_REGION, config=limits)
            wanted = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()]
            answer = self._clients["pricing"].get_products(ServiceCode=service, Filters=wanted, MaxResults=100)
            return [str(one) for one in answer["PriceList"]]

    def identity(self) -> Account:
        """Who the credentials are, asked once; the one call that needs no permission."""
        if self._account is None:
            answer = self.call("sts", "get_caller_identity")
            self._account = Account(answer["Account"], answer["Arn"], skew_seconds(answer))
        return self._account


def _known(region: str) -> str:
    known = _regions()
    if region in known:
        return region
    near = difflib.get_close_matches(region, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    hint += "(a region newer than this botocore: pip install -U botocore)"
    raise PneumoError(f"AWS has no region {region!r}", hint, Exit.USAGE)


@cache
def _regions() -> tuple[str, ...]:
    """All that botocore's own data knows."""
    from botocore.session import Session

    session = Session()
    partitions = session.get_available_partitions()
    return tuple(one for partition in partitions for one in session.get_available_regions("ec2", partition))


class Translated:
    """Turns botocore's exceptions into PneumoError; a class, because `pages` holds it across yields."""

    def __init__(self, service: str, operation: str, region: str) -> None:
        self.where = (service, operation, region)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        if isinstance(error, BotoCoreError | ClientError | HTTPClientError):
            raise explained(error, *self.where, ATTEMPTS) from error
