"""Each extra alone, in an environment that holds nothing else, does what the README says it is for."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from pneumoctl import __version__, installation
from tests.installs import environments
from tests.installs.conftest import Make
from tests.pneumoctl.cli.test_predict_sr import film
from tests.pneumoctl.cloud import REGION, Cloud

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]
STACK = {"PNEUMO_STACK": "w"}
PORTS = {"PNEUMO_REDIS_PORT": "9310", "PNEUMO_API_PORT": "9320", "PNEUMO_UI_PORT": "9330"}
DRAWING = ("python", "-m", "model.phantom", "drawing.png", "--seed", "7", "--opacity")
PROVE = """
import sys
from model import bundle
from pneumoctl.targets.common.health import WebEndpoint, gate
gate(WebEndpoint(sys.argv[1]), bundle.load(bundle.pretrained()).manifest)
"""
# Our modules that the commands of the extra import.
OURS = {
    "predict": ("model.evaluation.report", "model.serving.explain"),
    "local": ("webapp.api.views", "webapp.ui.views"),
    "dicomnet": ("webapp.receiver.server",),
    "report": ("pneumoctl.scoring.structured_report", "pneumoctl.scoring.pdf_page"),
    "aws": ("model.data.dataset", "model.train"),
    "train": (
        "model.export",
        "model.bundling.calibrated",
        "model.training.loop",
        "model.evaluation.plots",
        "model.train",
    ),
}
DRAWINGS = "from pathlib import Path; from model import phantom; phantom.tree(Path('drawings'), 6, 1)"


@pytest.mark.parametrize("extra", installation.MODULES)
def test_an_environment_has_exactly_the_packages_of_the_extra(make: Make, wheel: Path, extra: str) -> None:
    """Ensures that the tests below can fail: packages of other extras are not installed by accident."""
    wanted = environments.closure(wheel, extra, [str(make(extra).site)]) | {"pneumoctl"}
    asked = "from importlib.metadata import distributions; print(*{one.name for one in distributions()})"
    installed = {environments.canonicalize_name(name) for name in make(extra).run("python", "-c", asked).stdout.split()}
    assert wanted <= installed <= wanted | {"pip", "setuptools"}  # with these two a new environment may begin
    # Imported, not only found: a package may need another that it does not declare.
    make(extra).run("python", "-c", f"import {', '.join((*installation.MODULES[extra], *OURS[extra]))}")


def test_predict(make: Make, tmp_path: Path) -> None:
    predict = make("predict")
    predict.run(*DRAWING, cwd=tmp_path)
    (prediction,) = json.loads(predict.run("pneumoctl", "predict", "drawing.png", "--json", cwd=tmp_path).stdout)[
        "predictions"
    ]
    assert prediction["finding"] is not None and prediction["refusal"] is None


def test_report(make: Make, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    film(films, "a.dcm", PatientBirthDate="20230101")  # of an age that the shipped model learned from
    make("report").run("pneumoctl", "predict", "films", "--sr", "reports", "--pdf", "pages", cwd=tmp_path)
    (written,) = (tmp_path / "reports").iterdir()
    assert dcmread(written).Modality == "SR"
    (page,) = (tmp_path / "pages").iterdir()
    assert page.read_bytes().startswith(b"%PDF")


def test_aws_verifies_a_stack_that_local_serves(make: Make, tmp_path: Path) -> None:
    """A local stack with [local], and the final check of `up --target aws` by [aws] on the same page."""
    local = make("local", **STACK, **PORTS)
    local.run(*DRAWING, cwd=tmp_path)
    local.run("pneumoctl", "up", "-y")
    asked = local.run("pneumoctl", "predict", "drawing.png", "--remote", "--json", cwd=tmp_path)
    (there,) = json.loads(asked.stdout)["predictions"]
    (here,) = json.loads(local.run("pneumoctl", "predict", "drawing.png", "--json", cwd=tmp_path).stdout)["predictions"]
    same = ("id", "finding", "refusal", "probability", "threshold", "model")
    assert {key: here[key] for key in same} == {key: there[key] for key in same}
    url = json.loads(local.run("pneumoctl", "status", "--json").stdout)["url"]
    make("aws").run("python", "-c", PROVE, url)
    assert json.loads(local.run("pneumoctl", "teardown", "-y", "--json").stdout)["left"] == []


@pytest.fixture
def account(cloud: Cloud, provider: dict[str, str]) -> dict[str, str]:
    """The variables of an operator whose AWS is the lab's."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    target = {"PNEUMO_TARGET": "aws", "PNEUMO_OPERATOR_CIDR": "198.51.100.7/32"}
    return {**STACK, **target, **keys, **provider, "AWS_ENDPOINT_URL": cloud.url, "AWS_REGION": REGION}


