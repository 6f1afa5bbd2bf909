"""Score pictures for the API; the only file of it that imports the model."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model import phantom
from model.serving.explain import occlusion, overlay
from model.serving.predict import Classifier
from webapp.api import preview


@dataclass(frozen=True)
class Scored:
    """The prediction document, and the picture to keep with it if the file could be decoded at all."""

    document: dict
    picture: preview.Preview | None


@dataclass(frozen=True)
class Known:
    """The drawing that a bundle remembers: its file, its P(pneumonia) at export, and the difference allowed."""

    png: bytes
    probability: float
    tolerance: float


class Scorer:
    """One loaded model bundle, safe to share between threads."""

    def __init__(self, bundle: Path | None, threads: int) -> None:
        """Loads the bundle in the directory (None: the one that is shipped); raises model.bundle.BundleError."""
        self._classifier = Classifier.open(bundle, threads)
        # The check and the network mostly let go of the interpreter: on two cores they take the time of one. Encoding
        # the picture beside them too gained nothing more and cost more switching.
        self._beside = ThreadPoolExecutor(2, "check")

    @property
    def version(self) -> str:
        """Version of the bundle, its content hash."""
        return self._classifier.bundle.version

    def score(self, content: bytes, file: str) -> Scored:
        """A finding or a refusal for a file's bytes; never raises for a bad picture."""
        prediction, picture = self._classifier.examine(content, file, self._beside)
        return Scored(prediction.as_dict(), None if picture is None else preview.preview(picture.grey))

    def heatmap(self, kept: bytes) -> bytes:
        """Where covering a kept picture lowers P(pneumonia), drawn over it, as PNG."""
        grey = preview.decode(kept)
        return preview.to_png(overlay(grey, occlusion(self._classifier, grey)))

    def self_check(self) -> tuple[float, float, float]:
        """P(pneumonia) of the known picture now, at export, and the difference allowed."""
        return self._classifier.self_check()

    def known_picture(self) -> Known:
        """The bundle's known picture as a file to send."""
        known = self._classifier.bundle.manifest["known_picture"]
        png = phantom.png(known["seed"], known["size"], known["opacity"])
        return Known(png, float(known["probability"]), float(known["tolerance"]))
