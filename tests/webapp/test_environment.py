"""All missing and invalid settings are named together, without their values."""

import pytest

from webapp.environment import Environment, EnvironmentInvalid


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_PASSWORD", "MAC_KEY", "API_TOKEN", "API_URL", "MAX_UPLOAD_MB"):
        monkeypatch.delenv(name, raising=False)


def test_config_overrides_the_process_environment(monkeypatch):
    monkeypatch.setenv("API_URL", "http://from-outside")
    assert Environment().addresses("API_URL") == ("http://from-outside",)
    assert Environment({"API_URL": "http://given/"}).addresses("API_URL") == ("http://given",)


def test_all_faults_are_reported_together_without_values():
    environment = Environment({"MAC_KEY": "zz-not-hex", "API_TOKEN": "short-secret", "MAX_UPLOAD_MB": "many"})
    environment.text("REDIS_PASSWORD")
    environment.key("MAC_KEY")
    environment.secret("API_TOKEN")
    environment.number("MAX_UPLOAD_MB", 25, 1, 1024)
    with pytest.raises(EnvironmentInvalid) as caught:
        environment.check()
    for name in ("REDIS_PASSWORD", "MAC_KEY", "API_TOKEN", "MAX_UPLOAD_MB"):
        assert name in str(caught.value)
    for value in ("zz-not-hex", "short-secret", "many"):
        assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["0", "1025", "-1", "2.5", "nan", "1e99"])
def test_integers_outside_their_range(value):
    environment = Environment({"MAX_UPLOAD_MB": value})
    environment.number("MAX_UPLOAD_MB", 25, 1, 1024)
    with pytest.raises(EnvironmentInvalid, match="MAX_UPLOAD_MB"):
        environment.check()


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_floats_outside_their_range(value):
    environment = Environment({"API_TIMEOUT": value})
    environment.number("API_TIMEOUT", 60.0, 0.1, 600.0)
    with pytest.raises(EnvironmentInvalid, match="API_TIMEOUT"):
        environment.check()


def test_a_choice_is_one_of_the_choices():
    assert Environment({"OUTSIDE_USE": "score"}).choice("OUTSIDE_USE", ("refuse", "score")) == "score"
    assert Environment({"OUTSIDE_USE": ""}).choice("OUTSIDE_USE", ("refuse", "score")) == "refuse"
    environment = Environment({"OUTSIDE_USE": "guess"})
    assert environment.choice("OUTSIDE_USE", ("refuse", "score")) == "refuse"
    with pytest.raises(EnvironmentInvalid, match="OUTSIDE_USE is not one of: refuse, score"):
        environment.check()


def test_a_short_key_is_rejected():
    environment = Environment({"MAC_KEY": "ab" * 31})
    environment.key("MAC_KEY")
    with pytest.raises(EnvironmentInvalid, match="MAC_KEY"):
        environment.check()


def test_valid_values_are_read():
    environment = Environment({"MAC_KEY": "ab" * 32, "TRUSTED_HOSTS": " one, two ,", "API_TIMEOUT": 3, "EMPTY": "  "})
    assert environment.key("MAC_KEY") == b"\xab" * 32
    assert environment.list_of("TRUSTED_HOSTS", "none") == ["one", "two"]
    assert environment.list_of("EMPTY", "none") == ["none"]
    assert environment.number("API_TIMEOUT", 60.0, 0.1, 600.0) == 3.0
    environment.check()


def test_several_addresses_and_keys():
    environment = Environment({"API_URL": "http://a:1/, https://b", "KEYS": f"{'ab' * 32},{'cd' * 32}", "NONE": ""})
    assert environment.addresses("API_URL") == ("http://a:1", "https://b")
    assert environment.keys("KEYS") == (b"\xab" * 32, b"\xcd" * 32)
    assert environment.keys("NONE") == ()
    assert environment.secret("NONE", default="") == ""
    environment.check()


@pytest.mark.parametrize("value", ["ab", "zz" * 32, f"{'ab' * 32},ab"])
def test_each_key_of_a_list_is_checked(value):
    environment = Environment({"KEYS": value})
    environment.keys("KEYS")
    with pytest.raises(EnvironmentInvalid, match="KEYS"):
        environment.check()


@pytest.mark.parametrize("value", ["127.0.0.1:8000", "http://a:1,b:2", ",", "", "ftp://a"])
def test_an_address_needs_a_scheme(value):
    environment = Environment({"API_URL": value})
    environment.addresses("API_URL")
    with pytest.raises(EnvironmentInvalid, match="API_URL"):
        environment.check()
