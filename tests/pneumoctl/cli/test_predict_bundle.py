"""The bundle of `pneumoctl predict`: that of the flag, then that of the settings, then the shipped one."""

import json
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.scoring import score as scoring


def test_bundle_is_that_of_the_flag_then_of_the_settings(
    predict: Any,
    ward: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = []
    local = scoring.local_scorer
    monkeypatch.setattr(scoring, "local_scorer", lambda model, *words: used.append(model) or local(tiny_bundle, *words))
    picture = str(ward / "a-ill.png")
    assert run(["predict", picture]) == Exit.DONE
    (tmp_path / "pneumo.toml").write_text('model = "of-the-file"\n')
    assert run(["predict", picture]) == Exit.DONE
    (tmp_path / "other.toml").write_text('model = "of-another-file"\n')
    assert run(["predict", picture, "--config", "other.toml"]) == Exit.DONE
    monkeypatch.setenv("PNEUMO_MODEL", "~/of-the-environment")
    assert run(["predict", picture]) == Exit.DONE
    assert predict(picture) == Exit.DONE
    home = Path.home() / "of-the-environment"
    assert used == [None, Path("of-the-file"), Path("of-another-file"), home, tiny_bundle]


def test_bundle_of_the_settings_is_really_used(
    ward: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PNEUMO_MODEL", str(tiny_bundle))
    assert run(["predict", str(ward / "a-ill.png"), "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["predictions"][0]["model"]["name"] == "tiny-linear"
    monkeypatch.setenv("PNEUMO_MODEL", str(ward))
    assert run(["predict", str(ward / "a-ill.png")]) == Exit.FAILED
    assert "is not a model bundle" in capsys.readouterr().err


def test_bad_bundle_is_a_clear_error(ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--model", str(tmp_path), str(ward)]) == Exit.FAILED
    err = capsys.readouterr().err
    assert "is not a model bundle" in err and "--model DIR" in err
