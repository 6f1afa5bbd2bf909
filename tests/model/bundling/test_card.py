"""The model card: metadata that Hugging Face reads, and the items of CLAIM; both from the manifest alone."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from model import bundle
from model.bundle import Bundle
from model.bundling import calibrated_card, card, claim_checklist, front_matter
from model.bundling.trained import Trained
from model.evaluation.metrics import TITLES


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return bundle.load(bundle.pretrained()).manifest


def metadata(text: str) -> dict[str, Any]:
    """The front matter of a card, as a YAML reader sees it."""
    match = re.match(r"---\n(.*?)\n---\n\n# ", text, re.DOTALL)
    assert match is not None
    loaded = yaml.safe_load(match[1])
    assert isinstance(loaded, dict)
    return loaded


def test_the_metadata_state_the_figures_of_the_manifest(manifest: dict[str, Any]) -> None:
    found = metadata(card.text(manifest, "a command", []))
    assert found["pipeline_tag"] == "image-classification" and "pneumonia" in found["tags"]
    assert found["metrics"] == ["roc_auc", "recall", "specificity", "precision", "f1", "accuracy"]
    (model,) = found["model-index"]
    assert model["name"] == manifest["name"]
    assert [result["dataset"]["split"] for result in model["results"]] == ["validation", "test"]
    for result in model["results"]:
        assert result["dataset"]["type"] == result["dataset"]["name"] == manifest["data"]["name"]
        measured = manifest["metrics"][result["dataset"]["split"]]
        for (key, title), metric in zip(TITLES.items(), result["metrics"], strict=True):
            figure = measured[key]
            assert metric["value"] == pytest.approx(figure["value"], abs=5e-5)
            interval = f"{figure['low']:.3f} to {figure['high']:.3f}, n = {figure['n']}"
            assert metric["name"] == f"{title} (95 % interval {interval})"


def test_a_licence_is_stated_or_unknown(manifest: dict[str, Any]) -> None:
    assert metadata(card.text(manifest, "", []))["license"] == "unknown"
    assert metadata(card.text({**manifest, "license": "mit"}, "", []))["license"] == "mit"


def test_what_was_not_measured_is_not_in_the_metadata(manifest: dict[str, Any]) -> None:
    parts = {"validation": "x", "test": "x"}
    unread = {**manifest, "metrics": {"validation": None, "test": None}}
    assert "model-index" not in front_matter.text(unread, parts)
    one_class = {**manifest["metrics"]["validation"], "auc": None}
    text = front_matter.text({**manifest, "metrics": {"validation": one_class, "test": None}}, parts)
    (result,) = yaml.safe_load(text.strip("-\n"))["model-index"][0]["results"]
    assert "roc_auc" not in [metric["type"] for metric in result["metrics"]]


@pytest.mark.parametrize("name", ['a "quoted": name', "- dash", "yes", "1.0", "Röntgen\nfilms", "#"])
def test_any_name_is_one_string_in_the_metadata(name: str, manifest: dict[str, Any]) -> None:
    text = front_matter.text({**manifest, "name": name}, {"validation": name})
    (model,) = yaml.safe_load(text.strip("-\n"))["model-index"]
    assert model["name"] == model["results"][0]["dataset"]["name"] == name


def test_the_checklist_answers_what_the_manifest_knows(manifest: dict[str, Any]) -> None:
    text = card.text(manifest, "a command", [])
    section = text.partition("## CLAIM 2024\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE))
    assert len(rows) > 30
    assert "`dag`" in rows["Category of technology"] and "seed 7" in rows["Initialisation"]
    assert rows["Level at which partitions are disjoint"].endswith("170 numbers of the test part occur there, too.")
    assert rows["Demographic and clinical characteristics"].startswith("Ages 1 to 5 years")
    assert "160 x 160" in rows["Preprocessing"] and rows["External testing"] == "None is part of this bundle."
    assert "publisher" in rows["De-identification"]
    for title in re.findall(r"[Ss]ee ([A-Z][a-z]+(?: [a-z]+)?)", section):
        assert f"## {title}" in text or f"## {title.split()[0]}" in text, title


def test_the_checklist_does_not_claim_a_test_that_was_not_read(manifest: dict[str, Any]) -> None:
    facts = {key: value for key, value in manifest["data"].items() if key != "ages"}
    unread = {**manifest, "data": facts, "metrics": {**manifest["metrics"], "test": None}}
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", claim_checklist.text(unread), re.MULTILINE))
    assert rows["Internal testing"] == "See Figures: validation; the test part was not read."
    assert rows["Demographic and clinical characteristics"].startswith("Ages are not stated")


def chosen_on(films: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest whose operating point and calibration were chosen on these films."""
    changed = {key: {**manifest[key], "chosen_on": films} for key in ("operating_point", "calibration")}
    return {key: value for key, value in manifest.items() if key != "shifted"} | changed


