"""Whether published counts and rates of a classifier can be true together: an exact search over whole numbers."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

RATES = ("sensitivity", "specificity", "accuracy", "precision", "f1", "auc")
SHOWN = 5  # of the possible counts
_NUMBER = re.compile(r"(\d{1,12})(?:\.(\d{1,12}))?(%?)")
_STEPS = 10**6  # the nearest counts are found to a deviation of one millionth
Span = tuple[int, int]  # whole numbers from the first to the second; empty if the second is lower
_EMPTY: Span = (1, 0)
Rounding = Literal["nearest", "down"]


@dataclass(frozen=True)
class Claim:
    """A published rate: its text, and the lowest and the highest value that is written so, both included."""

    name: str
    text: str
    low: Fraction
    high: Fraction

    @property
    def value(self) -> Fraction:
        """The published value."""
        return _parsed(self.text)[0]

    def widened(self, by: Fraction) -> "Claim":
        """The claim with a tolerance on both sides."""
        return Claim(self.name, self.text, self.low - by, self.high + by)


@dataclass(frozen=True)
class Counts:
    """The numbers of pictures by label and finding."""

    tp: int
    fp: int
    tn: int
    fn: int

    def rates(self) -> dict[str, Fraction | None]:
        """What these counts give, without the AUC, which they only bound; None for a share of no pictures."""
        return {
            "sensitivity": _share(self.tp, self.tp + self.fn),
            "specificity": _share(self.tn, self.tn + self.fp),
            "accuracy": _share(self.tp + self.tn, self.tp + self.fp + self.tn + self.fn),
            "precision": _share(self.tp, self.tp + self.fp),
            "f1": _share(2 * self.tp, 2 * self.tp + self.fp + self.fn),
        }

    def auc_bounds(self) -> tuple[Fraction, Fraction]:
        """The lowest and the highest AUC of a classifier with these counts at one threshold.

        Of the pairs of a positive and a negative picture, tp * tn are certainly in order, fn * fp certainly are not.
        """
        pairs = (self.tp + self.fn) * (self.tn + self.fp)
        return Fraction(self.tp * self.tn, pairs), 1 - Fraction(self.fn * self.fp, pairs)


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    possible: how many pairs of tp and tn agree with all claims; counts: the first SHOWN of them. If there are none:
    contradictions, the smallest sets of claims that cannot be true together; nearest, the counts whose largest
    `deviation` from what the rounding allows is the smallest.
    """

    possible: int
    counts: tuple[Counts, ...]
    contradictions: tuple[tuple[str, ...], ...] = ()
    nearest: Counts | None = None
    deviation: float = 0.0


def claim(name: str, text: str, rounding: Rounding = "nearest") -> Claim:
    """A rate as it was published, such as "0.93", ".93" or "93.2%": its digits say how it was rounded.

    "nearest" allows both ways of rounding a half; "down" is a number whose further digits were cut off.
    Raises ValueError if the text is no rate.
    """
    value, unit = _parsed(text)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} {text} is not between 0 and 1 (or 0% and 100%)")
    if rounding == "down":
        return Claim(name, text, value, min(Fraction(1), value + unit - Fraction(1, 10**30)))
    return Claim(name, text, max(Fraction(0), value - unit / 2), min(Fraction(1), value + unit / 2))


def check(positives: int, negatives: int, claims: Sequence[Claim]) -> Verdict:
    """Search all counts of so many pictures with and without pneumonia. Raises ValueError if one class is empty.

    Each claim limits tn, for a given tp, to a range of whole numbers; the ranges are intersected with exact fractions.
    """
    if positives < 1 or negatives < 1:
        raise ValueError("the numbers of pictures with and without pneumonia must be at least 1")
    possible, shown = 0, []
    for tp, (low, high) in _feasible(positives, negatives, claims):
        possible += high - low + 1
        for tn in itertools.islice(range(low, high + 1), SHOWN - len(shown)):
            shown.append(_counts(positives, negatives, tp, tn))
    if possible:
        return Verdict(possible, tuple(shown))
    nearest, deviation = _nearest(positives, negatives, claims)
    return Verdict(0, (), tuple(_contradictions(positives, negatives, claims)), nearest, deviation)


def _contradictions(positives: int, negatives: int, claims: Sequence[Claim]) -> Iterator[tuple[str, ...]]:
    """The impossible sets of claims that contain no smaller impossible set."""
    found: list[set[str]] = []
    for size in range(1, len(claims) + 1):
        for chosen in itertools.combinations(claims, size):
            names = {each.name for each in chosen}
            if not any(smaller <= names for smaller in found) and _impossible(positives, negatives, chosen):
                found.append(names)
                yield tuple(each.name for each in chosen)


