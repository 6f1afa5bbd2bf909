"""Training as a real process: killed with SIGKILL it ends with the same bits, and finished it has all files."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model import train
from model.settings import TrainSettings
from model.training.checkpoint import Checkpoints
from tests.model import forked

ROOT = Path(train.__file__).parents[1]
# Three steps per epoch, of batches of one size: TensorFlow compiles a step for each size.
SMALL = ("--height", "48", "--width", "48", "--batch", "6", "--epochs", "2", "--validation-share", "0.25")
# The command itself, with a network of its stem alone (to start fast), no bundle, and a SIGKILL at one step.
KILLED = """
import os, signal, sys
from model import train
from model.training.reporter import Reporter
kill = int(sys.argv[1])
class Watch(Reporter):
    def __call__(self, progress, steps):
        super().__call__(progress, steps)
        if progress.step == kill:
            os.kill(os.getpid(), signal.SIGKILL)
def no_bundle(*_):
    pass
train.Reporter = Watch
from model.training import network, run
run.build_bundle = no_bundle
network.DAG_WIDTHS = ()
sys.exit(train.main(sys.argv[2:]))
"""


def start(arguments: tuple[str, ...], *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500)


def fork(directory: Path, program: str, *words: object) -> subprocess.CompletedProcess[str]:
    path = directory / "program.py"
    path.write_text(program)
    return forked.start(path, *words)


def end(out: Path) -> dict[str, np.ndarray]:
    """Everything in the last checkpoint: weights, optimizer, random numbers, averages, best weights."""
    fingerprint = json.loads((max((out / "checkpoints").glob("step-*")) / "state.json").read_text())["fingerprint"]
    arrays, state = Checkpoints(out / "checkpoints", fingerprint).restore()
    assert state["progress"]["finished"]
    return arrays


@pytest.mark.repeat
def test_a_real_process_killed_twice_ends_with_the_same_bits(tree: Path, tmp_path: Path) -> None:
    whole_run, killed_run = tmp_path / "whole", tmp_path / "killed"
    whole = fork(tmp_path, KILLED, -1, tree, "--out", whole_run, *SMALL)
    assert whole.returncode == 0, whole.stderr
    more = ()
    for kill in (1, 5):  # in the first and in the second epoch, between two checkpoints
        killed = fork(tmp_path, KILLED, kill, tree, "--out", killed_run, *SMALL, "--checkpoint-steps", 2, *more)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert json.loads((killed_run / "run.json").read_text())["state"] == "running"
        assert not (killed_run / "bundle").exists()
        more = ("--resume",)
    last = fork(tmp_path, KILLED, -1, tree, "--out", killed_run, "--resume")
    assert last.returncode == 0, last.stderr
    expected, actual = end(whole_run), end(killed_run)
    assert actual.keys() == expected.keys()
    assert [name for name in expected if not np.array_equal(actual[name], expected[name])] == []
    assert json.loads((killed_run / "run.json").read_text())["state"] == "done"
    assert json.loads((killed_run / "history.json").read_text()) == json.loads((whole_run / "history.json").read_text())


# One step of the real network at its real size, again and again from the same state: the small pictures above are
# summed by one thread, these by several.
STEPS = """
import hashlib
import numpy as np
from model.settings import choose
from model.training import loop, network
loop.make_deterministic(7)
settings = choose()
model = network.build(settings)
network.compile_for(model, settings, 2, 100)
model.optimizer.build(model.trainable_variables)
variables = {id(one): one for one in [*model.variables, *model.optimizer.variables]}.values()
start = [one.numpy() for one in variables]
pixels = np.random.default_rng(0).uniform(0, 255, (32, 160, 160, 1)).astype("float32")
labels = (np.arange(32) % 2).astype("float32")[:, None]
for _ in range(4):
    for one, value in zip(variables, start):
        one.assign(value)
    model.train_on_batch(pixels, labels)
    print(hashlib.sha256(b"".join(one.numpy().tobytes() for one in model.trainable_variables)).hexdigest())
