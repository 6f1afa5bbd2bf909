"""Read and write model bundles: directories with a classifier, its description and the hashes of all files."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import heat_map_section, operating_points_section, refusal_section
from model.data import attribution
from model.files import file_digest, write_text

# A bundle with a part that changes what is scored, refused or said is of schema 2: earlier programs, which know none of
# these parts and would ignore them, refuse it.
SCHEMAS = (1, 2)
_OF_SCHEMA_2 = {"data.ages", "operating_points", "refusal.caution_limit", "refusal.classifier", "refusal.exposure"}
MANIFEST = "bundle.json"
NETWORK = "model.onnx"
_OBJECT, _NUMBER = (dict,), (int, float)
# Dotted field -> accepted types. `metrics.test` may be null: the test split is scored once, at the very end.
_REQUIRED: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "version": (str,),
    "created": (str,),
    "input.height": (int,),
    "input.width": (int,),
    "input.channels": (int,),
    "input.range": (list,),
    "input.resize": (str,),
    "labels": (list,),
    "temperature": _NUMBER,
    "operating_point": _OBJECT,
    "operating_point.threshold": _NUMBER,
    "operating_point.chosen_on": (str,),
    "refusal.names": (list,),
    "refusal.mean": (list,),
    "refusal.precision": (list,),
    "refusal.limit": _NUMBER,
    "known_picture.seed": (int,),
    "known_picture.size": (int,),
    "known_picture.opacity": (bool,),
    "known_picture.probability": _NUMBER,
    "known_picture.tolerance": _NUMBER,
    "metrics": _OBJECT,
    "data": _OBJECT,
    "files": _OBJECT,
    "intended_use": (str,),
}
_FIXED: dict[str, Any] = {
    "input.channels": 1,
    "input.range": [0, 255],
    "input.resize": "squash-bilinear",
    "labels": ["no pneumonia", "pneumonia"],
}


class BundleError(Exception):
    """A bundle that is missing, damaged or inconsistent; the message says what is wrong and where."""


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its directory and the content of its bundle.json."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The model's name, such as "dag-kermany"."""
        return self.manifest["name"]

    @property
    def version(self) -> str:
        """12 hexadecimal digits that depend on the whole content of the bundle."""
        return self.manifest["version"]

    @property
    def threshold(self) -> float:
        """The probability from which on the finding is "pneumonia"."""
        return float(self.manifest["operating_point"]["threshold"])

    @property
    def ages(self) -> tuple[int, int] | None:
        """The youngest and the oldest age in the training pictures, in whole years; None if the bundle says nothing.

        Earlier bundles state the data set alone.
        """
        facts = self.manifest["data"]
        ages = facts.get("ages") or attribution.ages(facts.get("attribution"))
        return None if ages is None else (ages[0], ages[1])

    @property
    def caution_limit(self) -> float | None:
        """The squared distance above which a picture is unlike the training pictures; None if the bundle has none."""
        return self.manifest["refusal"].get("caution_limit")

    @property
    def heat_map(self) -> dict[str, Any] | None:
        """The mean heat map of films, and what covering its cells does; None if the bundle has none."""
        return self.manifest.get("heat_map")

    @property
    def temperature(self) -> float:
        """Divisor of the logit that calibrates the probability."""
        return float(self.manifest["temperature"])

    @property
    def height(self) -> int:
        """Rows of the network's input."""
        return self.manifest["input"]["height"]

    @property
    def width(self) -> int:
        """Columns of the network's input."""
        return self.manifest["input"]["width"]


def pretrained() -> Path:
    """The bundle that ships with the package."""
    return Path(__file__).parent / "pretrained"


def load(directory: Path, deep: bool = False) -> Bundle:
    """Load a bundle and check it; `deep` checks the hash of every file, else only that of the network.

    Raises BundleError if anything is missing, damaged or inconsistent.
    """
    path = directory / MANIFEST
    try:
        manifest = read(path.read_bytes())
        _check_files(directory, manifest["files"], list(manifest["files"]) if deep else [NETWORK])
    except FileNotFoundError:
        raise BundleError(f"{directory} is not a model bundle: it has no {MANIFEST}") from None
    except (OSError, BundleError) as error:
        raise BundleError(f"{path}: {error}") from None
    return Bundle(directory, manifest)


