"""Score a picture with a model bundle in ONNX Runtime."""

import hashlib
import math
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from model import bundle as bundles
from model import phantom
from model.bundle import Bundle, BundleError
from model.images import refuse
from model.images.decode import Picture, as_input, decode, resize
from model.images.limits import Refused
from model.serving import cautions, operating_points
from model.serving.operating_points import Point
from model.serving.prediction import FORMAT, OUTSIDE_USE, Caution, Choices, Input, Prediction, Reason, Scoring

if TYPE_CHECKING:
    from concurrent.futures import Executor  # not loaded to score a single file

DEFAULTS = Choices()
_INPUT, _OUTPUT = "pixels", "logit"


class Scored(NamedTuple):
    """The outcome for a picture that is not refused."""

    probability: float
    cautions: list[Caution]


class Prepared(NamedTuple):
    """A file that was decoded and checked: all that its document needs but the output of the network.

    picture: None if it could not be decoded. pixels: the input of the network, float32 [height, width, 1]; None if the
    picture is refused. outcome: why it is refused, or its cautions. seconds: the time that this took.
    """

    content: bytes
    file: str
    picture: Picture | None
    size: Input | None
    pixels: np.ndarray | None
    outcome: Reason | list[Caution]
    seconds: float


class Classifier:
    """A loaded bundle, ready to score; safe to share between threads."""

    def __init__(self, bundle: Bundle, threads: int = 0, choices: Choices = DEFAULTS) -> None:
        """Load the network of `bundle`; `threads` per run, 0 for one per core. Raises BundleError."""
        self.bundle = bundle
        self._choices = choices
        if bundle.manifest["refusal"]["names"] != list(refuse.NAMES):
            raise BundleError(f"{bundle.directory}: its refusal statistics are not those of this program")
        self.refusal = refuse.with_arrays(bundle.manifest["refusal"])
        self._session = _session(bundle, threads)

    @classmethod
    def open(cls, directory: Path | None = None, threads: int = 0, choices: Choices = DEFAULTS) -> "Classifier":
        """Load the bundle in `directory`, or the one in the package. Raises BundleError."""
        return cls(bundles.load(directory or bundles.pretrained()), threads, choices)

    # Both are looked up when a document is made: a bundle that is being built has neither version nor threshold.
    @cached_property
    def point(self) -> Point:
        """The operating point or threshold that was chosen. Raises ValueError if the bundle has no such point."""
        return operating_points.choose(self.bundle.manifest, self._choices.operating_point, self._choices.threshold)

    @cached_property
    def scoring(self) -> Scoring:
        """What the documents depend on beside the picture."""
        default = operating_points.choose(self.bundle.manifest)
        other_threshold = None if self.point == default else self.point.threshold
        return Scoring(self.bundle.version, self._choices.outside_use, other_threshold)

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """The output of the network, float32 [N], for inputs float32 [N, height, width, 1] in 0..255."""
        return self._session.run([_OUTPUT], {_INPUT: pictures})[0][:, 0]

    def probability(self, grey: Image.Image) -> float:
        """The calibrated P(pneumonia) of a grey picture. Raises ArithmeticError if the output is not finite."""
        return self._probability(as_input(self.resize(grey)))

    def resize(self, grey: Image.Image) -> Image.Image:
        """A grey picture in the size of the network's input."""
        return resize(grey, self.bundle.height, self.bundle.width)

    def _probability(self, pixels: np.ndarray) -> float:
        logit = float(self.logits(pixels[np.newaxis])[0])
        if not math.isfinite(logit):
            raise ArithmeticError("the output of the network is not finite")
        return _sigmoid(logit / self.bundle.temperature)

    def predict(self, content: bytes, file: str) -> Prediction:
        """Score the bytes of a picture file; an unsuitable picture gives a refusal, not an exception."""
        return self.examine(content, file)[0]

    def examine(
        self, content: bytes, file: str, pool: "Executor | None" = None, wide: bool = False
    ) -> tuple[Prediction, Picture | None]:
        """Like `predict`, and return the decoded picture, too; None if it could not be decoded. `wide`: see `decode`.

        With a `pool`, the picture is checked in one of its threads while the network runs in this one.
        """
        if pool is None:
            prepared = self.prepare(content, file, wide)
            return self.finish(prepared), prepared.picture
        started = time.perf_counter()
        picture: Picture | None = None
        outcome: Scored | Reason
        try:
            picture = decode(content, wide)
            outcome = self._score_unless_refused(picture, pool)
        except Refused as refused:
            outcome = {"code": refused.code, "reason": refused.reason}
        return self._document(content, file, _size(picture), outcome, time.perf_counter() - started), picture

    def prepare(self, content: bytes, file: str, wide: bool = False) -> Prepared:
        """Do all of `examine` that comes before the network.

        Several files take less time if all are prepared before the network sees the first: code and weights stay in the
        processor's caches. `finish` needs no `picture`, which takes the most memory.
        """
        started = time.perf_counter()
        picture: Picture | None = None
        pixels: np.ndarray | None = None
        outcome: Reason | list[Caution]
        try:
            picture = decode(content, wide)
            resized = self.resize(picture.grey)
            outcome = self._cautions_unless_refused(picture, resized)
            pixels = as_input(resized)
        except Refused as refused:
            outcome = {"code": refused.code, "reason": refused.reason}
        return Prepared(content, file, picture, _size(picture), pixels, outcome, time.perf_counter() - started)

    def finish(self, prepared: Prepared) -> Prediction:
        """The document of a prepared file. Raises ArithmeticError if the output of the network is not finite."""
        content, file, _, size, pixels, outcome, seconds = prepared
        started = time.perf_counter()
        scored = outcome if pixels is None else Scored(self._probability(pixels), outcome)
        return self._document(content, file, size, scored, seconds + time.perf_counter() - started)

    def _score_unless_refused(self, picture: Picture, pool: "Executor") -> Scored:
        """The score and the cautions of a picture. Raises Refused if it is refused, even if the network fails."""
        resized = self.resize(picture.grey)
        check = pool.submit(self._cautions_unless_refused, picture, resized)
        try:
            probability = self._probability(as_input(resized))
        finally:
            found = check.result()  # raises Refused, which replaces the result or the error above
        return Scored(probability, found)

    def _cautions_unless_refused(self, picture: Picture, resized: Image.Image) -> list[Caution]:
        seen = self.check(picture, resized)
        return cautions.find(picture, self.bundle, seen) + cautions.of_threshold(self.point.described)

    def check(self, picture: Picture, resized: Image.Image) -> refuse.Appearance:
        """The appearance of a picture, given also as resized by `resize`. Raises Refused if it is not to be scored."""
        if self._choices.outside_use == "refuse":  # first: what a header states is surer than how a picture looks
            cautions.check_age(picture.stated, self.bundle)
        return refuse.check(picture, self.refusal, resized)

    def self_check(self) -> tuple[float, float, float]:
        """Draw and score the known picture of the bundle: (measured, expected, tolerance)."""
        recorded = self.bundle.manifest["known_picture"]
        measured = self.probability(phantom.draw(recorded["seed"], recorded["size"], recorded["opacity"]))
        return measured, float(recorded["probability"]), float(recorded["tolerance"])

    def _document(
        self,
        content: bytes,
        file: str,
        size: Input | None,
        outcome: Scored | Reason,
        seconds: float,
    ) -> Prediction:
        labels = self.bundle.manifest["labels"]
        scored = outcome if isinstance(outcome, Scored) else None
        return {
            "id": identity(hashlib.sha256(content).hexdigest(), file, self.scoring),
            "file": file,
            "finding": labels[int(scored.probability >= self.point.threshold)] if scored else None,
            "refusal": None if isinstance(outcome, Scored) else outcome,
            "probability": scored.probability if scored else None,
            "threshold": self.point.threshold,
            "operating_point": self.point.described,
            "cautions": scored.cautions if scored else [],
            "model": {"name": self.bundle.name, "version": self.bundle.version},
            "input": size,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "elapsed_ms": round(1000 * seconds, 3),
        }