def test_a_card_says_which_films_thresholds_and_calibration_come_from(manifest: dict[str, Any]) -> None:
    copies = "3 of each film: up to 15% cut off each side, grey values times 1 / 1.6 to 1.6, and up to 2 further"
    refused = "Copies that serving would refuse count in thresholds and calibration, too."
    plain = card.text(chosen_on("validation", manifest), "a command", [])
    assert copies not in plain and refused not in plain and plain.count("on the validation part") >= 2
    text = card.text(chosen_on("shifted validation", manifest), "a command", [])
    assert text.count(copies) == 2 and text.count(refused) == 1


def test_the_checklist_names_shifted_copies_if_they_were_measured(manifest: dict[str, Any]) -> None:
    words = "Shifted copies: see Operating point and calibration."
    unshifted = {key: value for key, value in manifest.items() if key != "shifted"}
    assert words not in claim_checklist.text(unshifted)
    assert words in claim_checklist.text({**unshifted, "shifted": {}})


def test_a_card_speaks_of_other_thresholds_only_if_there_are_any(manifest: dict[str, Any]) -> None:
    others = "The other thresholds in the table below were chosen on the same films."
    points = manifest["operating_points"]
    assert others in card.text(manifest, "a command", [])
    assert others not in card.text({**manifest, "operating_points": {"balanced": points["balanced"]}}, "", [])
    other = "validation" if points["balanced"]["chosen_on"] != "validation" else "shifted validation"
    mixed = {**points, "screening": {**points["screening"], "chosen_on": other}}
    assert others not in card.text({**manifest, "operating_points": mixed}, "", [])


def test_a_calibrated_card_has_its_own_metadata_and_not_the_originals(manifest: dict[str, Any]) -> None:
    films = {"n": 100, "positives": 60, "negatives": 40, "refused": 0, "date": "2026-01-02"}
    films |= {"pictures": "a" * 64, "scored": "b" * 64}
    metrics = {"validation": manifest["metrics"]["validation"], "test": None}
    calibration = {"chosen_on": "own films", "offset": 0.5, "films": films}
    made = {**manifest, "base": "0" * 12, "metrics": metrics, "calibration": calibration}
    text = calibrated_card.text(made, card.text(manifest, "a command", ["history.png", "test_roc.png"]))
    (result,) = metadata(text)["model-index"][0]["results"]
    assert result["dataset"]["name"] == "own films of 2026-01-02"
    assert text.count("model-index") == 1 and text.count("\n---\n") == 1
    assert "### dag-kermany" in text and "#### Figures" in text
    assert "report/history.png" in text and "report/test_roc.png" not in text  # the plot is not in the bundle
    headings = re.findall(r"^(#+) ", text, re.MULTILINE)
    assert headings.count("#") == 1


@pytest.mark.parametrize(("given", "stated"), [("", "cc0-1.0"), ("mit", "mit")])
def test_a_licence_is_kept_unless_another_is_given(given: str, stated: str, manifest: dict[str, Any]) -> None:
    base = Bundle(Path(), {**manifest, "license": "cc0-1.0"})
    trained = Trained(None, None, None, "x", base=base)  # type: ignore[arg-type]
    assert trained.origin("", None, given).license == stated
