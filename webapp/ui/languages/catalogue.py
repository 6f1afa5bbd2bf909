"""The words of other languages than English: JSON files beside this module, read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Catalogue:
    """`texts`: by the English words of the page. `codes`: by the kind and the code of what the API says."""

    texts: Mapping[str, str]
    codes: Mapping[str, str]


def _read(language: str) -> Catalogue:
    content = json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))
    return Catalogue(content["texts"], content["codes"])


CATALOGUES: Mapping[str, Catalogue] = {"es": _read("es")}