def test_aws_checks(make: Make, account: dict[str, str]) -> None:
    checks = json.loads(make("aws", **account).run("pneumoctl", "doctor", "--json").stdout)["checks"]
    assert {"packages", "terraform", "ssh client", "credentials"} <= {row["check"] for row in checks}


@pytest.mark.repeat  # the plan itself is proven in the lab
def test_aws_plans(make: Make, account: dict[str, str]) -> None:
    planned = json.loads(make("aws", **account).run("pneumoctl", "plan", "--json").stdout)
    assert "aws_instance" in json.dumps(planned)


def test_aws_without_credentials_says_so(make: Make) -> None:
    aws = make(
        "aws", **STACK, PNEUMO_TARGET="aws", AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", HOME="/nowhere"
    )
    error = json.loads(aws.run("pneumoctl", "plan", "--json", code=4).stdout)["error"]
    assert "no AWS credentials" in error["message"]


def test_aws_rejects_invalid_training_flags_before_any_cost(make: Make) -> None:
    aws = make("aws", **STACK)
    assert "--max-cost" in aws.run("pneumoctl", "train", "--gpu", "--help").stdout
    refused = aws.run("pneumoctl", "train", "--gpu", "--", "--epochs", "many", code=2)
    assert "invalid int value: 'many'" in refused.stderr
    assert "there is no stack" in aws.run("pneumoctl", "train", "--gpu", "--", "--epochs", "3", code=1).stderr


@pytest.mark.repeat  # a minute; in the usual run a training is proven in tests/model, with all extras installed
def test_train(make: Make, tmp_path: Path) -> None:
    train = make("train", **STACK)
    train.run("python", "-c", DRAWINGS, cwd=tmp_path)
    small = ("--height", "48", "--width", "48", "--batch", "4", "--epochs", "1", "--validation-share", "0.25")
    train.run("pneumoctl", "train", "drawings", "--", *small, "--name", "tiny", cwd=tmp_path)
    listed = json.loads(train.run("pneumoctl", "model", "ls", "--json").stdout)
    assert "tiny" in json.dumps(listed)


def test_the_base_alone_says_which_extra_is_missing_and_how_to_add_it(make: Make, tmp_path: Path) -> None:
    base = make("", **STACK)
    assert base.run("pneumoctl", "--version").stdout == f"pneumoctl {__version__}\n"
    (tmp_path / "picture.png").write_bytes(b"")
    assert "[predict]" in base.run("pneumoctl", "predict", "picture.png", cwd=tmp_path, code=1).stderr
    assert "[aws]" in base.run("pneumoctl", "plan", "--target", "aws", code=1).stderr
    (row,) = [check for check in _checks(base, "--target", "aws") if check["check"] == "packages"]
    assert row["seen"] == "missing: " + ", ".join(installation.MODULES["aws"])
    assert "[aws]" in row["fix"]
    (row,) = [check for check in _checks(base) if check["check"] == "python"]
    assert row["seen"].endswith("missing: " + ", ".join(sorted(installation.MODULES["local"])))
    assert "[local]" in row["fix"]


def _checks(environment: environments.Environment, *words: str) -> list[dict[str, Any]]:
    result = environment.run("pneumoctl", "doctor", "--json", *words, code=4)
    return list(json.loads(result.stdout)["checks"])
