"""No request of a script waits for ever."""

import re
from pathlib import Path

from webapp import ui

STATIC = Path(ui.__file__).parent / "static"


def test_every_request_of_a_script_has_a_time_limit():
    endless = {
        path.name
        for path in STATIC.rglob("*.js")
        if "vendor" not in path.parts
        for call in re.findall(r"\bfetch\((?:[^()]|\([^()]*\))*\)", path.read_text())
        if "signal" not in call
    }
    assert not endless


def test_an_upload_has_a_time_limit():
    sends = [path for path in STATIC.rglob("*.js") if "new XMLHttpRequest" in path.read_text()]
    assert sends and all("request.timeout = " in path.read_text() for path in sends)
