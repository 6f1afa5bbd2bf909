"""Findings, numbers and times in the language of the reader; English is that of the command line."""

from collections.abc import Iterator
from datetime import UTC, datetime

from model.serving import words
from model.serving.prediction import Finding, Interval, OperatingPoint
from webapp.ui.languages.said import by_code


def finding(document: Finding, language: str) -> str:
    """Where the score lies, and the figure that says how often this side is wrong."""
    if language != "es":
        return words.finding(document)
    side = "por debajo" if document["finding"] == "no pneumonia" else "igual o superior"
    of = "del" if document["finding"] == "no pneumonia" else "al"
    point, measured = document["operating_point"], words.weakest(document)
    if point is None:
        return f"{side} {of} umbral"
    figure = ""
    if measured is not None:
        name = {"sensitivity": "sensibilidad", "specificity": "especificidad"}[measured.name]
        figure = f": {name} {_decimal(f'{measured.value:.2f}')} en {_part(measured.part)}"
    return f"{side} {of} punto de operación {_named(point)}{figure}"


def figures(point: OperatingPoint, language: str) -> Iterator[str]:
    """What was measured at an operating point: a sentence for each part of the data."""
    if language != "es":
        yield from words.figures(point)
        return
    for part, rates in words.parts(point):
        sensitivity, specificity = _interval(rates["sensitivity"]), _interval(rates["specificity"])
        yield f"En {_part(part)}: sensibilidad {sensitivity}; especificidad {specificity}."


def probability(value: float, other: float, language: str) -> str:
    """A number from 0 to 1, as model.serving.words says it."""
    text = words.probability(value, other)
    return _decimal(text) if language == "es" else text


def timestamp(created: str, language: str) -> str:
    """An ISO 8601 time as text for people, in UTC."""
    form = "%d/%m/%Y %H:%M:%S UTC" if language == "es" else "%Y-%m-%d %H:%M:%S UTC"
    return datetime.fromisoformat(created).astimezone(UTC).strftime(form)


def _part(part: str) -> str:
    return {"validation": "validación", "test": "prueba"}[part]


def _named(point: OperatingPoint) -> str:
    return by_code("point", point["name"], point["name"], "es")


def _interval(rate: Interval | None) -> str:
    if rate is None:
        return "no medida"
    return _decimal(f"{rate['value']:.3f} (de {rate['low']:.3f} a {rate['high']:.3f}; n = {rate['n']})")


def _decimal(text: str) -> str:
    return text.replace(".", ",")
