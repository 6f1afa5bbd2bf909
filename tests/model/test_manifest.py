"""The fields of bundle.json: a missing or impossible one is refused, and the message names it."""

from pathlib import Path
from typing import Any

import pytest

from model import bundle
from model.bundle import BundleError
from model.data.attribution import SOURCES
from tests.model.manifests import classifier, put, rewrite


def test_the_training_ages_are_optional(bundle_dir: Path) -> None:
    assert bundle.load(bundle_dir).ages is None
    rewrite(bundle_dir, lambda manifest: manifest["data"].update(ages=[1, 5]))
    assert bundle.load(bundle_dir).ages == (1, 5)


@pytest.mark.parametrize(
    ("facts", "ages"),
    [
        ({"attribution": SOURCES["kermany"]}, (1, 5)),
        ({"attribution": SOURCES["pneumoniamnist"]}, (1, 5)),
        ({"attribution": SOURCES["kermany"], "ages": [2, 9]}, (2, 9)),
        ({"attribution": SOURCES["drawings"]}, None),
        ({"attribution": "Films of our hospital"}, None),
        ({"attribution": ""}, None),
        ({"attribution": 7}, None),
    ],
)
def test_a_bundle_that_states_no_ages_has_those_of_its_attribution(
    bundle_dir: Path, facts: dict[str, Any], ages: tuple[int, int] | None
) -> None:
    rewrite(bundle_dir, lambda manifest: manifest["data"].update(facts))
    assert bundle.load(bundle_dir).ages == ages


def test_the_shipped_bundle_is_of_children() -> None:
    assert bundle.load(bundle.pretrained()).ages == (1, 5)


def rest(directory: Path) -> dict[str, Any]:
    return {key: value for key, value in bundle.load(directory).manifest.items() if key not in ("version", "files")}


POINT = {"threshold": 0.5, "target_sensitivity": 0.97, "chosen_on": "validation", "validation": None, "test": None}
NEWER = [
    ("data.ages", [1, 5]),
    ("operating_points", {"balanced": POINT}),
    ("refusal.caution_limit", 3.5),
    ("refusal.classifier", classifier(73)),
    ("refusal.exposure", {"mean": [0.3, 0.66], "spread": [0.12, 0.3]}),
]


@pytest.mark.parametrize(("field", "value"), NEWER)
def test_an_earlier_program_refuses_a_bundle_with_what_it_would_ignore(
    bundle_dir: Path, field: str, value: object
) -> None:
    """It reads schema 1 alone, and would take a bundle of that schema without a word about the rest."""
    manifest = rest(bundle_dir)
    assert manifest["schema"] == bundle.write(bundle_dir, manifest).manifest["schema"] == 1
    put(field, value)(manifest)
    assert bundle.write(bundle_dir, manifest).manifest["schema"] == 2


def test_a_bundle_without_them_is_of_schema_1_again(bundle_dir: Path) -> None:
    manifest = rest(bundle_dir)
    version = bundle.load(bundle_dir).version
    assert bundle.write(bundle_dir, manifest | {"schema": 2}).version == version


def test_both_schemas_are_read(bundle_dir: Path) -> None:
    for schema in (1, 2):
        rewrite(bundle_dir, put("schema", schema))
        assert bundle.load(bundle_dir).manifest["schema"] == schema


REQUIRED = [
    "schema",
    "name",
    "version",
    "created",
    "input",
    "input.height",
    "input.width",
    "input.resize",
    "labels",
    "temperature",
    "operating_point",
    "operating_point.threshold",
    "operating_point.chosen_on",
    "refusal",
    "refusal.names",
    "refusal.limit",
    "known_picture",
    "known_picture.probability",
    "metrics",
    "data",
    "files",
    "intended_use",
]


@pytest.mark.parametrize("field", REQUIRED)
def test_missing_field_is_named(bundle_dir: Path, field: str) -> None:
    def remove(manifest: dict[str, Any]) -> None:
        *parents, last = field.split(".")
        for key in parents:
            manifest = manifest[key]
        del manifest[last]

    rewrite(bundle_dir, remove, honest=field != "version")
    with pytest.raises(BundleError, match=field.partition(".")[0]) as caught:
        bundle.load(bundle_dir)
    assert str(bundle_dir / "bundle.json") in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 0),
        ("schema", 3),
        ("schema", "1"),
        ("schema", True),
        ("schema", 1.0),
        ("schema", None),
        ("schema", [1]),
        ("operating_point.threshold", 0),
        ("operating_point.threshold", 1),
        ("operating_point.threshold", -0.1),
        ("operating_point.threshold", None),
        ("operating_point.threshold", "0.5"),
        ("operating_point.threshold", True),
        ("temperature", 0),
        ("temperature", -1),
        ("labels", ["pneumonia", "no pneumonia"]),
        ("input.channels", 3),
        ("input.range", [0, 1]),
        ("input.resize", "crop"),
        ("input.height", 0),
        ("input.height", 64.5),
        ("refusal.limit", 0),
        ("refusal.mean", [1.0]),
        ("refusal.precision", [[1.0]]),
        ("refusal.precision", [["1"] * 73] * 73),
        ("refusal.mean", [None] * 73),
        ("refusal.caution_limit", 0),
        ("refusal.caution_limit", "3"),
        ("refusal.classifier", []),
        ("known_picture.probability", 1.5),
        ("known_picture.size", 10),
        ("files", []),
        ("files", {"MODEL_CARD.md": "0" * 64}),
        ("name", 7),
        ("data.ages", "1 to 5"),
        ("data.ages", [1]),
        ("data.ages", [5, 1]),
        ("data.ages", [-1, 5]),
        ("data.ages", [1, 500]),
        ("data.ages", [1.5, 5]),
        ("data.ages", [False, True]),
    ],
)
def test_impossible_value_is_refused(bundle_dir: Path, field: str, value: object) -> None:
    rewrite(bundle_dir, put(field, value))
    with pytest.raises(BundleError, match=field.partition(".")[0]):
        bundle.load(bundle_dir)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_and_infinity_are_refused_everywhere(bundle_dir: Path, word: str) -> None:
    path = bundle_dir / "bundle.json"
    for field in ('"limit": ', '"threshold": ', '"temperature": '):
        text = (bundle_dir / "bundle.json").read_text()
        at = text.index(field) + len(field)
        end = min(text.index(mark, at) for mark in ",\n}" if mark in text[at:])
        path.write_text(text[:at] + word + text[end:])
        with pytest.raises(BundleError, match=r"not valid JSON|not finite"):
            bundle.load(bundle_dir)
        path.write_text(text)
