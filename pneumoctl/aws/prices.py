"""On-demand list prices in USD: from AWS's Price List API if it answers, else from a bundled table.

`python -m pneumoctl.aws.prices` updates the table, prices.json; it needs credentials with pricing:GetProducts.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.terminal.console import console

FILE = Path(__file__).with_name("prices.json")
API = "AWS Price List API"
TIMEOUT_S = 3.0
TYPES = ("t3.micro", "t3.small", "t3.medium", "t3.large", "t3.xlarge", "g4dn.xlarge", "g5.xlarge", "p3.2xlarge")
# Kinds other than instance types -> service, filters, usage type. An instance type is its own kind.
NAT, NAT_GB, IPV4, DISK, S3, LOGS = "nat", "nat_gb", "ipv4", "gp3_gb_month", "s3_gb_month", "logs_gb"
_NAT = {"productFamily": "NAT Gateway"}
QUESTIONS: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    NAT: ("AmazonEC2", _NAT, "NatGateway-Hours"),
    NAT_GB: ("AmazonEC2", _NAT, "NatGateway-Bytes"),
    IPV4: ("AmazonVPC", {"group": "VPCPublicIPv4Address"}, "PublicIPv4:InUseAddress"),
    DISK: ("AmazonEC2", {"volumeApiName": "gp3", "productFamily": "Storage"}, "EBS:VolumeUsage.gp3"),
    S3: ("AmazonS3", {"storageClass": "General Purpose", "volumeType": "Standard"}, "TimedStorage-ByteHrs"),
    LOGS: ("AmazonCloudWatch", {}, "VendedLog-Bytes"),
}
_INSTANCE = {"operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared", "capacitystatus": "Used"}


@dataclass(frozen=True)
class Prices:
    """The known prices of a region by kind, and their date; per hour, unless the kind's name says otherwise."""

    region: str
    date: str
    source: str
    usd: Mapping[str, float]

    def of(self, kind: str) -> float | None:
        """The price of an instance type or another kind; None when it is not known."""
        return self.usd.get(kind)


def bundled(region: str) -> Prices:
    """The prices of the bundled table; empty for a region that is not in it."""
    table = _table()
    return Prices(region, table["date"], "bundled price list", table["regions"].get(region, {}))


def current(aws: Aws, types: Iterable[str], timeout: float = TIMEOUT_S) -> Prices:
    """Prices of these instance types and all other kinds, from the API where it answers in time, else bundled.

    Never fails. The date is today's only if all of them are from the API.
    """
    bundled_prices = bundled(aws.region)
    kinds = sorted({*types, NAT, NAT_GB, IPV4, DISK})
    asked = _ask_all(aws, kinds, timeout)
    complete = all(kind in asked for kind in kinds)
    date, source = (_today(), API) if complete else (bundled_prices.date, bundled_prices.source)
    return Prices(aws.region, date, source, {**bundled_prices.usd, **asked})


def ask(aws: Aws, kind: str) -> float | None:
    """The price in AWS's price list now; None if the region has no such product. Raises PneumoError."""
    service, filters, usage = QUESTIONS.get(
        kind, ("AmazonEC2", {**_INSTANCE, "instanceType": kind}, f"BoxUsage:{kind}")
    )
    wanted = re.compile(rf"([A-Z0-9]+-)?{re.escape(usage)}")
    for text in aws.products(service, {**filters, "regionCode": aws.region}):
        product = json.loads(text)
        if wanted.fullmatch(product["product"]["attributes"].get("usagetype", "")):
            return _first_tier(product)
    return None


def _first_tier(product: Mapping[str, Any]) -> float | None:
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension.get("beginRange", "0") in ("0", ""):
                return float(dimension["pricePerUnit"]["USD"])
    return None


def _ask_all(aws: Aws, kinds: Sequence[str], timeout: float) -> dict[str, float]:
    pool = ThreadPoolExecutor(max_workers=len(kinds))
    answers = {kind: pool.submit(ask, aws, kind) for kind in kinds}
    wait(answers.values(), timeout=timeout)
    pool.shutdown(wait=False, cancel_futures=True)
    usd = {}
    for kind, answer in answers.items():
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            price = answer.result()
            if price is not None:
                usd[kind] = price
    return usd


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(FILE.read_text())
    return table


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def generate(regions: Sequence[str], profile: str, file: Path = FILE) -> int:
    """Write a new table for these regions; returns how many prices it has. Raises PneumoError without writing."""
    table: dict[str, dict[str, float]] = {}
    for region in regions:
        aws = Aws(profile, region)
        with ThreadPoolExecutor(max_workers=4) as pool:
            kinds = [*TYPES, *QUESTIONS]
            usd_by_kind = dict(zip(kinds, pool.map(lambda kind, aws=aws: ask(aws, kind), kinds), strict=True))
        table[region] = {kind: usd for kind, usd in sorted(usd_by_kind.items()) if usd is not None}
    document = {"date": _today(), "source": API, "sources": [f"{API}, GetProducts, on-demand"], "regions": table}
    write_atomically(file, (json.dumps(document, indent=2) + "\n").encode(), 0o644)
    return sum(len(region) for region in table.values())


def main(arguments: Sequence[str]) -> int:
    """`python -m pneumoctl.aws.prices [PROFILE]`: update the table for the regions that it has."""
    try:
        count = generate(sorted(_table()["regions"]), arguments[0] if arguments else "")
    except PneumoError as error:
        console.fail(error)
        return error.code
    console.text(f"{FILE}: {count} prices of {_today()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
