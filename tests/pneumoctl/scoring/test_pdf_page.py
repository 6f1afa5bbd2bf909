"""A page of a PDF report: every outcome in words, an error never as a finding, and the same bytes each time."""

from io import BytesIO
from typing import Any

import pypdfium2
import pytest
from PIL import Image

from model import phantom
from pneumoctl.scoring import pdf_page
from pneumoctl.scoring.pdf_layout import NOTICE
from pneumoctl.scoring.pdf_page import NO_RESULT, ReportedResult
from tests.pneumoctl.scoring.pdf_texts import pages
from tests.predictions import FINDING, NEGATIVE, REFUSAL, VALID

PICTURE = phantom.png(101, 256, True)


def written(*results: ReportedResult, subject: str = "") -> bytes:
    out = BytesIO()
    pdf_page.write(results, out, subject)
    return out.getvalue()


def text(document: Any, **more: Any) -> str:
    (page,) = pages(written(ReportedResult("a.png", document, **more)))
    return page


def pictures(content: bytes) -> int:
    document = pypdfium2.PdfDocument(content)
    return sum(each.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE for page in document for each in page.get_objects())


@pytest.mark.parametrize("document", VALID.values(), ids=VALID)
def test_a_page_says_the_outcome_the_model_and_that_it_is_no_device(document: Any) -> None:
    found = text(document, picture=PICTURE)
    assert NOTICE in found and "Not a medical device" in found
    assert document["model"]["name"] in found and document["model"]["version"] in found
    assert document["id"] in found.replace(" ", "")
    signs, refused = "Signs of pneumonia found by the model" in found, "Not assessed:" in found
    assert (signs, refused) == (document["finding"] == "pneumonia", document["refusal"] is not None)
    assert ("Error" not in found and "P(pneumonia)" in found) or refused
    assert all(each["sentence"] in found for each in document["cautions"])


def test_a_finding_has_its_numbers_and_a_refusal_has_none() -> None:
    found = text(FINDING, picture=PICTURE)
    assert "0.700" in found and "0.500" in found and "balanced" in found and "On validation: sensitivity" in found
    refused = text(REFUSAL, no_picture="The file could not be decoded.")
    assert REFUSAL["refusal"]["reason"] in refused and "There is no finding for this file." in refused
    assert "P(pneumonia)" not in refused and "No picture. The file could not be decoded." in refused
    below = text(NEGATIVE)
    assert "Below the balanced operating point" in below and "does not rule pneumonia out" in below


def test_an_error_is_an_error_without_any_number() -> None:
    found = text(None, error="The record is damaged.")
    assert "Error: The record is damaged." in found and NO_RESULT in found
    assert "P(pneumonia)" not in found and "Signs" not in found and "threshold" not in found
    unknown = text({**FINDING, "finding": "healthy"})
    assert "Error: no result" in unknown and "Signs of pneumonia found" not in unknown


def test_what_cannot_be_read_beside_a_result_is_an_error_beside_it() -> None:
    lost = text(FINDING, no_picture="It is lost.", picture_failed=True, review_error="a review is damaged")
    assert "Error: the picture cannot be shown. It is lost." in lost and "Error: a review is damaged." in lost
    assert "Signs of pneumonia found by the model" in lost
    against = text(FINDING, review="no pneumonia", contradicts=True)
    assert "no pneumonia. It contradicts the model." in against
    assert "Review none" in text(FINDING)


def test_a_review_has_the_name_of_its_reviewer_and_its_time() -> None:
    known = text(FINDING, review="unsure", reviewer="anna", reviewed="2026-03-31T08:15:00Z")
    assert "Review unsure" in known and "Reviewed by anna" in known and "Reviewed 2026-03-31 08:15:00 UTC" in known
    earlier = text(FINDING, review="unsure", review_error="the time of the review is not known")
    assert "Reviewed by not recorded" in earlier and "Error: the time of the review is not known." in earlier


def test_each_result_has_its_page_and_its_picture() -> None:
    results = [ReportedResult(f"{name}.png", document, picture=PICTURE) for name, document in VALID.items()]
    content = written(*results, subject="Results of a list; from: 2026-03-31")
    found = pages(content)
    assert len(found) == len(results) == pictures(content)
    for page, name in zip(found, VALID, strict=True):
        assert f"{name}.png" in page and "from: 2026-03-31" in page


def test_the_same_results_give_the_same_bytes() -> None:
    assert written(ReportedResult("a.png", FINDING, picture=PICTURE)) == written(
        ReportedResult("a.png", FINDING, picture=PICTURE)
    )


@pytest.mark.parametrize("name", ["x" * 300, "<b>&amp;</b>.png", "胸部 Ж.dcm", "a\tb\x07.png", "ä\ud800.png"])
def test_any_name_is_written_whole(name: str) -> None:
    (page,) = pages(written(ReportedResult(name, FINDING)))
    read = page.replace(" ", "")
    expected = {
        "胸部 Ж.dcm": "\\u80f8\\u90e8\\u0416.dcm",
        "a\tb\x07.png": "a\\x09b\\x07.png",
        "ä\ud800.png": "ä\\ud800.png",
    }
    assert expected.get(name, name) in read


def test_a_long_result_goes_on_on_the_next_page() -> None:
    many = [{"code": "view_ap", "sentence": f"Caution number {number}. " * 6} for number in range(40)]
    found = pages(written(ReportedResult("a.png", {**FINDING, "cautions": many}, picture=PICTURE)))
    assert len(found) > 1 and "Caution number 39." in found[-1] and all(NOTICE in page for page in found)


def test_a_picture_that_is_cut_off_is_no_picture() -> None:
    with pytest.raises(OSError):
        written(ReportedResult("a.png", FINDING, picture=PICTURE[: len(PICTURE) // 2]))


def test_a_picture_keeps_its_proportions() -> None:
    buffer = BytesIO()
    Image.new("L", (100, 900), 90).save(buffer, "PNG")
    document = pypdfium2.PdfDocument(written(ReportedResult("a.png", FINDING, picture=buffer.getvalue())))
    (image,) = [each for each in document[0].get_objects() if each.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]
    left, bottom, right, top = image.get_bounds()
    assert (top - bottom) / (right - left) == pytest.approx(9, rel=0.02)
