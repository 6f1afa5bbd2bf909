"""The price table: bundled prices, AWS's Price List API, and the command that writes the table."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import prices
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import PneumoError
from pneumoctl.stack.settings import Settings
from tests.pneumoctl.cloud import Cloud
from tests.serving import serving

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_the_bundled_table_says_its_day_and_sources() -> None:
    table = json.loads(prices.FILE.read_text())
    assert time.strptime(table["date"], "%Y-%m-%d")
    assert table["sources"]
    assert {"us-east-1", "us-west-2", "eu-west-1", "eu-central-1"} <= set(table["regions"])
    priced_names = {*prices.QUESTIONS, *prices.TYPES}
    for region, figures in table["regions"].items():
        assert set(figures) <= priced_names, region
        assert all(0 < usd < 10 for usd in figures.values())


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "eu-central-1", "us-west-2"])
def test_the_default_stack_is_priced_whole(region: str) -> None:
    settings = Settings()
    wanted = [settings.nginx_type, settings.monitoring_type, settings.web_type, settings.app_type, settings.gpu_type]
    for kind in (*wanted, prices.NAT, prices.IPV4, prices.DISK):
        assert prices.bundled(region).of(kind), kind


def test_what_is_not_known_has_no_price() -> None:
    table = prices.bundled("us-east-1")
    assert table.of("m9.huge") is None and prices.bundled("mars-north-1").of("t3.micro") is None
    assert (table.of("t3.micro"), table.date, table.source) == (0.0104, "2026-01-19", "bundled price list")


# The Price List API, answering as the real one does.


def product(usage: str, usd: str, first: str = "0", more: dict[str, Any] | None = None) -> str:
    dimensions = {"x.y": {"beginRange": first, "pricePerUnit": {"USD": usd}, "unit": "Hrs"}, **(more or {})}
    terms = {"OnDemand": {"x": {"priceDimensions": dimensions}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": terms})


def answers(service: str, filters: dict[str, str]) -> list[str]:
    if filters.get("instanceType") == "t3.micro":
        return [product("EU-UnusedBox:t3.micro", "0.9"), product("EU-BoxUsage:t3.micro", "0.0115")]
    if filters.get("productFamily") == "NAT Gateway":
        usages = {"EU-RegionalNatGateway-Hours": "0.7", "EU-NatGateway-Bytes": "0.049", "EU-NatGateway-Hours": "0.0490"}
        return [product(usage, usd) for usage, usd in usages.items()]
    if service == "AmazonS3":
        later = {"a.b": {"beginRange": "51200", "pricePerUnit": {"USD": "0.022"}}}
        return [product("EU-TimedStorage-ByteHrs", "0.023", more=later)]
    if filters.get("group") == "VPCPublicIPv4Address":
        return [product("EU-PublicIPv4:IdleAddress", "0.9"), product("EU-PublicIPv4:InUseAddress", "0.005")]
    if filters.get("volumeApiName") == "gp3":
        return [product("EU-EBS:VolumeUsage.gp3", "0.089")]
    return []


@pytest.fixture
def price_list(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A local Price List API; it answers while the event is set."""
    answering = threading.Event()
    answering.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answering.wait()
            filters = {filter["Field"]: filter["Value"] for filter in asked["Filters"]}
            body = json.dumps({"PriceList": answers(asked["ServiceCode"], filters)}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 64

    with serving(Server(("127.0.0.1", 0), Handler)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield answering
        answering.set()


def test_the_api_is_asked_where_it_answers(price_list: threading.Event, cloud: Cloud) -> None:
    current = prices.current(cloud.fresh(), ["t3.micro"])
    assert current.of("t3.micro") == 0.0115  # not what an unused reservation costs
    assert (current.of(prices.NAT), current.of(prices.IPV4), current.of(prices.DISK)) == (0.049, 0.005, 0.089)
    assert (current.source, current.date) == (prices.API, prices._today())


def test_one_price_that_the_api_lacks_comes_from_the_table_with_its_day(
    price_list: threading.Event, cloud: Cloud
) -> None:
    current = prices.current(cloud.fresh(), ["t3.micro", "t3.small"])
    assert (current.of("t3.micro"), current.of("t3.small")) == (0.0115, 0.0228)
    assert (current.source, current.date) == ("bundled price list", "2026-01-19")


def test_a_slow_api_costs_no_more_than_its_timeout(price_list: threading.Event, cloud: Cloud) -> None:
    price_list.clear()
    aws = cloud.fresh()
    current = prices.current(aws, ["t3.micro"], timeout=0.3)
    assert current.of("t3.micro") == 0.0114


def test_without_the_api_the_table_serves(cloud: Cloud) -> None:
    current = prices.current(cloud.aws(), ["t3.micro"])  # the lab answers 501
    assert current == prices.bundled("eu-west-1")


def test_the_table_is_written_anew(
    price_list: threading.Event, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "TYPES", ("t3.micro", "g5.xlarge"))
    file = tmp_path / "prices.json"
    assert prices.generate(["eu-west-1"], "", file) == 6
    table = json.loads(file.read_text())
    assert (table["date"], table["source"]) == (prices._today(), prices.API)
    assert table["regions"]["eu-west-1"] == {
        "gp3_gb_month": 0.089,
        "ipv4": 0.005,
        "nat": 0.049,
        "nat_gb": 0.049,
        "s3_gb_month": 0.023,  # the first tier
        "t3.micro": 0.0115,
    }


def test_a_table_that_cannot_be_had_whole_is_not_written(cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    with pytest.raises(PneumoError):
        prices.generate(["eu-west-1"], "", file)
    assert not file.exists()


def test_products_gives_up_at_once(cloud: Cloud) -> None:
    cloud.fault("down", service="pricing")
    since = cloud.last()
    with pytest.raises(PneumoError):
        Aws("", "eu-west-1").products("AmazonEC2", {})
    assert len(cloud.calls(since)) == 1
