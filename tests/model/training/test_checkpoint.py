"""Checkpoints are written completely or not at all; a damaged one is replaced by the previous one."""

import json
from pathlib import Path

import numpy as np
import pytest

from model import files
from model.run_dir import CheckpointError
from model.training import checkpoint
from model.training.checkpoint import Checkpoints, arrays_to_variables, variables_to_arrays


def arrays(step: int) -> dict[str, np.ndarray]:
    return {"run/0000/a": np.full((3, 2), step, np.float32), "run/0001/b": np.array(step, np.int64)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Three checkpoints written, of which two are kept."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", "print", max_to_keep=2)
    for step in (10, 20, 30):
        checkpoints.save(step, arrays(step), {"progress": {"step": step}})
    return checkpoints


def steps(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.directory.glob("step-*"))


def test_the_newest_checkpoint_is_restored_unchanged(checkpoints: Checkpoints) -> None:
    restored, state = checkpoints.restore()
    assert state["progress"] == {"step": 30}
    assert all(np.array_equal(restored[name], value) for name, value in arrays(30).items())
    assert restored["run/0001/b"].dtype == np.int64


def test_old_and_partial_checkpoints_are_removed(checkpoints: Checkpoints) -> None:
    assert steps(checkpoints) == ["step-00000020", "step-00000030"]
    assert {path.name for path in checkpoints.directory.iterdir()} == {"step-00000020", "step-00000030", "latest"}


def test_a_run_without_checkpoints_starts_from_the_beginning(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", "print").restore() is None


@pytest.mark.parametrize("name", [checkpoint.ARRAYS, checkpoint.STATE, checkpoint.MANIFEST])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_replaced_by_the_previous_one(
    checkpoints: Checkpoints, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = checkpoints.directory / "step-00000030" / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    _, state = checkpoints.restore()
    assert state["step"] == 20
    assert "step-00000030 is damaged" in caplog.text


def test_damaged_checkpoints_only_are_an_error(checkpoints: Checkpoints) -> None:
    for directory in checkpoints.directory.glob("step-*"):
        (directory / checkpoint.ARRAYS).write_bytes(b"")
    with pytest.raises(CheckpointError, match="every checkpoint"):
        checkpoints.restore()


def test_other_settings_or_data_are_refused(checkpoints: Checkpoints) -> None:
    with pytest.raises(CheckpointError, match="other settings or data"):
        Checkpoints(checkpoints.directory, "another print").restore()


def test_a_kill_during_a_write_keeps_the_previous_checkpoint(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def killed_after(count: int):
        def flush(file: object) -> None:
            calls.append(file)
            if len(calls) > count:
                raise KeyboardInterrupt

        return flush

    for count in range(4):  # arrays, state, manifest, latest
        calls.clear()
        with monkeypatch.context() as patch:
            flush = killed_after(count)
            patch.setattr(files, "flush", flush)
            patch.setattr(checkpoint, "flush", flush)  # the arrays are written there
            with pytest.raises(KeyboardInterrupt):
                checkpoints.save(40, arrays(40), {"progress": {"step": 40}})
        restored, state = checkpoints.restore()
        # After its rename a checkpoint is whole, also when `latest` still names the one before.
        assert state["step"] in ((30,) if count < 3 else (30, 40))
        assert np.array_equal(restored["run/0000/a"], arrays(state["step"])["run/0000/a"])
    checkpoints.save(50, arrays(50), {"progress": {"step": 50}})
    assert not list(checkpoints.directory.glob(".writing-*"))


def test_a_run_resumed_from_an_older_checkpoint_replaces_the_newer(checkpoints: Checkpoints) -> None:
    checkpoints.save(20, arrays(21), {"progress": {"step": 20}})
    _, state = checkpoints.restore()
    assert state["step"] == 20
    assert json.loads((checkpoints.directory / "step-00000020" / "state.json").read_text())["fingerprint"] == "print"


class Variable:
    def __init__(self, path: str, value: np.ndarray) -> None:
        self.path, self.value = path, value

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


def test_variables_go_back_to_their_places_by_order() -> None:
    variables = [Variable(f"layer{n}/kernel", np.full(2, n, np.float32)) for n in range(12)]
    saved = variables_to_arrays(variables, "run")
    saved["best/0000"] = np.zeros(1)
    for variable in variables:
        variable.assign(np.zeros(2, np.float32))
    arrays_to_variables(saved, variables, "run")
    assert [variable.value[0] for variable in variables] == list(range(12))


@pytest.mark.parametrize(
    "other",
    [
        Variable("b/kernel", np.zeros(2, np.float32)),
        Variable("a/kernel", np.zeros(3, np.float32)),
        Variable("a/kernel", np.zeros(2, np.float64)),
    ],
)
def test_variables_of_another_network_are_refused(other: Variable) -> None:
    saved = variables_to_arrays([Variable("a/kernel", np.zeros(2, np.float32))], "run")
    with pytest.raises(CheckpointError, match="do not fit this network"):
        arrays_to_variables(saved, [other], "run")


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    files.write_json(tmp_path / "run.json", {"state": "running"})
    files.write_json(tmp_path / "run.json", {"state": "done"})
    assert json.loads((tmp_path / "run.json").read_text()) == {"state": "done"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
