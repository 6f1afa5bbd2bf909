"""The page's metrics."""

import os
import subprocess
import sys

from tests.webapp.servers import free_port
from tests.webapp.ui.conftest import page_for


def test_requests_and_api_failures_are_counted_without_file_names(page_of_fake_api, fake_api):
    fake_api.status, fake_api.body = 500, b"{}"
    page_of_fake_api.get("/predictions?cursor=secret-cursor")
    page_of_fake_api.get("/livez")
    page_of_fake_api.get("/secret-path")
    fake_api.status = 404
    page_of_fake_api.get(f"/predictions/{'ab' * 16}")
    text = page_of_fake_api.get("/metrics").get_data(as_text=True)
    assert 'pneumo_request_seconds_count{method="GET",route="/predictions",status="502"} 1.0' in text
    assert 'pneumo_request_seconds_count{method="GET",route="/livez",status="200"} 1.0' in text
    assert 'route="/predictions/<identifier:identifier>",status="404"' in text
    assert 'route="unknown",status="404"' in text
    assert 'pneumo_api_errors_total{kind="status"} 1.0' in text  # a 404 is not a failure of the API
    assert 'pneumo_api_errors_total{kind="timeout"} 0.0' in text
    assert "secret" not in text and "ab" * 16 not in text


def test_an_unreachable_api_is_counted():
    page = page_for(f"http://127.0.0.1:{free_port()}")
    page.get("/readyz")
    assert 'pneumo_api_errors_total{kind="unreachable"} 1.0' in page.get("/metrics").get_data(as_text=True)


def test_metrics_of_several_workers_are_summed(tmp_path):
    program = (
        "from webapp.ui.metrics import Metrics; m = Metrics(); m.failed('broken'); print(m.requests.text().decode())"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    for total in ("1.0", "2.0"):
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert f'pneumo_api_errors_total{{kind="broken"}} {total}' in ran.stdout