def read(content: bytes) -> dict[str, Any]:
    """The manifest that is the content of a bundle.json, checked, also against its own version, which is its digest."""
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise BundleError(f"it is not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise BundleError("it is not a JSON object")
    _check(manifest)
    return manifest


def write(directory: Path, manifest: Mapping[str, Any]) -> Bundle:
    """Make a bundle of the files in `directory`: hash them, compute the version, and write bundle.json atomically.

    `manifest` is everything except "schema", "version" and "files". Raises BundleError if the result would not load.
    """
    content = {key: value for key, value in manifest.items() if key not in ("schema", "version")}
    document: dict[str, Any] = {"schema": _schema(content), **content}
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and MANIFEST not in path.name)
    document["files"] = {path.relative_to(directory).as_posix(): file_digest(path) for path in paths}
    try:
        # Tuples and keys that are numbers become what load reads.
        document = json.loads(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BundleError(f"the manifest cannot be written as JSON: {error}") from error
    document["version"] = _version(document)
    _check(document)
    write_text(directory / MANIFEST, json.dumps(document, indent=2, allow_nan=False) + "\n")
    return load(directory, deep=True)


def _schema(manifest: Mapping[str, Any]) -> int:
    sections = {name: content for name, content in manifest.items() if isinstance(content, dict)}
    parts = {f"{name}.{key}" for name, content in sections.items() for key in content}
    return SCHEMAS[1] if parts.union(manifest) & _OF_SCHEMA_2 else SCHEMAS[0]


def _version(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "version"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _check(manifest: Mapping[str, Any]) -> None:
    schema = manifest.get("schema")
    if type(schema) is not int or schema not in SCHEMAS:
        raise BundleError(f"its schema is {schema!r}, but this program reads {' and '.join(map(str, SCHEMAS))}")
    try:
        version = _version(manifest)
    except ValueError:  # the parser reads NaN, Infinity and 1e999
        raise BundleError("it contains a number that is not finite") from None
    for field, types in _REQUIRED.items():
        value = _field(manifest, field)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise BundleError(f"{field} is {value!r}, expected {' or '.join(t.__name__ for t in types)}")
    for field, expected in _FIXED.items():
        if _field(manifest, field) != expected:
            raise BundleError(f"{field} is {_field(manifest, field)!r}, expected {expected!r}")
    _check_ranges(manifest)
    if manifest["version"] != version:
        raise BundleError("the version is not the hash of the content: the file was changed after it was written")


def _check_ranges(manifest: Mapping[str, Any]) -> None:
    ranges = {
        "operating_point.threshold": (0, 1),
        "temperature": (0, math.inf),
        "input.height": (0, 4097),
        "input.width": (0, 4097),
        "refusal.limit": (0, math.inf),
        "known_picture.probability": (-1e-9, 1 + 1e-9),
        "known_picture.tolerance": (0, 1),
        "known_picture.size": (63, 4097),
    }
    for field, (low, high) in ranges.items():
        if not low < _field(manifest, field) < high:
            raise BundleError(f"{field} is {_field(manifest, field)!r}, expected between {low} and {high}")
    ages = manifest["data"].get("ages")
    if ages is not None and not attribution.are_ages(ages):
        raise BundleError(f"data.ages is {ages!r}, expected the youngest and the oldest age in whole years")
    try:
        refusal_section.check(manifest["refusal"])
        operating_points_section.check(manifest)
        heat_map_section.check(manifest)
    except ValueError as error:
        raise BundleError(str(error)) from None
    if NETWORK not in manifest["files"]:
        raise BundleError(f"files does not list {NETWORK}")


def _field(manifest: Mapping[str, Any], dotted: str) -> Any:
    value: Any = manifest
    for key in dotted.split("."):
        if not isinstance(value, dict) or key not in value:
            raise BundleError(f"{dotted} is missing")
        value = value[key]
    return value


def _check_files(directory: Path, files: Mapping[str, Any], names: list[str]) -> None:
    for name in names:
        path = directory / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise BundleError(f"files lists {name}, which is outside the bundle")
        if not path.is_file():
            raise BundleError(f"{name} is missing")
        if file_digest(path) != files[name]:
            raise BundleError(f"{name} does not have the recorded sha256: it was damaged or replaced")
