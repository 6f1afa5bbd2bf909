"""Every verb of `model` on every kind of bundle: shipped, trained here or on a GPU host, of schema 1, of somebody."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model import bundle, phantom
from model.evaluation.intervals import proportion
from pneumoctl.cli.main import run
from pneumoctl.registry import store
from pneumoctl.registry.store import Registered

INTERVAL = proportion(9, 10)
FIGURES = {"n": 20, "auc": INTERVAL, "sensitivity": INTERVAL, "specificity": INTERVAL, "refused": 0}
ONE_CLASS = {"n": 10, "auc": None, "sensitivity": INTERVAL, "specificity": None}
RATES = {"sensitivity": INTERVAL, "specificity": None}
POINTS = {
    "balanced": {
        "threshold": 0.5,
        "target_sensitivity": 0.97,
        "chosen_on": "validation",
        "validation": RATES,
        "test": None,
    }
}
# What a manifest may state. A training leaves the test part out unless it is told to read it.
KINDS: dict[str, dict[str, Any]] = {
    "trained": {"metrics": {"validation": FIGURES, "test": None}, "operating_points": POINTS},
    "trained and tested": {"metrics": {"validation": FIGURES, "test": FIGURES}, "operating_points": POINTS},
    "of schema 1": {"metrics": {"validation": FIGURES, "test": None}},
    "tested on one class": {"metrics": {"validation": ONE_CLASS, "test": ONE_CLASS}},
    "without figures": {"metrics": {}, "data": {}},
    "of another program": {
        "metrics": {"validation": [0.9], "test": {"sensitivity": 0.9, "auc": {"value": 2}, "specificity": INTERVAL}},
        "settings": [7],
    },
    "without settings": {"settings": None, "metrics": {"validation": FIGURES}, "data": {"name": None}},
}


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    for name, opacity in (("NORMAL", False), ("PNEUMONIA", True)):
        (tmp_path / "labelled" / name).mkdir(parents=True)
        phantom.draw(100, 192, opacity).save(tmp_path / "labelled" / name / "a.png")
    return tmp_path / "labelled"


def made(tiny_bundle: Path, folder: Path, stated: dict[str, Any]) -> Path:
    shutil.copytree(tiny_bundle, folder, ignore=shutil.ignore_patterns(bundle.MANIFEST))
    manifest = json.loads((tiny_bundle / bundle.MANIFEST).read_text())
    return bundle.write(folder, {**manifest, **stated}).directory


def every_verb(model: Registered, labelled: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each verb ends with its own exit code, as text and as JSON, before and after an evaluation."""
    verbs = {
        ("ls",): (0,),
        ("show", model.id): (0,),
        ("evaluate", model.id, str(labelled)): (0,),
        ("compare", model.id, model.id, str(labelled)): (0,),
        ("calibrate", model.id, str(labelled)): (1,),  # two films are too few
        ("promote", model.id): (0, 10),
        ("promote", model.id, "--force", "--reason", "a test"): (0,),
        ("register", str(model.directory)): (0,),
    }
    for _ in range(2):
        for words, codes in verbs.items():
            for form in ((), ("--json",)):
                assert run(["model", *words, *form]) in codes, (words, capsys.readouterr())
                output = capsys.readouterr()
                assert "Traceback" not in output.err
                assert not form or isinstance(json.loads(output.out), dict)
    for target in (folder / "copy", folder / "copy.zip"):
        assert run(["model", "export", model.id, str(target)]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_reads_a_bundle(
    kind: str, tiny_bundle: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every_verb(store.register(made(tiny_bundle, tmp_path / "made", KINDS[kind])), labelled, tmp_path, capsys)


def test_every_verb_reads_the_shipped_bundle(labelled: Path, tmp_path: Path, capsys: Any) -> None:
    every_verb(store.shipped(), labelled, tmp_path, capsys)


def test_the_figures_that_are_stated_are_shown_and_no_others(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = store.register(made(tiny_bundle, tmp_path / "trained", KINDS["trained"]))
    assert run(["model", "show", trained.id]) == 0
    output = capsys.readouterr().out
    assert "validation of drawings:" in output and "test of" not in output
    assert "0.900  0.596 to 0.982" in output
    other = store.register(made(tiny_bundle, tmp_path / "other", KINDS["of another program"]))
    assert run(["model", "show", other.id]) == 0
    output = capsys.readouterr().out
    assert "specificity  0.900  0.596 to 0.982" in output and "sensitivity  0" not in output


def test_what_was_measured_on_shifted_copies_is_stated(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = {"value": 0.9, "low": 0.596, "high": 0.982, "n": 10}
    model = store.register(made(tiny_bundle, tmp_path / "new", {"shifted": {"sensitivity": rate}, "recipe": 2}))
    assert run(["model", "show", model.id, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["shifted"], document["recipe"]) == ({"sensitivity": rate}, 2)
    assert run(["model", "show", model.id]) == 0
    assert (
        "sensitivity  0.900  0.596 to 0.982"
        in capsys.readouterr().out.partition("one shifted copy of each film of validation")[2]
    )


def test_each_operating_point_is_shown_with_the_films_that_it_was_chosen_on(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = {**POINTS["balanced"], "threshold": 0.1, "chosen_on": "shifted validation"}
    several = store.register(
        made(tiny_bundle, tmp_path / "several", {"operating_points": {**POINTS, "screening": copies}})
    )
    older = store.register(made(tiny_bundle, tmp_path / "older", {"name": "older"}))
    assert run(["model", "show", several.id]) == 0
    output = capsys.readouterr().out
    assert "operating point balanced: threshold 0.5, chosen on validation\n" in output
    assert "operating point screening: threshold 0.1, chosen on shifted validation\n" in output
    assert run(["model", "show", older.id]) == 0
    assert "operating point balanced: threshold 0.5, chosen on validation\n" in capsys.readouterr().out


@pytest.mark.repeat
@pytest.mark.timeout(900)
def test_every_verb_reads_what_train_makes_here(
    labelled: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    phantom.tree(tmp_path / "drawings", 8, seed=3)
    small = ("--epochs", "1", "--height", "32", "--width", "32")
    assert run(["train", str(tmp_path / "drawings"), "--", *small]) == 0
    (name,) = store.names()
    trained = store.get(name)
    assert trained.manifest["metrics"]["test"] is None
    every_verb(trained, labelled, tmp_path, capfd)
