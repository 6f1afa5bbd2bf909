"""A result as a page of a PDF document: finding, refusal or error in words, numbers, cautions, review and picture.

The same results give the same bytes: no time of writing is in them. reportlab is imported when a page is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

from model.serving import words
from model.serving.prediction import Finding, Prediction
from pneumoctl.scoring import pdf_layout

NO_RESULT = "This is an error, not a result: it says nothing about the picture."
EMPTY = "This list has no results."
_PICTURE_MM = (92, 116)  # the most that a picture takes


@dataclass(frozen=True)
class ReportedResult:
    """What a page says. `document`: None for an error, which then says why.

    picture: a PNG or JPEG; without one, `no_picture` says why, and `picture_failed` whether that is an error.
    review: the review that counts, `reviewer` and `reviewed` who made it and when (ISO 8601; None: not recorded).
    review_error: why one of them is not known.
    """

    name: str
    document: Prediction | None
    error: str = ""
    picture: bytes | None = None
    no_picture: str = ""
    picture_failed: bool = False
    review: str | None = None
    contradicts: bool = False
    reviewer: str | None = None
    reviewed: str | None = None
    review_error: str = ""


def write(results: Sequence[ReportedResult], out: IO[bytes], subject: str = "") -> None:
    """Write a document with a page or more for each result; without one it says so. `subject`: what they are."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate

    pdf_layout.register_fonts()
    width, height = A4
    frame = Frame(18 * mm, 20 * mm, width - 36 * mm, height - 46 * mm, 0, 0, 0, 0)
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        title="Model output on chest X-rays",
        subject=subject,
        author="",
        creator="pneumoctl",
        invariant=1,
    )
    document.addPageTemplates(
        PageTemplate(frames=[frame], onPage=lambda canvas, _: pdf_layout.draw_edges(canvas, subject))
    )
    flow: list[Any] = [] if results else [pdf_layout.paragraph(EMPTY, 14, bold=True)]
    for number, result in enumerate(results):
        flow += [PageBreak()] if number else []
        flow += _page(result)
    document.build(flow)


def _page(result: ReportedResult) -> list[Any]:
    from reportlab.platypus import Spacer, Table

    kind = kind_of(result)
    head = [
        pdf_layout.paragraph(result.name, 14, bold=True, after=8),
        pdf_layout.box(_verdict(result), kind),
        Spacer(1, 8),
    ]
    document = result.document
    if document is None:
        return head
    details = [pdf_layout.heading("Result")]
    details += _numbers(document) if document["refusal"] is None else []
    details += _review(result) + _origin(document)
    body = Table([[_picture(result), details]], colWidths=[_PICTURE_MM[0] * 2.835 + 14, None], style=pdf_layout.PLAIN)
    return [*head, body, *(_notes(document) if document["refusal"] is None else [])]


def kind_of(result: ReportedResult) -> str:
    """pneumonia, clear, refused or error: anything that is not one of the first three is an error."""
    document = result.document
    if document is None or result.error:
        return "error"
    if document["refusal"] is not None:
        return "refused"
    return {"pneumonia": "pneumonia", "no pneumonia": "clear"}.get(str(document["finding"]), "error")


def _verdict(result: ReportedResult) -> list[Any]:
    """What was found, in words, and a sentence on it."""
    kind = kind_of(result)
    found, sentence = _words(result, kind)
    return [
        pdf_layout.paragraph(found, 12, bold=True, colour=pdf_layout.COLOURS[kind], after=0),
        pdf_layout.paragraph(sentence, after=0),
    ]


def _words(result: ReportedResult, kind: str) -> tuple[str, str]:
    document = result.document
    if kind == "error" or document is None:
        return f"Error: {result.error or 'no result'}", NO_RESULT
    if document["refusal"] is not None:
        code, reason = document["refusal"]["code"], document["refusal"]["reason"]
        return f"Not assessed: {reason}.", f"Refused before scoring ({code}). There is no finding for this file."
    found = words.finding(document)
    if kind == "pneumonia":
        return "Signs of pneumonia found by the model", f"P(pneumonia) is {found}."
    return f"{found[:1].upper()}{found[1:]}", "The score is below the threshold. This does not rule pneumonia out."


