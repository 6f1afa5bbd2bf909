"""The AWS API of one account in one region. Only this module imports botocore, and it translates its errors."""

import difflib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pneumoctl import installation
from pneumoctl.aws.errors import explained, skew_seconds
from pneumoctl.errors import Exit, PneumoError

# A dead endpoint is given up after ATTEMPTS x the longest of these plus the pauses between: under 20 seconds for a
# request that only reads. A request that was carried out may be refused as a duplicate when it is repeated, so it gets
# more time.
CONNECT_S, READ_S, CHANGE_S = 3, 5, 20
ATTEMPTS = 3
_READS = ("describe_", "get_", "list_", "head_")
PRICING_REGION = "us-east-1"  # one of the few that answer for all


@dataclass(frozen=True)
class Account:
    """The caller's identity, and how many seconds this machine's clock is ahead of AWS's; None if unknown.

    asked, steady: the time of the call, by this machine's clock and by `steady()`.
    """

    id: str
    arn: str
    skew: float | None = None
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))
    steady: float = field(default_factory=lambda: steady())


def steady() -> float:
    """Seconds of a monotonic clock that also counts while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))  # macOS's monotonic counts sleep


class Api:
    """AWS clients with bounded time-outs and retries, created once each; safe to share between threads."""

    def __init__(self, profile: str = "", region: str = "", environ: Mapping[str, str] = os.environ) -> None:
        """Raises PneumoError: if the AWS profile cannot be used; if no region is set, or one that AWS does not have.

        The last two are usage errors; that of a missing region has the details `aws="no region"`.
        """
        try:
            from botocore.session import Session
        except ImportError as error:
            raise installation.missing_package("the aws target", error, "aws") from error
        self.profile = profile
        self._session = Session(profile=profile or None)
        self._clients: dict[tuple[str, float], Any] = {}
        self._account: Account | None = None
        self._lock = threading.Lock()
        self._credentials_loaded = False
        self.region = region
        with self.translated("sts", "get_caller_identity", "profile"):  # an unreadable profile raises here
            self._session.register_component("data_loader", _loader(self._session.get_config_variable("data_path")))
            self.region = _checked_region(region or self._configured_region(environ))

    def _configured_region(self, environ: Mapping[str, str]) -> str:
        """The region as terraform chooses it: AWS_REGION (which botocore ignores), AWS_DEFAULT_REGION, the profile."""
        configured = environ.get("AWS_REGION") or self._session.get_config_variable("region")
        if not configured:
            hint = "set region in pneumo.toml, or export AWS_REGION=eu-central-1"
            raise PneumoError("no AWS region is set", hint, Exit.USAGE, aws="no region")
        return str(configured)

    def client(self, service: str, read_s: float | None = None) -> Any:
        """The botocore client of a service; `call`, `pages` and `items` translate its errors.

        `read_s`: how many seconds an answer may take, READ_S unless given.
        """
        from botocore.config import Config

        limit = read_s or READ_S
        with self._lock:
            if (service, limit) not in self._clients:
                retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
                limits = Config(connect_timeout=CONNECT_S, read_timeout=limit, retries=retries)
                self._clients[service, limit] = self._create(service, self.region, limits)
            return self._clients[service, limit]

    def _create(self, service: str, region: str, config: Any) -> Any:
        """A new botocore client. Raises PneumoError if the AWS configuration of this machine cannot be used."""
        with self.translated("sts", "get_caller_identity", "profile"):
            self._load_credentials()
        with self.translated("sts", "get_caller_identity", "unreachable"):  # by an AWS_ENDPOINT_URL that is not a URL
            return self._session.create_client(service, region, config=config)

    def _load_credentials(self) -> None:
        """Load the credentials once: a profile may name a program, a file or a role that gives them."""
        if not self._credentials_loaded and (credentials := self._session.get_credentials()) is not None:
            credentials.get_frozen_credentials()
        self._credentials_loaded = True

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """One API call, for example `call("ec2", "describe_vpcs")`. Raises PneumoError, see aws.errors."""
        limit = READ_S if operation.startswith(_READS) else CHANGE_S
        with self.translated(service, operation):
            answer: dict[str, Any] = getattr(self.client(service, limit), operation)(**arguments)
            return answer

    def pages(self, service: str, operation: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All pages of an answer, read one by one."""
        with self.translated(service, operation):
            yield from self.client(service).get_paginator(operation).paginate(**arguments)

    def items(self, service: str, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        """The items under `key` on all pages of an answer."""
        for page in self.pages(service, operation, **arguments):
            yield from page.get(key) or ()

    def translated(self, service: str, operation: str, kind: str = "") -> "Translated":
        """A context manager that turns botocore's exceptions into PneumoError.

        `kind`: see aws.errors; if given, any other exception is turned into an error of this kind, too.
        """
        name = "".join(word.capitalize() for word in operation.split("_"))
        return Translated(service, name, self.region, self._session.profile or "default", kind)

    def url(self, bucket: str, key: str, seconds: int) -> str:
        """A URL with which anybody can read one S3 object for a time.

        It names the region: hosts without internet reach S3 there only. A name with a dot fits no certificate of S3.
        """
        from botocore.config import Config

        style = {"addressing_style": "path" if "." in bucket else "virtual"}
        with self.translated("s3", "get_object"), self._lock:
            signer = self._create("s3", self.region, Config(signature_version="s3v4", s3=style))
            named = {"Bucket": bucket, "Key": key}
            return str(signer.generate_presigned_url("get_object", Params=named, ExpiresIn=seconds))

    def products(self, service: str, filters: Mapping[str, str]) -> list[str]:
        """Entries of AWS's price list, each as JSON text. One attempt of 3 seconds, because there is a bundled list."""
        from botocore.config import Config

        with self.translated("pricing", "get_products"):
            with self._lock:
                if ("pricing", 2) not in self._clients:
                    limits = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
                    self._clients["pricing", 2] = self._create("pricing", PRICING_REGION, limits)
            wanted = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()]
            answer = self._clients["pricing", 2].get_products(ServiceCode=service, Filters=wanted, MaxResults=100)
            return [str(product) for product in answer["PriceList"]]

    def identity(self) -> Account:
        """The identity of the credentials, asked once; this call needs no permission."""
        if self._account is None:
            answer = self.call("sts", "get_caller_identity")
            self._account = Account(answer["Account"], answer["Arn"], skew_seconds(answer))
        return self._account


