"""Score pictures for the API; the only module of it that imports the model."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from model import phantom
from model.images.dicom_study import study_uid
from model.serving.explain import heat_map
from model.serving.predict import DEFAULTS, Classifier, identity
from model.serving.prediction import Choices, Prediction
from webapp.api.preview import Preview, decode, make_preview, to_png
from webapp.api.view_film import ViewFilm, encode

_FEWEST = 200  # validation films whose shares are known well enough: see the rules of drift of Prometheus


@dataclass(frozen=True)
class Scored:
    """The prediction document, the picture to store with it, and the Study Instance UID of a DICOM file.

    preview: None if the file could not be decoded. film: the 16-bit film to store beside it, if there is one.
    study_uid: never stored or shown; None if the file states none.
    """

    document: Prediction
    preview: Preview | None
    film: ViewFilm | None
    study_uid: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class KnownPicture:
    """The drawing recorded in a bundle: its file, its P(pneumonia) at export, and the difference allowed."""

    png: bytes
    probability: float
    tolerance: float


class Scorer:
    """A loaded model bundle, safe to share between threads."""

    def __init__(self, bundle: Path | None, threads: int, choices: Choices = DEFAULTS) -> None:
        """Load the bundle in the directory, or the one that ships with the package. Raises model.bundle.BundleError."""
        self._classifier = Classifier.open(bundle, threads, choices)
        # The check and the network mostly run without the interpreter lock: on two cores they take the time of one.
        # Encoding the preview in parallel as well gained nothing and cost more context switches.
        self._check_pool = ThreadPoolExecutor(2, "check")

    @property
    def version(self) -> str:
        """Version of the bundle, its content hash."""
        return self._classifier.bundle.version

    @property
    def validation_bins(self) -> list[int] | None:
        """How many validation films scored in each tenth.

        None if the bundle, which may be older, does not state it, or if they are too few to compare others with.
        """
        stated = (self._classifier.bundle.manifest["metrics"].get("validation") or {}).get("score_bins")
        counts = (
            isinstance(stated, list) and len(stated) == 10 and all(type(each) is int and each >= 0 for each in stated)
        )
        return stated if counts and sum(stated) >= _FEWEST else None

    def score(self, content: bytes, file: str, film_bytes: int = 0) -> Scored:
        """A finding or a refusal for the bytes of a file; a bad picture never raises.

        film_bytes: the most that the 16-bit film may have; 0: none is made.
        """
        document, picture = self._classifier.examine(content, file, self._check_pool, wide=film_bytes > 0)
        if picture is None:
            return Scored(document, None, None, study_uid(content))
        film = None if picture.wide is None else encode(picture.wide, film_bytes)
        return Scored(document, make_preview(picture.grey), film, study_uid(content))

    def identity(self, digest: str, file: str) -> str:
        """The id of the prediction for a file with that SHA-256 (hexadecimal) and name."""
        return identity(digest, file, self._classifier.scoring)

    def heatmap(self, preview: bytes) -> bytes:
        """The stored picture as PNG, with a heat map over it and the legend below."""
        return to_png(heat_map(self._classifier, decode(preview)))

    def self_check(self) -> tuple[float, float, float]:
        """P(pneumonia) of the known picture now, at export, and the difference allowed."""
        return self._classifier.self_check()

    def known_picture(self) -> KnownPicture:
        """The bundle's known picture as a file to upload."""
        recorded = self._classifier.bundle.manifest["known_picture"]
        png = phantom.png(recorded["seed"], recorded["size"], recorded["opacity"])
        return KnownPicture(png, float(recorded["probability"]), float(recorded["tolerance"]))
