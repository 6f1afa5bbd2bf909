"""Fixtures that every test folder shares."""

import logging
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pneumoctl.stack.settings import RESERVED
from tests import ages, needs

if TYPE_CHECKING:
    import numpy as np


RESTORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def pytest_configure() -> None:
    """Have every child start with default signal handling and settings, whatever this process was started with.

    A child inherits what is ignored (by `nohup`, or by a shell for its jobs in the background) and what is blocked; it
    does not inherit a handler. That of SIGHUP does nothing, so that a run under `nohup` still outlives its terminal.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, RESTORED)
    defaults = {signal.SIGHUP: lambda *_: None, signal.SIGINT: signal.default_int_handler}
    for number in RESTORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, defaults.get(number, signal.SIG_DFL))
    for name in [name for name in os.environ if name.startswith("PNEUMO_") and name not in RESERVED]:
        del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", metavar="SEED", help="another order of files and of their tests (reverse: the opposite)"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those that use real X-rays are marked so, to be run alone; all are shuffled if asked for."""
    for item in items:
        if "data_root" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)
    seed = config.getoption("--shuffle")
    if seed == "reverse":
        items.reverse()
    elif seed:
        dice = random.Random(seed)
        files = {item.path: dice.random() for item in items}
        items.sort(key=lambda item: (files[item.path], dice.random()))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Under PNEUMO_NO_SKIPS (CI) a skipped test is a failed one: there everything is installed that a test needs.

    Real X-rays may be missing, as they are on a user's machine.
    """
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("PNEUMO_NO_SKIPS") and not _without_data(report):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"


def _without_data(report: pytest.TestReport) -> bool:
    return not os.environ.get("PNEUMO_DATA") and _reason(report) == f"Skipped: {needs.DATA}"


def _reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason for which tests were skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(_reason(report).removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(autouse=True)
def _same_log_handlers() -> Iterator[None]:
    """A command that ran in this process leaves no handler of its own: its stream is closed when the next test logs."""
    before, level = list(logging.root.handlers), logging.root.level
    yield
    for handler in [handler for handler in logging.root.handlers if handler not in before]:
        logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real pictures named by PNEUMO_DATA; the test is skipped without it."""
    root = os.environ.get("PNEUMO_DATA")
    if not root:
        pytest.skip(needs.DATA)
    return Path(root)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a whole, honest bundle whose network is one linear layer that tells drawings apart.

    model/phantom.py's drawings with an opacity score above the threshold 0.5, those without below it (checked
    in tests/model/serving/test_predict.py for seeds 100 to 119). Do not write into it: copy it first.
    """
    import numpy as np

    from model import bundle, phantom
    from model.bundling import refusal
    from model.images import decode, refuse

    side = 32
    drawings = [phantom.draw(seed, 192, opacity) for seed in range(1, 25) for opacity in (False, True)]
    inputs = np.stack([decode.to_input(drawing, side, side) for drawing in drawings]).reshape(len(drawings), -1)
    plain, opaque = inputs[0::2].mean(axis=0), inputs[1::2].mean(axis=0)
    weights = (opaque - plain) / np.square(opaque - plain).sum() * 8
    bias = -float((opaque + plain) @ weights / 2)
    directory = tmp_path_factory.mktemp("tiny") / "bundle"
    directory.mkdir()
    _write_linear_network(directory / "model.onnx", side, weights, bias)
    (directory / "model.keras").write_bytes(b"no Keras model: this bundle is for tests of serving only")
    (directory / "MODEL_CARD.md").write_text("# Tiny test model\n\nFor tests only.\n")
    known_picture = {"seed": 7, "size": 192, "opacity": True}
    logit = decode.to_input(phantom.draw(**known_picture), side, side).ravel() @ weights + bias
    manifest = {
        **_manifest_of_drawings(side, len(drawings)),
        "refusal": refusal.by_distance(np.stack([refuse.statistics(drawing, 0.0) for drawing in drawings])),
        "known_picture": {**known_picture, "probability": float(1 / (1 + np.exp(-logit))), "tolerance": 0.01},
    }
    return bundle.write(directory, manifest).directory


def _manifest_of_drawings(side: int, drawings: int) -> dict[str, Any]:
    """What the tiny bundle says of itself, except what is measured on its drawings."""
    interval = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}
    return {
        "name": "tiny-linear",
        "created": "2026-01-01T00:00:00Z",
        "input": {"height": side, "width": side, "channels": 1, "range": [0, 255], "resize": "squash-bilinear"},
        "labels": ["no pneumonia", "pneumonia"],
        "temperature": 1.0,
        "operating_point": {
            "threshold": 0.5,
            "target_sensitivity": 0.95,
            "chosen_on": "validation",
            "sensitivity": interval,
            "specificity": interval,
        },
        "metrics": {"validation": {}, "test": None},
        "data": {"name": "drawings", "manifest_sha256": "0" * 64, "train": drawings, "validation": 0, "test": 0},
        "settings": {},
        "code_version": "test",
        "intended_use": "tests of the serving code",
    }


@pytest.fixture(scope="session")
def bundle_with_scores(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, stating how its validation films scored. Do not write into it: copy it first."""
    from model import bundle

    copy = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("scores") / "bundle"))
    manifest = {key: value for key, value in bundle.load(copy).manifest.items() if key not in ("version", "files")}
    metrics = {"validation": {"score_bins": [80, 0, 0, 20, 0, 0, 0, 0, 0, 100]}, "test": None}
    return bundle.write(copy, {**manifest, "metrics": metrics}).directory


@pytest.fixture(scope="session")
def bundle_of_children(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, saying that it learned from children aged 1 to 5. Do not write into it: copy it first."""
    from model import bundle

    copy = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("children") / "bundle"))
    manifest = {key: value for key, value in bundle.load(copy).manifest.items() if key not in ("version", "files")}
    return bundle.write(copy, {**manifest, "data": {**manifest["data"], "ages": [1, 5]}}).directory


@pytest.fixture(scope="session")
def adult_film() -> bytes:
    """A drawing as a DICOM file, an AP view of a patient of ages.ADULT years."""
    import numpy as np

    from model import phantom
    from tests.model.conftest import Films

    window = {"WindowCenter": 127.5, "WindowWidth": 256}
    drawn = np.asarray(phantom.draw(101, 256))
    return Films.content(Films.make(drawn, PatientAge=f"{ages.ADULT:03}Y", ViewPosition="AP", **window))


def _write_linear_network(path: Path, side: int, weights: "np.ndarray", bias: float) -> None:
    """An ONNX network with the interface of every bundle: logit = pixels . weights + bias."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    tensors = [
        numpy_helper.from_array(np.array([-1, side * side], dtype=np.int64), "shape"),
        numpy_helper.from_array(np.asarray(weights, dtype=np.float32).reshape(-1, 1), "weights"),
        numpy_helper.from_array(np.array([bias], dtype=np.float32), "bias"),
    ]
    nodes = [
        helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logit"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", side, side, 1])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", 1])
    graph = helper.make_graph(nodes, "tiny", [pixels], [logit], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
