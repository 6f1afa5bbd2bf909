"""The words of the page in Spanish are complete: each text of its sources has some, and none is left over."""

import ast
import re
from collections import Counter
from typing import get_args

import pytest

from model.serving.prediction import CautionCode, RefusalCode
from tests.webapp.ui import words
from webapp.roles import OF_ROLE


@pytest.mark.parametrize(
    ("catalogue", "sources"),
    [
        (words.CATALOGUE, [words.of_python, words.of_templates]),
        (words.OF_SCRIPTS, [words.of_scripts]),
    ],
)
def test_every_text_has_spanish_words_and_none_is_unused(catalogue, sources):
    used = {text for source in sources for text in source()}
    assert used - catalogue["texts"].keys() == set()
    assert catalogue["texts"].keys() - used == set()


@pytest.mark.parametrize("catalogue", [words.CATALOGUE, words.OF_SCRIPTS])
def test_a_text_has_the_same_values_and_elements_in_both_languages(catalogue):
    for english, spanish in catalogue["texts"].items():
        for part in (r"\{\w+\}", r"</?\w+", r"`[^`]+`", r"^\s*"):
            assert Counter(re.findall(part, english)) == Counter(re.findall(part, spanish)), english
        assert english.startswith("Error:") == spanish.startswith("Error:"), english
        assert english[-1:] in ".:;?" or spanish[-1:] not in ".:;?", english


@pytest.mark.parametrize("path", sorted(words.TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_a_template_says_nothing_beside_its_texts(path):
    allowed = {"base.html": {"pneumoctl", "· pneumoctl"}, "detail.html": {"ms"}}
    allowed["parts.html"] = {"refused", "pneumonia", "clear", "error"}  # classes
    assert set(words.unwrapped(path.read_text(encoding="utf-8"))) <= allowed.get(path.name, set())


def test_an_error_is_never_a_bare_text():
    for path in words.UI.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in {
                *("ApiError", "BadRequest", "NotFound", "Forbidden", "Failure"),
            }:
                bare = [each for each in call.args if isinstance(each, ast.Constant | ast.JoinedStr)]
                texts = [each for each in bare if not isinstance(getattr(each, "value", ""), int)]
                assert not texts, f"{path}:{call.lineno}"


def test_every_code_of_a_result_has_spanish_words():
    refusals, cautions = set(get_args(RefusalCode)), set(get_args(CautionCode))
    expected = {"refusal": refusals, "refusal-name": refusals, "caution": cautions, "caution-name": cautions}
    expected |= {"review": {"pneumonia", "no pneumonia", "unsure"}, "role": set(OF_ROLE)}
    for kind, codes in expected.items():
        assert {code.partition(":")[2] for code in words.CATALOGUE["codes"] if code.startswith(f"{kind}:")} == codes
    assert words.OF_SCRIPTS["codes"].items() <= words.CATALOGUE["codes"].items()
