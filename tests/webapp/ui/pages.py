"""Submit the form as a browser does, and read a page as a person does."""

import re

from urllib3 import encode_multipart_formdata

VERDICTS = ("Signs of pneumonia found", "Below the balanced operating point", "Not assessed:")


def send(page, *files: tuple[bytes, str], headers: dict[str, str] | None = None):
    """Post the form as a browser does."""
    body, kind = encode_multipart_formdata([("file", (name, content)) for content, name in files])
    return page.post("/predictions", data=body, content_type=kind, headers=headers)


def visible(answer) -> str:
    """A page's text."""
    return answer.get_data(as_text=True)


def error_page(answer, status: int) -> str:
    """The text of an error page, which must be an alert, offer a next step, and contain no finding."""
    text = visible(answer)
    assert answer.status_code == status, text
    assert 'role="alert"' in text
    assert "it says nothing about" in text
    assert "Try again" in text or "try again" in text or (status < 429 and "Go to the start page" in text)
    assert_no_finding(text)
    return text


def assert_no_finding(text: str) -> None:
    """No verdict, no badge of a finding, no probability."""
    assert not any(verdict in text for verdict in VERDICTS)
    assert not re.search(r'class="(badge|verdict) (pneumonia|clear|refused)"', text)
    assert not re.search(r"<dd>[^<]*[01]\.\d{3}|class=\"number\"", text)
