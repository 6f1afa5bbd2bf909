"""What a person reads in a PDF file."""

from pathlib import Path

import pypdfium2


def pages(content: bytes | Path) -> list[str]:
    """The text of each page, with single spaces."""
    document = pypdfium2.PdfDocument(content)
    try:
        return [" ".join(page.get_textpage().get_text_bounded().split()) for page in document]
    finally:
        document.close()
