"""A result as a page of a PDF document: finding, refusal or error in words, numbers, cautions, review and picture.

The same results give the same bytes: no time of writing is in them. reportlab is imported when a page is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any
from xml.sax.saxutils import escape

from model.serving import words
from model.serving.prediction import Finding, Prediction

NOTICE = "Research and engineering tool. Not a medical device: nothing here is a diagnosis."
NO_RESULT = "This is an error, not a result: it says nothing about the picture."
_FONT, _BOLD = "Vera", "VeraBd"  # they come with reportlab
_INK, _QUIET = "#16202a", "#4d5b68"
_COLOURS = {"pneumonia": "#8a1c4a", "clear": "#1f4e6b", "refused": "#7a4a00", "error": "#b00020"}
_BACK = {"pneumonia": "#fbeef3", "clear": "#eef4f8", "refused": "#fdf4e3", "error": "#fdebec"}
_PICTURE_MM = (92, 116)  # the most that a picture takes


@dataclass(frozen=True)
class ReportedResult:
    """What a page says. `document`: None for an error, which then says why.

    picture: a PNG or JPEG; without one, `no_picture` says why, and `picture_failed` whether that is an error.
    review: the review that counts. `review_error`: why it is not known.
    """

    name: str
    document: Prediction | None
    error: str = ""
    picture: bytes | None = None
    no_picture: str = ""
    picture_failed: bool = False
    review: str | None = None
    contradicts: bool = False
    review_error: str = ""


def write(results: Sequence[ReportedResult], out: IO[bytes], subject: str = "") -> None:
    """Write a document with a page or more for each result, at least one. `subject`: what they are."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate

    _register_fonts()
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
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=lambda canvas, _: _draw_edges(canvas, subject)))
    flow: list[Any] = []
    for number, result in enumerate(results):
        flow += [PageBreak()] if number else []
        flow += _page(result)
    document.build(flow)


def _register_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (_FONT, _BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))


def _draw_edges(canvas: Any, subject: str) -> None:
    """What is above and below the text of each page."""
    from reportlab.lib.units import mm

    width, height = canvas._pagesize
    canvas.saveState()
    canvas.setFillColor(_INK)
    canvas.rect(0, height - 14 * mm, width, 14 * mm, stroke=0, fill=1)
    canvas.setFillColor("#ffffff")
    canvas.setFont(_BOLD, 9)
    canvas.drawString(18 * mm, height - 9 * mm, "Model output on a chest X-ray")
    canvas.drawRightString(width - 18 * mm, height - 9 * mm, "Not a medical device")
    canvas.setFillColor(_QUIET)
    canvas.setFont(_FONT, 7)
    canvas.drawString(18 * mm, 12 * mm, NOTICE)
    canvas.drawRightString(width - 18 * mm, 12 * mm, f"Page {canvas.getPageNumber()}")
    if subject:
        canvas.drawString(18 * mm, 8.5 * mm, shown(subject)[:150])
    canvas.restoreState()


def shown(text: str) -> str:
    """The text with each character that the font lacks as its code, such as \\\\u80f8: nothing is silently left out."""
    from reportlab.pdfbase import pdfmetrics

    known = pdfmetrics.getFont(_FONT).face.charToGlyph
    return "".join(
        each
        if ord(each) in known and each.isprintable()
        else each.encode("ascii", "backslashreplace").decode()
        if ord(each) > 126
        else f"\\x{ord(each):02x}"
        for each in text
    )


def _text(
    text: str, size: float = 9, bold: bool = False, colour: str = _INK, after: float = 3, before: float = 0
) -> Any:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        "text",
        fontName=_BOLD if bold else _FONT,
        fontSize=size,
        leading=1.35 * size,
        textColor=colour,
        spaceAfter=after,
        spaceBefore=before,
        splitLongWords=1,
    )
    return Paragraph(escape(shown(text)), style)


def _heading(text: str) -> Any:
    return _text(text, 10, bold=True, before=7)


def _page(result: ReportedResult) -> list[Any]:
    from reportlab.platypus import Spacer, Table

    kind = kind_of(result)
    head = [_text(result.name, 14, bold=True, after=8), _box(_verdict(result), kind), Spacer(1, 8)]
    document = result.document
    if document is None:
        return head
    details = [_heading("Result")]
    details += _numbers(document) if document["refusal"] is None else []
    details += _review(result) + _origin(document)
    body = Table([[_picture(result), details]], colWidths=[_PICTURE_MM[0] * 2.835 + 14, None], style=_PLAIN)
    return [*head, body, *(_notes(document) if document["refusal"] is None else [])]


_PLAIN = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
]


def kind_of(result: ReportedResult) -> str:
    """pneumonia, clear, refused or error: anything that is not one of the first three is an error."""
    document = result.document
    if document is None or result.error:
        return "error"
    if document["refusal"] is not None:
        return "refused"
    return {"pneumonia": "pneumonia", "no pneumonia": "clear"}.get(str(document["finding"]), "error")


def _verdict(result: ReportedResult) -> tuple[str, str]:
    """What was found, in words, and a sentence on it."""
    kind, document = kind_of(result), result.document
    if kind == "error" or document is None:
        return f"Error: {result.error or 'no result'}", NO_RESULT
    if document["refusal"] is not None:
        refusal = document["refusal"]
        return (
            f"Not assessed: {refusal['reason']}.",
            f"Refused before scoring ({refusal['code']}). There is no finding for this file.",
        )
    found = words.finding(document)
    if kind == "pneumonia":
        return "Signs of pneumonia found by the model", f"P(pneumonia) is {found}."
    return f"{found[:1].upper()}{found[1:]}", "The score is below the threshold. This does not rule pneumonia out."


