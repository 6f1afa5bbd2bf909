"""`pneumoctl model compare`: two models on the same pictures, or on reports of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model import bundle
from model.evaluation.scores_file import read
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.registry import evaluations, store
from pneumoctl.registry.store import Registered


@pytest.fixture
def models(tiny_bundle: Path, tmp_path: Path) -> tuple[Registered, Registered]:
    """The tiny model, and one that calls hardly anything pneumonia."""
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "blind", ignore=shutil.ignore_patterns(bundle.MANIFEST)))
    manifest = bundle.load(tiny_bundle).manifest
    point = {**manifest["operating_point"], "threshold": 0.999999}
    changed = {key: value for key, value in manifest.items() if key != "files"}
    bundle.write(folder, {**changed, "name": "blind", "operating_point": point})
    return store.register(tiny_bundle), store.register(folder)


def compare(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["model", "compare", *words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_two_models_are_compared_on_the_same_pictures(
    models: tuple[Registered, Registered], labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, blind = models
    document = compare(capsys, good.id, blind.id, str(labelled))
    assert document["models"] == [{"model": good.id, "refused": 0}, {"model": blind.id, "refused": 0}]
    assert document["auc"]["difference"]["value"] == 0 and document["auc"]["p"] == 1.0  # the same network
    found = document["operating_points"]["balanced"]["sensitivity"]
    assert (found["first"]["value"], found["second"]["value"], found["only_first"], found["p"]) == (1, 0, 8, 2 / 2**8)
    assert document["operating_points"]["balanced"]["specificity"]["p"] == 1.0
    # Both readings are recorded: the pictures are no longer an independent test.
    assert len(evaluations.of_model(good.id)) == len(evaluations.of_model(blind.id)) == 1
    assert run(["model", "compare", good.id, blind.id, str(labelled)]) == 0
    streams = capsys.readouterr()
    row = next(line for line in streams.out.splitlines() if line.startswith("sensitivity, balanced, n = 8"))
    difference = found["difference"]
    assert f"{difference['value']:.3f} ({difference['low']:.3f} to {difference['high']:.3f}) 8, 0" in " ".join(
        row.split()
    )
    assert row.rstrip().endswith("0.008") and "no longer an independent test" in streams.err


def test_reports_are_compared_without_scoring_again(
    models: tuple[Registered, Registered], labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, blind = models
    for model, name in ((good, "a"), (blind, "b")):
        assert run(["model", "evaluate", model.id, str(labelled), "--report", name]) == 0
    from_reports = compare(capsys, "a", "b")
    assert len(evaluations.of_model(good.id)) == 1
    mixed = compare(capsys, "a", blind.id, str(labelled))
    assert from_reports["auc"] == mixed["auc"] and from_reports["operating_points"] == mixed["operating_points"]
    assert [entry["refused"] for entry in from_reports["models"]] == [None, None]
    assert "person" not in (tmp_path / "a" / "scores.json").read_text()
    # The same pictures elsewhere, under other names, are the same; one less is not.
    moved = tmp_path / "moved"
    shutil.copytree(labelled, moved)
    (moved / "NORMAL" / "person100.png").rename(moved / "NORMAL" / "z.png")
    assert compare(capsys, "a", blind.id, str(moved))["auc"] == mixed["auc"]
    (moved / "NORMAL" / "z.png").unlink()
    error = compare(capsys, "a", blind.id, str(moved), code=Exit.USAGE)["error"]
    assert "15 were scored by both, 1 by the first alone, 0 by the second alone" in error["message"]


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"model": "m", "thresholds": {}, "pictures": []}', '{"model": 1, "pictures": [3]}']
)
def test_a_damaged_report_is_an_error(
    content: str, models: tuple[Registered, Registered], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "scores.json").write_text(content)
    error = compare(capsys, "a", "a", code=1)["error"]
    assert "scores.json" in error["message"] and "--report DIR" in error["hint"]


@pytest.mark.parametrize("row", ['"label": 2, "probability": 0.5', '"label": 1, "probability": NaN'])
def test_a_score_that_is_no_probability_is_an_error(row: str, tmp_path: Path) -> None:
    document = f'{{"model": "m", "thresholds": {{"balanced": 0.5}}, "pictures": [{{"sha256": "0", {row}}}]}}'
    (tmp_path / "scores.json").write_text(document)
    with pytest.raises(ValueError, match="label that is not 0 or 1"):
        read(tmp_path)


def test_without_pictures_a_folder_is_asked_for(
    models: tuple[Registered, Registered], capsys: pytest.CaptureFixture[str]
) -> None:
    error = compare(capsys, models[0].id, models[1].id, code=Exit.USAGE)["error"]
    assert error["hint"].startswith(f"pneumoctl model compare {models[0].id} {models[1].id} DIR")
