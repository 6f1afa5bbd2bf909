"""Words for people that are written in English and shown in the language of the reader."""

from collections.abc import Mapping
from datetime import date

from webapp.ui.languages.catalogue import CATALOGUES


class Said(str):
    """English words, and what is needed to say the same in another language.

    As a text it is English, so that JSON, CSV and logs stay so. `shown` gives the words for people.
    """

    template: str  # the key in the catalogue, with {name} for each of the values
    values: Mapping[str, object]
    code: str  # of the API's own words: the kind and the code that they are translated by; otherwise empty


def say(template: str, **values: object) -> Said:
    """Words of the page; a value that is Said itself is translated, too."""
    return _said(template.format(**_in_language(values, "en")), template, values)


def coded(kind: str, code: str | None, english: str) -> str:
    """Words of the API, which are translated by their code; those of an unknown code stay English."""
    return english if isinstance(english, Said) or code is None else _said(english, "", {}, f"{kind}:{code}")


def shown(words: str, language: str) -> str:
    """Words in a language."""
    catalogue = CATALOGUES.get(language)
    if catalogue is None or not isinstance(words, Said):
        return str(words)
    if words.code:
        return catalogue.codes.get(words.code, str(words))
    template = catalogue.texts.get(words.template, words.template)
    return template.format(**_in_language(words.values, language))


def by_code(kind: str, code: str | None, english: str, language: str) -> str:
    """The words for a code; if there are none, the English ones."""
    return shown(coded(kind, code, english), language)


def number(value: int, language: str) -> str:
    """A whole number with a mark between thousands, as the language writes it."""
    if language == "es":  # no mark in a number of four digits
        return str(value) if abs(value) < 10_000 else f"{value:,}".replace(",", ".")
    return f"{value:,}"


def day(value: date, language: str) -> str:
    """A day as text."""
    return value.strftime("%d/%m/%Y") if language == "es" else value.isoformat()


def _in_language(values: Mapping[str, object], language: str) -> dict[str, str]:
    return {name: _value(value, language) for name, value in values.items()}


def _value(value: object, language: str) -> str:
    match value:
        case str():
            return shown(value, language)
        case date():
            return day(value, language)
        case int():
            return number(value, language)
    return str(value)


def _said(english: str, template: str, values: Mapping[str, object], code: str = "") -> Said:
    words = Said(english)
    words.template, words.values, words.code = template, values, code
    return words
