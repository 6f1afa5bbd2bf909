"""The whole way from pictures to the web page: push, train on the GPU host, promote, deploy, infer, show."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from model import phantom
from tests.lab.hosts import releases
from tests.lab.hosts.traffic import Traffic
from tests.lab.training.host import TrainingHost

# The compact network for two epochs. With so few pictures, its threshold is not reliable.
FLAGS = ("--epochs", "2", "--height", "96", "--width", "96", "--batch", "16", "--test", "--name", "few")
TRAIN, TEST = 120, 25  # real pictures of each class
PATIENTS = 24  # drawn, in each of the four folders


@dataclass(frozen=True)
class Pictures:
    """A labelled data set: its folder, the number of pictures, and how many of them are in the test split."""

    folder: Path
    count: int
    test: int


def count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def drawn(folder: Path) -> Pictures:
    phantom.tree(folder, PATIENTS, seed=3, size=128)
    return Pictures(folder, count(folder), count(folder / "test"))


def filmed(folder: Path, root: Path) -> Pictures:
    """Some of the real pictures, in the folder layout of the full data set."""
    for split, wanted in (("train", TRAIN), ("test", TEST)):
        for label in ("NORMAL", "PNEUMONIA"):
            (folder / split / label).mkdir(parents=True)
            for film in sorted((root / "kermany224" / split / label).iterdir())[:wanted]:
                shutil.copy(film, folder / split / label)
    return Pictures(folder, 2 * (TRAIN + TEST), 2 * TEST)


@pytest.fixture(params=["drawings", pytest.param("films", marks=[pytest.mark.data, pytest.mark.repeat])])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Pictures:
    folder = tmp_path / "kermany"
    return drawn(folder) if request.param == "drawings" else filmed(folder, request.getfixturevalue("data_root"))


def page(training: TrainingHost, path: str) -> str:
    """The web page for a logged-in user."""
    shown: urllib3.BaseHTTPResponse = Traffic(training.operator).ask("GET", path, accept="text/html")
    return shown.data.decode()


def test_a_model_is_trained_promoted_deployed_and_its_findings_are_shown(
    pictures: Pictures, training: TrainingHost
) -> None:
    operator = training.operator
    pushed = operator.json("data", "push", str(pictures.folder))
    assert pushed["files"] == pictures.count and pushed["objects"] > 0
    assert operator.json("data", "push", str(pictures.folder))["objects"] == 0

    trained = operator.json("train", "--gpu", "--", *FLAGS)
    receipt, bundle = trained["receipt"], trained["bundle"]
    assert (receipt["exit"], receipt["why"]) == (0, "done") and receipt["billed_s"] > 0 and receipt["usd"] > 0
    assert training.state() == "stopped"

    model = f"{bundle['name']}-{bundle['version']}"
    refused = operator.run("model", "promote", model, code=None)
    if refused.returncode:  # after two epochs on few pictures, it may be worse than the model that serves
        assert refused.returncode == 10 and "sensitivity" in refused.stderr
        operator.run("model", "promote", model, "--force", "--reason", "the lab's own test")
    operator.run("deploy", "model", "-y")
    assert releases.served(operator.lab, "app-0")["model"] == model
    scored(training, pictures, bundle["version"])
    acts = [act["command"] for act in operator.json("audit")["acts"]]
    assert {"data push", "train", "model promote", "deploy model", "infer"} <= set(acts)


def scored(training: TrainingHost, pictures: Pictures, version: str) -> None:
    """The new model scores the pictures of the test split, and the page shows the results."""
    operator, test = training.operator, str(pictures.folder / "test")
    result = operator.run("infer", test, "--json", code=None)
    document = json.loads(result.stdout)
    assert document["errors"] == [] and document["scored"] + document["refused"] == document["pictures"]
    assert document["pictures"] == document["posted"] == pictures.test
    # The check for chest X-rays was learned from few pictures: some are refused, which gives exit code 6.
    assert document["scored"] > pictures.test / 2 and result.returncode == (6 if document["refused"] else 0)
    assert document["model"]["version"] == version
    assert version in page(training, "/")
    assert operator.json("infer", test, code=None)["posted"] == 0
