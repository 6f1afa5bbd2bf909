"""The API's access log has the request id that nginx passed on, and nothing of a patient."""

import logging

import pytest

from webapp import access_log, api

ID = "0123456789abcdef" * 2


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, access_log.__name__)
    return lambda: [record.getMessage() for record in caplog.records if record.name == access_log.__name__]


def test_each_request_is_a_line_with_the_id_that_was_passed_on(caller, lines, clear_picture):
    (sent,) = caller.sent((clear_picture, "Doe^Jane.png"))
    caller.headers["X-Request-ID"] = ID
    caller.get(f"/v1/predictions/{sent['id']}?order=Doe")
    caller.headers["X-Request-ID"] = "not an id"
    caller.get("/v1/predictions/none")
    assert caller.get("/v1/predictions?q=Doe").status_code == 200
    posted, shown, unknown, searched = lines()
    assert " GET /v1/predictions 200 s=0." in searched
    assert " POST /v1/predictions 201 s=0." in posted
    assert shown.startswith(f"request {ID} GET /v1/predictions/<identifier:identifier> 200 s=0.")
    assert " GET unknown 404 s=0." in unknown and "not an id" not in unknown
    assert not any(word in line for line in lines() for word in ("Doe", sent["id"], "none"))


def test_what_asks_every_few_seconds_is_logged_only_if_it_fails(caller, lines, monkeypatch):
    for path in ("/livez", "/metrics"):
        assert caller.client.get(path).status_code == 200
    assert lines() == []
    assert caller.client.post("/livez").status_code == 405
    assert " POST " in lines()[0]


def test_a_method_that_a_client_invented_is_not_logged(caller, lines):
    caller.client.open("/v1/predictions", method="DOE")
    assert " other " in lines()[0]


def test_the_lines_go_to_stderr_once(capfd, monkeypatch):
    monkeypatch.setattr(access_log.log, "handlers", [])
    access_log.configure()
    access_log.configure()
    access_log.log.info("a line")
    assert capfd.readouterr().err == "a line\n"


def test_the_log_of_the_server_quotes_no_address(caplog, config):
    caplog.set_level(logging.INFO, "gunicorn.error")
    api.create_app(config)
    server = logging.getLogger("gunicorn.error")
    server.error("Error handling request %s %s", "GET", "/predictions?q=Meier+Anna&order=time")
    server.warning("Invalid request from ip=1.2.3.4: Invalid HTTP request line: 'GET /predictions?q=Meier Anna X'")
    server.warning("Invalid request from ip=1.2.3.4: Invalid HTTP request line: 'GET /Meier.dcm HTTP/9'")
    server.error("Error handling request %s", "http://api:5000/v1/predictions?q=Meier+Anna")
    server.error("Error handling request %s", "HTTP://api/v1/predictions?q=Meier+Anna")
    server.info("Booting worker with pid: %s", 7)
    assert "Meier" not in caplog.text and "Anna" not in caplog.text
    assert "Error handling request GET (address left out)" in caplog.text and "pid: 7" in caplog.text
