"""The words of the page: those that its sources contain, those of the catalogues, and English ones in a page."""

import ast
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, nodes

from webapp import ui

UI = Path(ui.__file__).parent
STATIC, TEMPLATES = UI / "static", UI / "templates"
CATALOGUE = json.loads((UI / "languages/es.json").read_text(encoding="utf-8"))
_SCRIPT = (STATIC / "words/es.js").read_text(encoding="utf-8")
OF_SCRIPTS = json.loads(_SCRIPT[_SCRIPT.index("{") : _SCRIPT.rindex("}") + 1])
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_IN_SCRIPTS = rf'\bt\({_TEXT}|\btn\({_TEXT}, {_TEXT}|\btext: {_TEXT}|\btext: [^",{{}}]*\? {_TEXT} : {_TEXT}'


def of_python() -> Iterator[str]:
    """The texts of the page's modules."""
    for path in sorted(UI.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say":
                assert isinstance(call.args[0], ast.Constant), f"{path}:{call.lineno}"
                yield call.args[0].value


def of_templates() -> Iterator[str]:
    """The texts of the templates."""
    for path in sorted(TEMPLATES.glob("*.html")):
        for call in Environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in ("t", "tn"):
                for text in call.args[: 1 if call.node.name == "t" else 2]:
                    assert isinstance(text, nodes.Const), f"{path}:{call.lineno}"
                    yield text.value


def of_scripts() -> Iterator[str]:
    """The texts of the scripts."""
    for path in sorted(STATIC.rglob("*.js")):
        if path.name != "words.js" and path.parent.name != "words":
            for found in re.findall(_IN_SCRIPTS, path.read_text(encoding="utf-8")):
                yield from filter(None, found)


def unwrapped(template: str) -> list[str]:
    """What a person would read of a template that is no text of the catalogue."""
    marks = {"data": None, "variable_begin": "\0", "block_begin": "\0"}
    parts = [text if kind == "data" else marks.get(kind) or "" for _, kind, text in Environment().lex(template)]
    flat = "".join(parts)
    named = re.findall(r'\b(?:aria-label|title|alt|placeholder)="([^"]*[A-Za-z][^"]*)"', flat)
    text = re.sub(r"<[^<>]*>", "\0", re.sub(r"<(code|kbd)\b[^>]*>[^<]*", "", flat))
    return named + [
        part.strip() for part in re.split("[\0\n]", text) if re.search("[A-Za-z]", part) and "class=" not in part
    ]


def english_in(page: str) -> list[str]:
    """The English texts in what a person reads of a page: its text, names and titles."""
    page = re.sub(r'<(\w+)[^>]* lang="en".*?</\1>|<(code|bdi|style|script)\b.*?</\2>', "", page, flags=re.DOTALL)
    page = re.sub(r'<(\w+) class="file"[^>]*>[^<]*|<dd>[^<]*', "", page)
    said = re.findall(r'\b(?:aria-label|title|alt|placeholder)="([^"]+)"', page) + re.split(r"<[^<>]*>", page)
    return in_english([html.unescape(each) for each in said])


def in_english(said: list[str]) -> list[str]:
    """Those of some texts that contain an English one of the catalogues."""
    return [each.strip() for each in said if _ENGLISH.search(each)]


def _pattern() -> re.Pattern[str]:
    known = {**CATALOGUE["texts"], **OF_SCRIPTS["texts"]}
    spanish = " ".join(known.values())
    parts = {part.strip() for text in known for part in re.split(r"\{\w+\}|<[^<>]*>", text)}
    telling = [
        re.escape(part)
        for part in parts
        if len(part) > 3 and not re.search(rf"(?<!\w){re.escape(part)}(?!\w)", spanish)
    ]
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(telling, key=len, reverse=True))})(?!\w)")


_ENGLISH = _pattern()
