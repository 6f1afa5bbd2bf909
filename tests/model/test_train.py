"""The command that trains: its usage, states and exit codes."""

import json
import logging
import os
import signal
from pathlib import Path

import pytest

from model import run_dir, train
from model.settings import TrainSettings
from model.training import run


def run_quietly(monkeypatch: pytest.MonkeyPatch, error: BaseException, tmp_path: Path, data: Path) -> tuple[int, dict]:
    """The command with the training replaced by an error."""

    def raising(*_: object) -> None:
        raise error

    monkeypatch.setattr(run, "train_and_bundle", raising)
    return started(tmp_path, data)


def started(tmp_path: Path, data: Path) -> tuple[int, dict]:
    """The command's exit code and run.json; the signals are given back to the tests."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = train.main([str(data), "--out", str(tmp_path / "run")])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, json.loads((tmp_path / "run" / "run.json").read_text())


def test_a_collapse_has_its_own_code_and_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Path) -> None:
    from model.training.errors import Collapsed

    code, facts = run_quietly(monkeypatch, Collapsed("all positive"), tmp_path, tree)
    assert (code, facts["state"], facts["message"]) == (train.COLLAPSED, "collapsed", "all positive")


def test_a_run_that_cannot_be_resumed_has_its_own_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Path
) -> None:
    code, facts = run_quietly(monkeypatch, run_dir.CheckpointError("start a new run"), tmp_path, tree)
    assert (code, facts["state"], facts["message"]) == (train.NOT_RESUMABLE, "failed", "start a new run")


def test_a_signal_sets_the_exit_code_and_the_state_names_resume(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Path
) -> None:
    from model.training.errors import Stopped

    class Asked(Stopped):
        def __init__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(run, "train_and_bundle", lambda *_: (_ for _ in ()).throw(Asked()))
    code, facts = started(tmp_path, tree)
    assert (code, facts["state"]) == (128 + signal.SIGTERM, "stopped")
    assert "--resume" in facts["message"]


def test_wrong_data_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Path, capsys
) -> None:
    from model.data.dataset import DataError

    code, facts = run_quietly(monkeypatch, DataError("2 patients are in both"), tmp_path, tree)
    assert (code, facts["state"]) == (train.FAILED, "failed")
    assert "Traceback" not in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--epochs", "0"), "epochs is 0"),
        (("--weights", "imagenet"), "resnet50 only"),
        (("--weights", "lost.h5"), "no file lost.h5"),
        (("--learning-rate", "nan"), "learning_rate is nan"),
        (("--checkpoint-steps", "0"), "must be at least 1"),
        (("--resume",), "no run to resume"),
    ],
)
def test_a_bad_value_is_one_line_and_exit_2(words: tuple[str, ...], wanted: str, tmp_path: Path, capsys) -> None:
    assert train.main([str(tmp_path), "--out", str(tmp_path / "run"), *words]) == train.USAGE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert wanted in lines[0]
    assert not (tmp_path / "run").exists()


def test_an_unknown_choice_is_exit_2(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main([str(tmp_path), "--out", str(tmp_path / "run"), "--arch", "vgg"])
    assert caught.value.code == train.USAGE


def test_training_into_a_non_empty_directory_is_refused(tmp_path: Path, capsys) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert train.main([str(tmp_path), "--out", str(tmp_path)]) == train.USAGE
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def begun(out: Path, chosen: TrainSettings) -> None:
    out.mkdir()
    (out / "settings.json").write_text(json.dumps({"settings": chosen.to_dict(), "data": {"name": "other"}}))


def test_a_resume_with_another_choice_is_refused(tmp_path: Path, capsys) -> None:
    begun(tmp_path / "run", TrainSettings(seed=7))
    words = [str(tmp_path), "--out", str(tmp_path / "run"), "--resume", "--seed", "8", "--epochs", "20"]
    assert train.main(words) == train.USAGE
    assert "another seed;" in capsys.readouterr().err


def test_a_resume_with_other_data_is_refused(tree: Path, tmp_path: Path) -> None:
    from model.data import dataset
    from model.training.checkpoint import CheckpointError

    begun(tmp_path / "run", TrainSettings())
    with pytest.raises(CheckpointError, match="other data"):
        run_dir.record_settings(tmp_path / "run", TrainSettings(), dataset.split(dataset.load(tree), 0.25, 7), {})


def test_a_resume_of_a_run_with_another_recipe_is_refused(tree: Path, tmp_path: Path) -> None:
    """Its first epochs saw films that were altered in another way: it would be of neither recipe."""
    from model.data import dataset
    from model.training.checkpoint import CheckpointError

    drawings = dataset.split(dataset.load(tree), 0.25, 7)
    fingerprint = run_dir.record_settings(tmp_path, TrainSettings(), drawings, {})
    stated = json.loads((tmp_path / "settings.json").read_text())
    for recipe in ({}, {"recipe": run_dir.RECIPE + 1}):
        earlier = {**{key: value for key, value in stated.items() if key != "recipe"}, **recipe}
        (tmp_path / "settings.json").write_text(json.dumps(earlier))
        with pytest.raises(CheckpointError, match="in another way; start a new run"):
            run_dir.record_settings(tmp_path, TrainSettings(), drawings, {})
        assert json.loads((tmp_path / "settings.json").read_text()) == earlier
    (tmp_path / "settings.json").write_text(json.dumps(stated))
    assert run_dir.record_settings(tmp_path, TrainSettings(), drawings, {}) == fingerprint


def test_what_is_said_of_the_bundle_is_kept_in_the_run(tree: Path, tmp_path: Path) -> None:
    """A resumed run needs no option twice, may change one, and continues from the same checkpoints."""
    from model.data import dataset

    drawings = dataset.split(dataset.load(tree), 0.25, 7)
    steps = [
        ({"name": "drawn", "source": "", "ages": [2, 9]}, {"name": "drawn", "ages": [2, 9]}),
        ({"name": None, "source": "", "ages": None}, {"name": "drawn", "ages": [2, 9]}),
        ({"source": "ours", "ages": [3, 9]}, {"name": "drawn", "source": "ours", "ages": [3, 9]}),
    ]
    fingerprints = set()
    for given, expected in steps:
        said = run_dir.description(tmp_path, **given)
        assert said == expected
        fingerprints.add(run_dir.record_settings(tmp_path, TrainSettings(), drawings, said))
    assert len(fingerprints) == 1


def test_two_processes_do_not_train_into_one_directory(tmp_path: Path, capsys) -> None:
    begun(tmp_path / "run", TrainSettings())
    with run_dir.locked(tmp_path / "run"):
        assert train.main([str(tmp_path), "--out", str(tmp_path / "run"), "--resume"]) == train.USAGE
    assert "another process is training" in capsys.readouterr().err


def test_noise_goes_to_the_log_and_errors_come_back(tmp_path: Path, capfd) -> None:
    with run_dir.stderr_to(tmp_path / "log"):
        os.write(2, b"from C++\n")
    os.write(2, b"from us\n")
    assert (tmp_path / "log").read_text() == "from C++\n"
    assert capfd.readouterr().err == "from us\n"


def test_the_log_is_closed_and_the_loggers_restored_when_the_run_ends(tmp_path: Path, capfd) -> None:
    loggers = (logging.root, logging.getLogger("tf2onnx"))
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    with pytest.raises(ZeroDivisionError), run_dir.logging_to(tmp_path / "log"):
        (to_file,) = [handler for handler in logging.root.handlers if isinstance(handler, logging.FileHandler)]
        logging.getLogger("model").info("from us")
        raise ZeroDivisionError
    assert to_file.stream is None
    assert [(logger.level, list(logger.handlers)) for logger in loggers] == before
    assert "INFO from us" in (tmp_path / "log").read_text() and capfd.readouterr().err == "from us\n"
