"""Orders and cursors of the list: text sorts like numbers, and a cursor is valid for one list only."""

import base64
import random
import unicodedata

import pytest

from webapp.api.storage import listing


def document(number: int, probability: float | None = 0.5, created: str = "2026-01-02T03:04:05.678Z") -> dict:
    """The fields of a prediction that a list uses."""
    finding = None if probability is None else "pneumonia" if probability >= 0.5 else "no pneumonia"
    refusal = {"code": "too_small", "reason": "small"} if probability is None else None
    return {
        "id": f"{number:032x}",
        "created": created,
        "probability": probability,
        "finding": finding,
        "refusal": refusal,
    }


@pytest.mark.parametrize("name", ["\u00c9.png", "Stra\u00dfe.PNG", "\u0390", "\u00c5ngstr\u00f6m"])
def test_a_name_is_found_in_any_case_and_however_its_accents_are_written(name):
    cases = (name, name.lower(), name.upper())
    forms = [unicodedata.normalize(form, each) for form in ("NFC", "NFD") for each in cases]
    assert len({listing.searchable(each) for each in forms}) == 1


def test_a_letter_without_its_accent_is_another_one():
    assert "e" not in listing.searchable("E\u0301.png")


def test_a_cursor_says_whether_the_list_was_read_from_the_index():
    for of_index in (False, True):
        cursor = listing.to_cursor("probability", "all", "x", of_index=of_index)
        assert listing.from_cursor("probability", "all", cursor) == "x"
        assert listing.is_of_index(cursor) == of_index


def test_index_members_sort_like_their_numbers():
    dice = random.Random(3)
    probabilities = [0.0, 1.0, 1e-9, 0.1, 0.09, 0.99999, *(dice.random() for _ in range(200))]
    documents = [document(number, value) for number, value in enumerate(probabilities)]
    by_text = sorted(documents, key=lambda each: listing.member("probability", each))
    assert [each["probability"] for each in by_text] == sorted(probabilities)


def test_refusals_sort_after_the_least_probable():
    refused, least = document(1, None), document(2, 0.0)
    assert listing.member("probability", refused) < listing.member("probability", least)


def test_times_sort_independently_of_the_time_zone():
    early = document(9, created="2026-01-02T05:04:05+02:00")
    late = document(1, created="2026-01-02T03:04:05.001Z")
    assert listing.member("time", early) < listing.member("time", late)


def test_a_prediction_is_listed_under_all_and_its_own_outcome():
    places = {(order, chosen) for order, chosen, _ in listing.memberships(document(1, 0.9))}
    assert places == {(order, chosen) for order in listing.ORDERS for chosen in ("all", "pneumonia")}
    places = {chosen for _, chosen, _ in listing.memberships(document(1, None))}
    assert places == {"all", "refused"}


@pytest.mark.parametrize("order", listing.ORDERS)
@pytest.mark.parametrize("chosen", listing.FILTERS)
def test_a_cursor_decodes_to_its_member(order, chosen):
    member = listing.member(order, document(0xABC, 0.25))
    cursor = listing.to_cursor(order, chosen, member)
    assert listing.from_cursor(order, chosen, cursor) == member
    assert listing.id_of(member) == f"{0xABC:032x}"


def plain(text: str) -> str:
    """A text encoded like a cursor."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "ä",
        "AAAA",
        "a",
        plain("1|time|all|"),
        plain("1|time|pneumonia|" + "0" * 17 + ":" + "a" * 32),
        plain("1|probability|all|" + "0" * 10 + ":" + "0" * 17 + ":" + "a" * 32),
        plain("2|time|all|" + "0" * 17 + ":" + "a" * 32),
        "A" * 100_000,
    ],
)
def test_other_cursors_are_invalid(cursor):
    with pytest.raises(listing.CursorInvalid):
        listing.from_cursor("time", "all", cursor)