def _impossible(positives: int, negatives: int, claims: Sequence[Claim]) -> bool:
    return next(_feasible(positives, negatives, claims), None) is None


def _nearest(positives: int, negatives: int, claims: Sequence[Claim]) -> tuple[Counts, float]:
    """The counts that agree with all claims under the smallest tolerance, and that tolerance."""
    low, high = 0, _STEPS  # not enough; enough for all: no rate is further away than 1
    while high - low > 1:
        middle = (low + high) // 2
        wide = [each.widened(Fraction(middle, _STEPS)) for each in claims]
        low, high = (middle, high) if _impossible(positives, negatives, wide) else (low, middle)
    wide = [each.widened(Fraction(high, _STEPS)) for each in claims]
    tp, (tn, _) = next(_feasible(positives, negatives, wide))
    return _counts(positives, negatives, tp, tn), high / _STEPS


def _feasible(positives: int, negatives: int, claims: Sequence[Claim]) -> Iterator[tuple[int, Span]]:
    """Each tp that is possible, with the range of tn."""
    by_name: Mapping[str, Claim] = {each.name: each for each in claims}
    first, last = 0, positives
    if (stated := by_name.get("sensitivity")) is not None:
        first, last = max(first, _ceil(stated.low * positives)), min(last, stated.high * positives // 1)
    for tp in range(first, last + 1):
        low, high = 0, negatives
        for name, each in by_name.items():
            if name != "sensitivity":
                span = _RANGES[name](each, tp, positives, negatives)
                low, high = max(low, span[0]), min(high, span[1])
        if low <= high:
            yield tp, (low, high)


def _specificity(each: Claim, tp: int, positives: int, negatives: int) -> Span:
    return _ceil(each.low * negatives), each.high * negatives // 1


def _accuracy(each: Claim, tp: int, positives: int, negatives: int) -> Span:
    n = positives + negatives
    return _ceil(each.low * n) - tp, each.high * n // 1 - tp


def _precision(each: Claim, tp: int, positives: int, negatives: int) -> Span:
    """Of tp / (tp + fp), which is undefined if no picture is called pneumonia."""
    return _quotient(each, tp, tp, negatives, int(tp == 0))


def _f1(each: Claim, tp: int, positives: int, negatives: int) -> Span:
    """Of 2 tp / (2 tp + fp + fn), which is 2 tp / (tp + positives + fp)."""
    return _quotient(each, 2 * tp, tp + positives, negatives, 0)


def _quotient(each: Claim, above: int, below: int, negatives: int, fewest: int) -> Span:
    """The range of tn where above / (below + fp) lies within the claim; fp = negatives - tn is `fewest` or more."""
    if above == 0:
        return (0, negatives - fewest) if each.low <= 0 else _EMPTY
    if each.high <= 0:
        return _EMPTY
    most = negatives if each.low <= 0 else above / each.low // 1 - below
    return negatives - most, negatives - max(fewest, _ceil(above / each.high) - below)


def _auc(each: Claim, tp: int, positives: int, negatives: int) -> Span:
    """Where the bounds of the AUC meet the claim. An AUC is a number of half pairs, so the claim must contain one."""
    pairs = positives * negatives
    lowest, highest = _ceil(2 * pairs * each.low), 2 * pairs * each.high // 1  # half pairs
    if lowest > highest:
        return _EMPTY
    most = negatives if tp == 0 else highest // (2 * tp)
    misordered = 2 * pairs - lowest  # 2 fn fp must not exceed it
    fn = positives - tp
    return (0 if fn == 0 else negatives - misordered // (2 * fn)), most


_RANGES = {"specificity": _specificity, "accuracy": _accuracy, "precision": _precision, "f1": _f1, "auc": _auc}


def _counts(positives: int, negatives: int, tp: int, tn: int) -> Counts:
    return Counts(tp, negatives - tn, tn, positives - tp)


def _parsed(text: str) -> tuple[Fraction, Fraction]:
    """The value and the unit of its last digit."""
    match = _NUMBER.fullmatch("0" + text.strip() if text.strip().startswith(".") else text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate such as 0.93 or 93.2%")
    whole, decimals, percent = match[1], match[2] or "", match[3]
    scale = 10 ** len(decimals) * (100 if percent else 1)
    return Fraction(int(whole + decimals), scale), Fraction(1, scale)


def _share(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def _ceil(value: Fraction) -> int:
    return -(-value // 1)
