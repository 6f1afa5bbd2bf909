"""Compare the network of a bundle with its int8 quantization: decisions that change, size and speed.

`python -m tests.bench.bench_int8 DATA [--bundle DIR] [--calibrate 200]`. DATA is the data set that the bundle was
trained on. The validation part and three shifted copies of each of its films are measured, and training pictures
calibrate the ranges; the test part is not scored. int8 is accepted if at most .2 % of the decisions change at every
operating point, for films and for copies, and it is clearly faster.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model import bundle as bundles
from model.data import dataset as data
from model.data import shifted
from model.serving.predict import Classifier
from model.settings import validation_cut

ACCEPTED, FASTER = 0.002, 1.2
COPIES_SEED = 2  # added to the seed of the split: copies that no threshold was chosen on


def quantize(network: Path, target: Path, pictures: np.ndarray) -> None:
    """Write the network with int8 weights and uint8 activations, whose ranges `pictures` float32 [n, h, w, 1] give."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[np.ndarray] = iter(pictures)

        def get_next(self) -> dict[str, np.ndarray] | None:
            picture = next(self._left, None)
            return None if picture is None else {"pixels": picture[np.newaxis]}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(network), str(prepared))
    quantization.quantize_static(
        str(prepared),
        str(target),
        Pictures(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,  # processors without VNNI add int8 products up in 16 bits
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
    )


def session(network: Path) -> Any:
    """The network in ONNX Runtime on one core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


def score(sessions: dict[str, Any], pictures: np.ndarray) -> dict[str, np.ndarray]:
    """The logits of both networks, float32 [n]."""
    return {
        name: np.concatenate([one.run(["logit"], {"pixels": picture[np.newaxis]})[0][:, 0] for picture in pictures])
        for name, one in sessions.items()
    }


def speed(sessions: dict[str, Any], pictures: np.ndarray, rounds: int) -> float:
    """How many times as fast int8 is by processor time; the networks take turns."""
    ratios = []
    for _ in range(rounds):
        seconds = {}
        for name, one in sessions.items():
            started = time.process_time()
            for picture in pictures[:50]:
                one.run(["logit"], {"pixels": picture[np.newaxis]})
            seconds[name] = time.process_time() - started
        ratios.append(seconds["float32"] / seconds["int8"])
    return statistics.median(ratios)


def main() -> None:
    """Quantize, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, default=bundles.pretrained())
    parser.add_argument("--calibrate", type=int, default=200, help="training pictures")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    bundle = bundles.load(options.bundle)
    parts = data.split(data.load(options.data), *validation_cut(bundle.manifest["settings"]))
    every = len(parts.part("train")) // options.calibrate
    chosen = parts.part("train")[::every][: options.calibrate]
    calibration, _ = data.arrays(chosen, bundle.height, bundle.width)
    seed = validation_cut(bundle.manifest["settings"])[1] + COPIES_SEED
    measured = {
        "films": data.arrays(parts.part("validation"), bundle.height, bundle.width),
        "copies": shifted.arrays(parts.part("validation"), bundle.height, bundle.width, seed),
    }
    network = bundle.directory / bundles.NETWORK
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize(network, target, calibration.astype(np.float32))
        sizes = [path.stat().st_size / 1e6 for path in (network, target)]
        sessions = {"float32": session(network), "int8": session(target)}
        classifier, shares = Classifier(bundle), []
        for name, (pictures, labels) in measured.items():
            pictures = pictures.astype(np.float32)
            shares += list(report(classifier, name, score(sessions, pictures), labels))
        faster = speed(sessions, pictures, options.rounds)
    print(f"speed of the network, one core: int8 is {faster:.2f} x as fast")
    accepted = max(shares) <= ACCEPTED and faster >= FASTER
    print(f"at most {ACCEPTED:.1%} changed and {FASTER} x as fast: {'met' if accepted else 'MISSED'}")
    print(f"size: {sizes[0]:.2f} MB as float32, {sizes[1]:.2f} MB as int8")


def report(classifier: Classifier, of: str, logits: dict[str, np.ndarray], labels: np.ndarray) -> Iterator[float]:
    """Print the decisions that change at each operating point, whose shares it gives, and the AUC."""
    from sklearn.metrics import roc_auc_score

    bundle = classifier.bundle
    probabilities = {name: 1 / (1 + np.exp(-values / bundle.temperature)) for name, values in logits.items()}
    points = bundle.manifest.get("operating_points", {"balanced": {"threshold": bundle.threshold}})
    for name, point in points.items():
        called = {kind: values >= point["threshold"] for kind, values in probabilities.items()}
        changed = int((called["float32"] != called["int8"]).sum())
        print(f"{name}: {changed} of {len(labels)} decisions for {of} change: {changed / len(labels):.2%}")
        yield changed / len(labels)
    for name, values in logits.items():
        print(f"AUC for {of}, {name}: {roc_auc_score(labels, values):.4f}")
    difference = np.abs(probabilities["float32"] - probabilities["int8"])
    print(f"probabilities differ by {difference.mean():.4f} on average, {difference.max():.4f} at most")


if __name__ == "__main__":
    main()