def _box(verdict: tuple[str, str], kind: str) -> Any:
    from reportlab.platypus import Table

    content = [_text(verdict[0], 12, bold=True, colour=_COLOURS[kind]), _text(verdict[1])]
    style = [
        ("BACKGROUND", (0, 0), (-1, -1), _BACK[kind]),
        ("LINEBEFORE", (0, 0), (0, -1), 4, _COLOURS[kind]),
        ("LEFTPADDING", (0, 0), (-1, -1), 12),
        ("TOPPADDING", (0, 0), (-1, -1), 8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
    ]
    return Table([[content]], colWidths=["100%"], style=style)


def _rows(rows: Sequence[tuple[str, str]]) -> list[Any]:
    from reportlab.platypus import Spacer, Table

    cells = [
        [_text(name, 8, colour=_QUIET, after=0), _text(value, 8.5 if len(value) < 30 else 7, after=0)]
        for name, value in rows
    ]
    return [Table(cells, colWidths=["36%", "64%"], style=_PLAIN), Spacer(1, 8)]


def _numbers(document: Finding) -> list[Any]:
    point, probability, threshold = document["operating_point"], document["probability"], document["threshold"]
    return [
        _scale(probability, threshold, "pneumonia" if document["finding"] == "pneumonia" else "clear"),
        *_rows(
            [
                ("P(pneumonia)", words.probability(probability, threshold)),
                ("Threshold", words.probability(threshold, probability)),
                ("Operating point", "none: a threshold given by hand" if point is None else point["name"]),
            ]
        ),
    ]


def _scale(probability: float, threshold: float, kind: str) -> Any:
    """A bar from 0 to 1 with the score, and a line at the threshold."""
    from reportlab.graphics.shapes import Drawing, Rect

    width = 200
    drawing = Drawing(width, 16)
    drawing.add(Rect(0, 5, width, 6, fillColor=_colour("#e3e8ec"), strokeColor=_colour(_QUIET), strokeWidth=0.5))
    drawing.add(Rect(0, 5, width * probability, 6, fillColor=_colour(_COLOURS[kind]), strokeColor=None))
    drawing.add(Rect(width * threshold - 1.8, 1, 3.6, 14, fillColor=_colour("#ffffff"), strokeColor=None))
    drawing.add(Rect(width * threshold - 0.8, 1, 1.6, 14, fillColor=_colour(_INK), strokeColor=None))
    return drawing


def _colour(code: str) -> Any:
    from reportlab.lib.colors import HexColor

    return HexColor(code)


def _review(result: ReportedResult) -> list[Any]:
    if result.review_error:
        return [_text(f"Error: {result.review_error}.", bold=True, colour=_COLOURS["error"])]
    if result.review is None:
        return _rows([("Review", "none")])
    against = " It contradicts the model." if result.contradicts else ""
    return _rows([("Review", f"{result.review}.{against}")])


def _origin(document: Prediction) -> list[Any]:
    size = document["input"]
    file = "" if size is None else f"{size['format']}, {size['width']} × {size['height']} pixels"  # noqa: RUF001
    model = document["model"]
    rows = [("Assessed", document["created"].replace("T", " ").replace("Z", " UTC")), ("File", file)]
    rows += [("Model", model["name"]), ("Version", model["version"]), ("ID", document["id"])]
    return [_heading("Origin"), *_rows([(name, value) for name, value in rows if value])]


def _notes(document: Finding) -> list[Any]:
    """Cautions, and the figures of the operating point."""
    notes = []
    if document["cautions"]:
        notes += [_heading("Caution: the figures of the model may not hold for this picture.")]
        notes += [_text(f"• {each['sentence']}") for each in document["cautions"]]
    point = document["operating_point"]
    if point is not None:
        notes += [_heading("Figures of the model at this operating point")]
        notes += [_text(each) for each in words.figures(point)]
    said = (
        "A model's score, not a diagnosis. The finding is “signs of pneumonia” if the score is at least the threshold."
    )
    return [*notes, _text(said, 8, colour=_QUIET)]


def _picture(result: ReportedResult) -> list[Any]:
    from reportlab.lib.units import mm
    from reportlab.platypus import Image

    if result.picture is None:
        if result.picture_failed:
            words_of_it = f"Error: the picture cannot be shown. {result.no_picture}"
            return [_text(words_of_it, bold=True, colour=_COLOURS["error"])]
        return [_text(f"No picture. {result.no_picture}".strip(), colour=_QUIET)]
    jpeg, (width, height) = _as_jpeg(result.picture)
    scale = min(_PICTURE_MM[0] * mm / width, _PICTURE_MM[1] * mm / height)
    picture = Image(BytesIO(jpeg), width * scale, height * scale)
    picture.hAlign = "LEFT"
    return [picture, _text("The picture that was assessed, 8 bits, not of diagnostic quality.", 7, colour=_QUIET)]


def _as_jpeg(content: bytes) -> tuple[bytes, tuple[int, int]]:
    """A grey JPEG, which takes a sixth of a PNG. Raises what Pillow raises for a picture that is not whole."""
    from PIL import Image

    grey = Image.open(BytesIO(content), formats=["PNG", "JPEG"]).convert("L")
    out = BytesIO()
    grey.save(out, "JPEG", quality=90)
    return out.getvalue(), grey.size
