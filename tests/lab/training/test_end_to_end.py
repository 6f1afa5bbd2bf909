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
PATIENTS = 24  # synthetic, in each of the four folders


@dataclass(frozen=True)
class DataSet:
    """A labelled data set: its folder, the number of pictures, and how many of them are in the test split."""

    folder: Path
    count: int
    test: int


def count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def synthetic_pictures(folder: Path) -> DataSet:
    phantom.tree(folder, PATIENTS, seed=3, size=128)
    return DataSet(folder, count(folder), count(folder / "test"))


def real_pictures(folder: Path, root: Path) -> DataSet:
    """Some of the real pictures, in the folder layout of the full data set."""
    for split, number in (("train", TRAIN), ("test", TEST)):
        for label in ("NORMAL", "PNEUMONIA"):
            (folder / split / label).mkdir(parents=True)
            for picture in sorted((root / "kermany224" / split / label).iterdir())[:number]:
                shutil.copy(picture, folder / split / label)
    return DataSet(folder, 2 * (TRAIN + TEST), 2 * TEST)


@pytest.fixture(params=["synthetic", pytest.param("real", marks=[pytest.mark.data, pytest.mark.repeat])])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> DataSet:
    folder = tmp_path / "kermany"
    return (
        synthetic_pictures(folder)
        if request.param == "synthetic"
        else real_pictures(folder, request.getfixturevalue("data_root"))
    )


def page(training: TrainingHost, path: str) -> str:
    """The web page for a logged-in user."""
    shown: urllib3.BaseHTTPResponse = Traffic(training.operator).ask("GET", path, accept="text/html")
    return shown.data.decode()


def test_a_model_is_trained_promoted_deployed_and_its_findings_are_shown(
    pictures: DataSet, training: TrainingHost
) -> None:
    operator = training.operator
    push = operator.json("data", "push", str(pictures.folder))
    assert push["files"] == pictures.count and push["objects"] > 0
    assert operator.json("data", "push", str(pictures.folder))["objects"] == 0

    result = operator.json("train", "--gpu", "--", *FLAGS)
    receipt, bundle = result["receipt"], result["bundle"]
    assert (receipt["exit"], receipt["why"]) == (0, "done") and receipt["billed_s"] > 0 and receipt["usd"] > 0
    assert training.state() == "stopped"

    model = f"{bundle['name']}-{bundle['version']}"
    refused = operator.run("model", "promote", model, code=10)
    assert "no pictures were scored by both" in refused.stderr and f"pneumoctl model evaluate {model}" in refused.stderr
    operator.run("model", "promote", model, "--force", "--reason", "the lab's own test")
    operator.run("deploy", "model", "-y")
    assert releases.running_releases(operator.lab, "app-0")["model"] == model
    check_scores(training, pictures, bundle["version"])
    acts = [act["command"] for act in operator.json("audit")["acts"]]
    assert {"data push", "train", "model promote", "deploy model", "infer"} <= set(acts)


def check_scores(training: TrainingHost, pictures: DataSet, version: str) -> None:
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
