"""The API starts with complete settings, or names everything that is missing."""

import pytest

from model.bundle import BundleError
from webapp import api
from webapp.environment import EnvironmentInvalid

NEEDED = ("REDIS_PASSWORD", "MAC_KEY", "API_TOKEN")


@pytest.mark.parametrize("name", NEEDED)
def test_one_missing_setting_is_named(config, name, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(EnvironmentInvalid, match=name):
        api.create_app({key: value for key, value in config.items() if key != name})


def test_all_missing_settings_are_named_together(config, monkeypatch):
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EnvironmentInvalid) as caught:
        api.create_app({"MAX_PENDING": "none"})
    assert all(name in str(caught.value) for name in (*NEEDED, "MAX_PENDING"))


def test_an_incomplete_bundle_is_rejected(config, tmp_path):
    with pytest.raises(BundleError):
        api.create_app({**config, "MODEL_BUNDLE": tmp_path})


def test_the_api_starts_without_redis(config):
    app = api.create_app({**config, "REDIS_PORT": 1})
    assert app.test_client().get("/livez").status_code == 200


@pytest.mark.parametrize("background", ["yes", "no"])
def test_a_worker_reads_all_results_from_its_start(config, monkeypatch, background):
    started = []
    monkeypatch.setattr("webapp.api.storage.lists.Lists.start", lambda lists: started.append(lists))
    app = api.create_app({**config, "ERASE_EXPIRED": background})
    lists = app.extensions["pneumo"].store.lists
    assert started == ([lists] if background == "yes" else [])
