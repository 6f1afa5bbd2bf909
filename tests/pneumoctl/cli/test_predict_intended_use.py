"""`pneumoctl predict` and a film outside the intended use: a setting decides."""

import json
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit
from tests.ages import states_adult


@pytest.fixture
def adult(ward: Path, bundle_of_children: Path, predict: Any, adult_film: bytes) -> Any:
    """Predict a film of an adult, which states its age, with a model of children."""
    (ward / "adult.dcm").write_bytes(adult_film)
    return lambda *words: predict(ward / "adult.dcm", "--json", "--model", bundle_of_children, *words)


def test_a_setting_decides_about_a_film_outside_the_intended_use(
    adult: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adult() == Exit.PARTLY
    text = capsys.readouterr().out
    (refused,) = json.loads(text)["predictions"]
    assert refused["refusal"]["code"] == "outside_intended_use" and not states_adult(text)
    Path("pneumo.toml").write_text('outside_use = "score"')
    assert adult() == Exit.DONE
    text = capsys.readouterr().out
    (scored,) = json.loads(text)["predictions"]
    assert not states_adult(text)
    assert scored["finding"] and [each["code"] for each in scored["cautions"]] == ["age_outside", "view_ap"]
    monkeypatch.setenv("PNEUMO_OUTSIDE_USE", "refuse")
    assert adult() == Exit.PARTLY
    monkeypatch.setenv("PNEUMO_OUTSIDE_USE", "guess")
    assert adult() == Exit.USAGE
    assert "refuse or score" in capsys.readouterr().err


def test_a_resumed_run_does_not_reuse_what_another_setting_decided(
    adult: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = []
    for use in ("refuse", "score", "refuse", "score"):
        monkeypatch.setenv("PNEUMO_OUTSIDE_USE", use)
        adult("--resume", tmp_path / "results.jsonl")
        outcomes += json.loads(capsys.readouterr().out)["predictions"]
    assert [document["finding"] is None for document in outcomes] == [True, False, True, False]
    assert outcomes[0] == outcomes[2] and outcomes[1] == outcomes[3]