def _checked_region(region: str) -> str:
    regions = _regions()
    if region in regions:
        return region
    near = difflib.get_close_matches(region, regions, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    hint += f"(a region newer than this botocore: {installation.upgrade_command('botocore')})"
    raise PneumoError(f"AWS has no region {region!r}", hint, Exit.USAGE)


@cache
def _loader(data_path: str | None) -> Any:
    """botocore's descriptions of the services, shared by all regions: to read that of EC2 takes a third of a second."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


@cache
def _regions() -> tuple[str, ...]:
    """All regions in botocore's own data."""
    from botocore.session import Session

    session = Session()
    partitions = session.get_available_partitions()
    return tuple(region for partition in partitions for region in session.get_available_regions("ec2", partition))


class Translated:
    """Turns botocore's exceptions into PneumoError; a class, because `pages` holds it across yields."""

    def __init__(self, service: str, operation: str, region: str, profile: str, kind: str) -> None:
        self.where = (service, operation, region, profile)
        self.kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        if isinstance(error, BotoCoreError | ClientError | HTTPClientError):
            raise explained(error, *self.where, ATTEMPTS) from error
        if self.kind and isinstance(error, Exception) and not isinstance(error, PneumoError):
            raise explained(error, *self.where, ATTEMPTS, self.kind) from error
