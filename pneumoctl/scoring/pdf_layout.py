"""The parts that a page of a PDF report is made of: texts, boxes, tables, the bar of a score, the edges of every page.

Lengths are in points. reportlab is imported when a part is made.
"""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

NOTICE = "Research and engineering tool. Not a medical device: nothing here is a diagnosis."
_FONT, _BOLD = "Vera", "VeraBd"  # they come with reportlab
INK, QUIET = "#16202a", "#4d5b68"
COLOURS = {"pneumonia": "#8a1c4a", "clear": "#1f4e6b", "refused": "#7a4a00", "error": "#b00020"}
BACK = {"pneumonia": "#fbeef3", "clear": "#eef4f8", "refused": "#fdf4e3", "error": "#fdebec"}


PLAIN = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
]


def register_fonts() -> None:
    """Make the fonts known, once."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (_FONT, _BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))


def draw_edges(canvas: Any, subject: str) -> None:
    """What is above and below the text of each page."""
    from reportlab.lib.units import mm

    width, height = canvas._pagesize
    canvas.saveState()
    canvas.setFillColor(INK)
    canvas.rect(0, height - 14 * mm, width, 14 * mm, stroke=0, fill=1)
    canvas.setFillColor("#ffffff")
    canvas.setFont(_BOLD, 9)
    canvas.drawString(18 * mm, height - 9 * mm, "Model output on a chest X-ray")
    canvas.drawRightString(width - 18 * mm, height - 9 * mm, "Not a medical device")
    canvas.setFillColor(QUIET)
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
    return "".join(each if ord(each) in known and each.isprintable() else _code(each) for each in text)


def _code(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 127 else character.encode("ascii", "backslashreplace").decode()


def paragraph(
    text: str, size: float = 9, bold: bool = False, colour: str = INK, after: float = 3, before: float = 0
) -> Any:
    """A text that breaks its lines; `size`, `after` and `before` in points."""
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


def heading(text: str) -> Any:
    """A heading within a page."""
    return paragraph(text, 10, bold=True, before=7)


def box(content: Sequence[Any], kind: str) -> Any:
    """Paragraphs on the colour of their kind; it goes on on the next page if it is long."""
    from reportlab.platypus import Table

    style = [
        ("BACKGROUND", (0, 0), (-1, -1), BACK[kind]),
        ("LINEBEFORE", (0, 0), (0, -1), 4, COLOURS[kind]),
        ("LEFTPADDING", (0, 0), (-1, -1), 12),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("TOPPADDING", (0, 0), (-1, 0), 8),
        ("BOTTOMPADDING", (0, -1), (-1, -1), 8),
    ]
    return Table([[each] for each in content], colWidths=["100%"], style=style)


def table(rows: Sequence[tuple[str, str]]) -> list[Any]:
    """Names, and the value of each beside it."""
    from reportlab.platypus import Spacer, Table

    cells = [
        [paragraph(name, 8, colour=QUIET, after=0), paragraph(value, 8.5 if len(value) < 28 else 6.8, after=0)]
        for name, value in rows
    ]
    return [Table(cells, colWidths=["31%", "69%"], style=PLAIN), Spacer(1, 8)]


def scale(probability: float, threshold: float, kind: str) -> Any:
    """A bar from 0 to 1 with the score, and a line at the threshold."""
    from reportlab.graphics.shapes import Drawing, Rect

    width = 200
    drawing = Drawing(width, 16)
    drawing.add(Rect(0, 5, width, 6, fillColor=hex_colour("#e3e8ec"), strokeColor=hex_colour(QUIET), strokeWidth=0.5))
    drawing.add(Rect(0, 5, width * probability, 6, fillColor=hex_colour(COLOURS[kind]), strokeColor=None))
    drawing.add(Rect(width * threshold - 1.8, 1, 3.6, 14, fillColor=hex_colour("#ffffff"), strokeColor=None))
    drawing.add(Rect(width * threshold - 0.8, 1, 1.6, 14, fillColor=hex_colour(INK), strokeColor=None))
    return drawing


def hex_colour(code: str) -> Any:
    """A colour such as #4d5b68, for drawings."""
    from reportlab.lib.colors import HexColor

    return HexColor(code)