def _size(picture: Picture | None) -> Input | None:
    return picture and {"format": picture.format, "width": picture.width, "height": picture.height}


def identity(digest: str, file: str, scoring: Scoring) -> str:
    """The id of a prediction, 32 hexadecimal digits: the same for the same file, name, way of scoring and format.

    digest: SHA-256 of the file, hexadecimal.
    """
    chosen = [scoring.outside_use] if scoring.outside_use != OUTSIDE_USE[0] else []
    chosen += [] if scoring.other_threshold is None else [repr(scoring.other_threshold)]
    parts = (str(FORMAT), digest, file, scoring.version, *chosen)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _session(bundle: Bundle, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as exceptions
    # A spinning thread would take a core from the decoding of the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = bundle.directory / bundles.NETWORK
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the exception types of ONNX Runtime are not public
        raise BundleError(f"{path}: ONNX Runtime cannot load it: {str(error)[:200]}") from error
    _check_interface(bundle, session.get_inputs(), session.get_outputs())
    return session


def _check_interface(bundle: Bundle, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    actual = [(value.name, value.type, list(value.shape)[1:]) for value in (*inputs, *outputs)]
    expected = [
        (_INPUT, "tensor(float)", [bundle.height, bundle.width, 1]),
        (_OUTPUT, "tensor(float)", [1]),
    ]
    if actual != expected:
        path = bundle.directory / bundles.NETWORK
        raise BundleError(f"{path}: the network has {actual}, but bundle.json declares {expected}")