"""


def test_the_same_step_gives_the_same_bits_on_several_cores(tmp_path: Path) -> None:
    result = fork(tmp_path, STEPS)
    assert result.returncode == 0, result.stderr
    digests = result.stdout.split()
    assert len(digests) == 4
    assert len(set(digests)) == 1


# The command itself, with a network of its stem alone. The line that lists the data comes when TensorFlow has been
# loaded by the command, in its own order, and before the network is built.
WHOLE = """
import sys
from model import train
from model.training.reporter import Reporter
class Small(Reporter):
    def line(self, text):
        super().line(text)
        if text.startswith("drawings: "):
            sys.modules["model.training.network"].DAG_WIDTHS = ()
train.Reporter = Small
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def finished(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One whole run as a person starts it, with its bundle."""
    out = tmp_path_factory.mktemp("run") / "out"
    return out, start(("-c", WHOLE), tree, "--out", out, *SMALL, "--epochs", 1, "--name", "drawn", "--ages", 2, 9)


def test_a_run_writes_all_documented_files(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = finished
    assert done.returncode == 0, done.stderr
    facts = json.loads((out / "run.json").read_text())
    assert (facts["state"], facts["step"], facts["epoch"]) == ("done", facts["steps"], 1)
    assert facts["images_per_second"] > 0
    assert len(json.loads((out / "history.json").read_text())) == 1
    saved = json.loads((out / "settings.json").read_text())
    assert TrainSettings.from_dict(saved["settings"]).height == 48
    assert len(saved["data"]["manifest_sha256"]) == 64
    assert saved["bundle"] == {"name": "drawn", "ages": [2, 9]}
    assert {path.name for path in (out / "bundle").iterdir()} >= {"model.keras", "model.onnx", "bundle.json"}
    facts = json.loads((out / "bundle" / "bundle.json").read_text())["data"]
    assert (facts["attribution"], facts["ages"]) == ("Drawings for a test", [2, 9])
    assert (out / "bundle" / "model.onnx").stat().st_size < 100_000  # the network was the small one
    assert (out / "history.png").stat().st_size > 1000


def test_only_our_own_lines_are_printed(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = finished
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "running"
    assert lines[-1] == "done"
    assert not [line for line in lines if "states no ages" in line]
    assert not [line for line in lines if "oneDNN" in line or "Warning" in line or "\r" in line]


def test_a_finished_run_is_left_alone(finished: tuple[Path, subprocess.CompletedProcess[str]], capsys) -> None:
    out, _ = finished
    before = (out / "bundle" / "bundle.json").read_bytes()
    assert train.main(["anywhere", "--out", str(out), "--resume"]) == 0
    assert (out / "bundle" / "bundle.json").read_bytes() == before


def test_a_crash_exits_nonzero_and_leaves_no_bundle(tree: Path, tmp_path: Path) -> None:
    broken = "import sys\nfrom model import train\nfrom model.training import loop, network\n"
    broken += "network.DAG_WIDTHS = ()\nloop.TrainingLoop._validate = None\nsys.exit(train.main(sys.argv[1:]))"
    result = fork(tmp_path, broken, tree, "--out", tmp_path / "run", *SMALL)
    assert result.returncode == train.FAILED
    assert not (tmp_path / "run" / "bundle").exists()
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["state"] == "failed"
    assert "TypeError" in facts["message"]
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text()


def test_help_is_fast_because_it_imports_nothing_heavy() -> None:
    code = "import sys, model.train\ntry:\n    model.train.main(['--help'])\nexcept SystemExit:\n    pass\n"
    code += "print([name for name in ('tensorflow', 'keras', 'sklearn', 'matplotlib') if name in sys.modules])"
    result = start(("-c", code))
    assert result.stdout.splitlines()[-1] == "[]"
    for flag in ("--arch", "--weights", "--loss", "--optimizer", "--metric", "--no-mirror", "--resume"):
        assert flag in result.stdout