def _numbers(document: Finding) -> list[Any]:
    point, probability, threshold = document["operating_point"], document["probability"], document["threshold"]
    return [
        pdf_layout.scale(probability, threshold, "pneumonia" if document["finding"] == "pneumonia" else "clear"),
        *pdf_layout.table(
            [
                ("P(pneumonia)", words.probability(probability, threshold)),
                ("Threshold", words.probability(threshold, probability)),
                ("Operating point", "none: a threshold given by hand" if point is None else point["name"]),
            ]
        ),
    ]


def _review(result: ReportedResult) -> list[Any]:
    failed = result.review_error and f"Error: {result.review_error}."
    error = [pdf_layout.paragraph(failed, bold=True, colour=pdf_layout.COLOURS["error"])] if failed else []
    if result.review is None:
        return error or pdf_layout.table([("Review", "none")])
    against = ". It contradicts the model." if result.contradicts else ""
    rows = [("Review", f"{result.review}{against}"), ("Reviewed by", result.reviewer or "not recorded")]
    rows += [("Reviewed", _moment(result.reviewed))] if result.reviewed else []
    return [*pdf_layout.table(rows), *error]


def _origin(document: Prediction) -> list[Any]:
    size = document["input"]
    file = "" if size is None else f"{size['format']}, {size['width']} × {size['height']} pixels"  # noqa: RUF001
    model = document["model"]
    rows = [("Assessed", _moment(document["created"])), ("File", file)]
    rows += [("Model", model["name"]), ("Version", model["version"]), ("ID", document["id"])]
    return [pdf_layout.heading("Origin"), *pdf_layout.table([(name, value) for name, value in rows if value])]


def _moment(time: str) -> str:
    """A time in ISO 8601 for people."""
    return time.replace("T", " ").replace("Z", " UTC")


def _notes(document: Finding) -> list[Any]:
    """Cautions, and the figures of the operating point."""
    notes: list[Any] = []
    if document["cautions"]:
        head = "Caution: the figures of the model may not hold for this picture."
        sentences = [pdf_layout.paragraph(f"• {each['sentence']}", after=0) for each in document["cautions"]]
        notes += [pdf_layout.box([pdf_layout.paragraph(head, 10, bold=True, after=0), *sentences], "refused")]
    point = document["operating_point"]
    if point is not None:
        notes += [pdf_layout.heading("Figures of the model at this operating point")]
        notes += [pdf_layout.paragraph(each) for each in words.figures(point)]
    said = (
        "A model's score, not a diagnosis. The finding is “signs of pneumonia” if the score is at least the threshold."
    )
    return [*notes, pdf_layout.paragraph(said, 8, colour=pdf_layout.QUIET)]


def _picture(result: ReportedResult) -> list[Any]:
    from reportlab.lib.units import mm
    from reportlab.platypus import Image

    if result.picture is None:
        if result.picture_failed:
            words_of_it = f"Error: the picture cannot be shown. {result.no_picture}"
            return [pdf_layout.paragraph(words_of_it, bold=True, colour=pdf_layout.COLOURS["error"])]
        return [pdf_layout.paragraph(f"No picture. {result.no_picture}".strip(), colour=pdf_layout.QUIET)]
    jpeg, (width, height) = _as_jpeg(result.picture)
    scale = min(_PICTURE_MM[0] * mm / width, _PICTURE_MM[1] * mm / height)
    picture = Image(BytesIO(jpeg), width * scale, height * scale)
    picture.hAlign = "LEFT"
    return [
        picture,
        pdf_layout.paragraph(
            "The picture that was assessed, 8 bits, not of diagnostic quality.", 7, colour=pdf_layout.QUIET
        ),
    ]


def _as_jpeg(content: bytes) -> tuple[bytes, tuple[int, int]]:
    """A grey JPEG, which takes a sixth of a PNG. Raises what Pillow raises for a picture that is not whole."""
    from PIL import Image

    grey = Image.open(BytesIO(content), formats=["PNG", "JPEG"]).convert("L")
    out = BytesIO()
    grey.save(out, "JPEG", quality=90)
    return out.getvalue(), grey.size
