"""From real X-rays to the page, once through: pushed, trained on the GPU host, promoted, deployed, shown, torn down."""

import json
import shutil
from pathlib import Path

import pytest
import urllib3

from tests.lab import releases
from tests.lab.traffic import Traffic
from tests.lab.training import Training

# The compact network for two epochs; on so few films its threshold is chosen with a wide margin or none at all.
FLAGS = ("--epochs", "2", "--height", "96", "--width", "96", "--batch", "16", "--test", "--name", "few")
TRAIN, TEST = 120, 25  # films of each class


@pytest.fixture(scope="module")
def films(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the real films, in the folders of the whole set."""
    folder = tmp_path_factory.mktemp("films") / "kermany"
    for split, count in (("train", TRAIN), ("test", TEST)):
        for label in ("NORMAL", "PNEUMONIA"):
            (folder / split / label).mkdir(parents=True)
            for film in sorted((data_root / "kermany224" / split / label).iterdir())[:count]:
                shutil.copy(film, folder / split / label)
    return folder


def page(training: Training, path: str) -> str:
    """The page at the front door, as somebody sees it who is logged in."""
    shown: urllib3.BaseHTTPResponse = Traffic(training.operator).ask("GET", path, accept="text/html")
    return shown.data.decode()


def test_a_model_is_trained_on_real_films_promoted_deployed_and_its_findings_are_shown(
    training: Training, films: Path
) -> None:
    operator = training.operator
    pushed = operator.json("data", "push", str(films))
    assert pushed["files"] == 2 * (TRAIN + TEST) and pushed["objects"] > 0
    assert operator.json("data", "push", str(films))["objects"] == 0

    trained = operator.json("train", "--gpu", "--", *FLAGS)
    receipt, bundle = trained["receipt"], trained["bundle"]
    assert (receipt["exit"], receipt["why"]) == (0, "done") and receipt["billed_s"] > 0 and receipt["usd"] > 0
    assert training.state() == "stopped"

    model = f"{bundle['name']}-{bundle['version']}"
    refused = operator.run("model", "promote", model, code=None)
    if refused.returncode:  # two epochs on few films: it may well be worse than what serves
        assert refused.returncode == 10 and "sensitivity" in refused.stderr
        operator.run("model", "promote", model, "--force", "--reason", "the lab's own test")
    operator.run("deploy", "model", "-y")
    assert {releases.served(operator.lab, host)["model"] for host in ("app-0",)} == {model}

    done = operator.run("infer", str(films / "test"), "--json", code=None)
    scored = json.loads(done.stdout)
    assert scored["errors"] == [] and scored["scored"] + scored["refused"] == scored["pictures"] == 2 * TEST
    assert scored["posted"] == 2 * TEST
    # What looks like a chest film was learned from few: some real ones are refused, and the exit code says so.
    assert scored["scored"] > TEST and done.returncode == (6 if scored["refused"] else 0)
    assert scored["model"]["version"] == bundle["version"]
    assert bundle["version"] in page(training, "/")
    assert operator.json("infer", str(films / "test"), code=None)["posted"] == 0


def test_in_the_end_nothing_is_left_but_the_record(training: Training) -> None:
    operator, run = training.operator, training.newest()
    torn = operator.run("teardown", "-y")

    assert "proof: asked by tag and name, AWS has nothing of the stack left" in torn.stdout
    assert training.operator.json("runs", "show", run)["receipt"]["why"] == "done"
    acts = [one["command"] for one in operator.json("audit")["acts"]]
    assert {"train", "model promote", "deploy model", "infer", "teardown"} <= set(acts)
    assert json.loads(operator.run("gpu", "reap", "-y", "--json", code=None).stdout)["stopped"] == []
