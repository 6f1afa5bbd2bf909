"""Which model a stack takes when none is named: the promoted one, and the gate on sensitivity that it went through."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import bundle as bundles
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.registry import evaluations, store
from pneumoctl.registry.store import Registered
from pneumoctl.stack import audit
from pneumoctl.stack.lock import held
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find


@dataclass(frozen=True)
class Measured:
    """A model's figures on some pictures; the same `key`: the very same pictures."""

    key: str
    on: str
    figures: Mapping[str, Any]
    chosen_on: bool = False  # the threshold was chosen on them: such a sensitivity is what was aimed at


@dataclass(frozen=True)
class Comparison:
    """A candidate's sensitivity beside that of a model that serves or is promoted."""

    reference: str
    candidate_on: str
    reference_on: str
    same: bool  # the very same pictures
    candidate: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether it lies below the interval."""
        return self.candidate < self.low

    def __str__(self) -> str:
        where = f"both on {self.candidate_on}" if self.same else (
            f"on different pictures: {self.candidate_on} beside {self.reference_on}")  # fmt: skip
        stack = "below" if self.worse else "above" if self.candidate > self.high else "within"
        interval = f"the 95 % interval {self.low:.3f} to {self.high:.3f} of {self.reference}"
        return f"sensitivity {self.candidate:.3f}, {stack} {interval} ({where})"


def measured(model: Registered) -> list[Measured]:
    """Everything that is known of a model's sensitivity: its card's test, evaluations (newest first), validation."""
    data, settings, metrics = (model.manifest.get(one) or {} for one in ("data", "settings", "metrics"))
    name, known = data.get("name", "its data"), data.get("manifest_sha256", "")
    cut = f"{settings.get('seed')} {settings.get('validation_share')}"
    found = [Measured(f"{known} test", f"test of {name}", metrics.get("test") or {})]
    for one in reversed(evaluations.of(model.id)):
        on = f"{one['metrics']['n']} pictures {one['pictures'][:8]}"
        found.append(Measured(one["pictures"], on, one["metrics"]))
    validation = metrics.get("validation") or {}
    found.append(Measured(f"{known} validation {cut}", f"validation of {name}", validation, chosen_on=True))
    return [one for one in found if one.figures.get("sensitivity")]


def compare(candidate: Registered, reference: Registered) -> list[Comparison]:
    """On every set of pictures that both were measured on; without one, the best known of each. Empty: not known."""
    mine, theirs = measured(candidate), {one.key: one for one in reversed(measured(reference))}
    pairs = [(one, theirs[one.key]) for one in mine if one.key in theirs]
    # What the thresholds were chosen on counts where there is nothing better.
    pairs = [pair for pair in pairs if not pair[0].chosen_on] or pairs
    if not pairs and mine and theirs:
        pairs = [(mine[0], measured(reference)[0])]
    return list({str(one): one for one in (_comparison(reference, *pair) for pair in pairs)}.values())


def _comparison(reference: Registered, mine: Measured, theirs: Measured) -> Comparison:
    interval = theirs.figures["sensitivity"]
    value = mine.figures["sensitivity"]["value"]
    same = mine.key == theirs.key
    return Comparison(reference.id, mine.on, theirs.on, same, value, interval["low"], interval["high"])


def gate(candidate: Registered, references: Sequence[Registered]) -> list[Comparison]:
    """Hold a candidate against models that serve or are promoted. PneumoError (exit 10) if it must not follow them."""
    if not measured(candidate):
        raise PneumoError(
            f"nothing is known of the sensitivity of {candidate.id}",
            f"pneumoctl model evaluate {candidate.id} DIR",
            Exit.GATE_FAILED,
        )
    others = [one for one in references if one.id != candidate.id]
    found = [comparison for one in others for comparison in compare(candidate, one)]
    if worse := [str(one) for one in found if one.worse]:
        raise PneumoError(
            f"{candidate.id} is not promoted: {'; '.join(worse)}",
            f"pneumoctl model evaluate it and them on the same pictures, or: "
            f"pneumoctl model promote {candidate.id} --force --reason WHY (which is kept)",
            Exit.GATE_FAILED,
            comparisons=[asdict(one) for one in found],
        )
    return found


def locked(stack: Stack) -> AbstractContextManager[None]:
    """One promotion at a time. Not the stack's lock: a training holds that for hours."""
    return held(_file(stack).with_suffix(".lock"), "model promote")


def promoted(stack: Stack) -> dict[str, Any] | None:
    """What is promoted, since when, by whom and why; None before the first."""
    path = _file(stack)
    try:
        found = json.loads(path.read_text())
        return {**found, "model": str(found["model"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PneumoError(f"{path} is damaged: {error}", f"rm {path}, then: pneumoctl model promote MODEL") from error


def promote(stack: Stack, model: Registered, reason: str, forced: bool, compared: Sequence[str]) -> dict[str, Any]:
    """From now on the stack takes this model. Call it with `locked`."""
    document = {
        "model": model.id,
        "at": datetime.now(UTC).isoformat("T", "seconds"),
        "who": audit.who(),
        "forced": forced,
        "reason": reason,
        "compared": list(compared),
    }
    write_atomically(_file(stack), json.dumps(document, indent=2).encode(), 0o600)
    return document


def bundle(stack: Stack) -> Path:
    """Directory of the model that the stack takes when none is named: the promoted one, else the shipped one."""
    known = promoted(stack)
    here = known is not None and known["model"] in store.names()
    if known is None or (not here and known["model"] == store.shipped().id):
        return bundles.pretrained()
    return store.get(known["model"], deep=False).directory


def _file(stack: Stack) -> Path:
    """Beside the stack's directory, as its record of acts: a stack brought up again takes the model that it had."""
    return stack.directory.with_name(f"{stack.name}.promoted.json")


def model_bundle(settings: Settings) -> tuple[str, Path]:
    """Name-version and directory of the bundle to serve: the one that the settings name, else the promoted one of the
    stack, else the shipped one. PneumoError if it cannot be trusted.
    """
    try:
        named = Path(settings.model).expanduser().resolve() if settings.model else None
        directory = named or bundle(find(settings.stack))
        found = bundles.load(directory, deep=True)
    except bundles.BundleError as error:
        raise PneumoError(f"model bundle: {error}", "pneumoctl doctor", Exit.PREFLIGHT) from error
    except PneumoError as error:
        raise PneumoError(f"the promoted model: {error.message}", error.hint, Exit.PREFLIGHT) from error
    return f"{found.name}-{found.version}", directory
