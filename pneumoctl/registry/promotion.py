"""The promoted model of a stack, which it serves unless another is named, and the sensitivity gate of a promotion."""

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import bundle as bundles
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import write_atomically
from pneumoctl.registry import evaluations, figures, store
from pneumoctl.registry.store import Registered
from pneumoctl.stack import audit, ownership
from pneumoctl.stack.lock import held
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find
from pneumoctl.terminal.report import counted


@dataclass(frozen=True)
class Measurement:
    """A model's figures on a set of pictures; the same `key` means exactly the same pictures."""

    key: str
    on: str
    figures: Mapping[str, Any]
    chosen_on: bool = False  # the threshold was chosen on these pictures, so that the sensitivity is the targeted one


@dataclass(frozen=True)
class Comparison:
    """A candidate's sensitivity compared with that of a model that is served or promoted."""

    reference: str
    candidate_on: str
    reference_on: str
    same: bool  # exactly the same pictures
    candidate: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether the candidate lies below the reference's interval."""
        return self.candidate < self.low

    def __str__(self) -> str:
        different = f"on different pictures: {self.candidate_on} and {self.reference_on}"
        where = f"both on {self.candidate_on}" if self.same else different
        position = "below" if self.worse else "above" if self.candidate > self.high else "within"
        interval = f"the 95 % interval {self.low:.3f} to {self.high:.3f} of {self.reference}"
        return f"sensitivity {self.candidate:.3f}, {position} {interval} ({where})"


def measurements(model: Registered) -> list[Measurement]:
    """All measurements of a model's sensitivity: its test, its evaluations (newest first), its validation."""
    parts, name = figures.measured(model), figures.data_name(model)
    digest, settings = model.manifest["data"].get("manifest_sha256", ""), model.manifest.get("settings") or {}
    split = f"{settings.get('seed')} {settings.get('validation_share')}"
    results = [Measurement(f"{digest} test", f"test of {name}", parts.get("test", {}))]
    for entry in reversed(evaluations.of_model(model.id)):
        on = f"{counted(entry['metrics']['n'], 'picture')} {entry['pictures'][:8]}"
        results.append(Measurement(entry["pictures"], on, figures.read(entry["metrics"])))
    validation = Measurement(
        f"{digest} validation {split}", f"validation of {name}", parts.get("validation", {}), chosen_on=True
    )
    return [measurement for measurement in (*results, validation) if "sensitivity" in measurement.figures]


def compare(candidate: Registered, reference: Registered) -> list[Comparison]:
    """Compare two models on each set of pictures on which both were measured, else by the best measurement of each.

    Empty if one of them has no measurement.
    """
    ours, theirs = measurements(candidate), measurements(reference)
    by_key = {measurement.key: measurement for measurement in reversed(theirs)}
    pairs = [(measurement, by_key[measurement.key]) for measurement in ours if measurement.key in by_key]
    # Pictures on which the thresholds were chosen count only where there are no others.
    pairs = [pair for pair in pairs if not pair[0].chosen_on] or pairs
    if not pairs and ours and theirs:
        pairs = [(ours[0], theirs[0])]
    comparisons = (_comparison(reference, *pair) for pair in pairs)
    return list({str(comparison): comparison for comparison in comparisons}.values())


def _comparison(reference: Registered, candidate: Measurement, other: Measurement) -> Comparison:
    interval = other.figures["sensitivity"]
    value = candidate.figures["sensitivity"]["value"]
    same = candidate.key == other.key
    return Comparison(reference.id, candidate.on, other.on, same, value, interval["low"], interval["high"])


def gate(candidate: Registered, references: Sequence[Registered]) -> list[Comparison]:
    """Compare a candidate with the served and promoted models. Raises PneumoError (exit 10) if it is worse than one."""
    if not measurements(candidate):
        raise PneumoError(
            f"the sensitivity of {candidate.id} was never measured",
            f"pneumoctl model evaluate {candidate.id} DIR",
            Exit.GATE_FAILED,
        )
    others = [model for model in references if model.id != candidate.id]
    comparisons = [comparison for model in others for comparison in compare(candidate, model)]
    if worse := [str(comparison) for comparison in comparisons if comparison.worse]:
        raise PneumoError(
            f"{candidate.id} is not promoted: {'; '.join(worse)}",
            f"evaluate both on the same pictures: pneumoctl model evaluate MODEL DIR; or: "
            f"pneumoctl model promote {candidate.id} --force --reason WHY (which is recorded)",
            Exit.GATE_FAILED,
            comparisons=[asdict(comparison) for comparison in comparisons],
        )
    return comparisons


def locked(stack: Stack) -> AbstractContextManager[None]:
    """The lock of a promotion. It is not the stack's lock, which a training holds for hours."""
    ownership.require_writable(stack.directory)
    return held(_file(stack).with_suffix(".lock"), "model promote")


def promoted(stack: Stack) -> dict[str, Any] | None:
    """The promoted model, since when, by whom and why; None before the first promotion."""
    path = _file(stack)
    try:
        document = json.loads(path.read_text())
        return {**document, "model": str(document["model"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PneumoError(
            f"{path} is damaged: {error}", f"rm {shlex.quote(str(path))}, then: pneumoctl model promote MODEL"
        ) from error


def promote(stack: Stack, model: Registered, reason: str, forced: bool, compared: Sequence[str]) -> dict[str, Any]:
    """Make this model the promoted one. The caller holds the lock `locked`."""
    document = {
        "model": model.id,
        "at": datetime.now(UTC).isoformat("T", "seconds"),
        "who": audit.current_user(),
        "forced": forced,
        "reason": reason,
        "compared": list(compared),
    }
    write_atomically(_file(stack), json.dumps(document, indent=2).encode(), 0o600)
    return document


def default(stack: Stack) -> str:
    """NAME-VERSION of the promoted model, else of the shipped one."""
    current = promoted(stack)
    return current["model"] if current else store.shipped().id


def bundle(stack: Stack) -> Path:
    """Directory of the promoted model, else of the shipped one."""
    current = promoted(stack)
    registered = current is not None and current["model"] in store.names()
    if current is None or (not registered and current["model"] == store.shipped().id):
        return bundles.pretrained()
    return store.get(current["model"], deep=False).directory


def _file(stack: Stack) -> Path:
    """The file lies beside the stack's directory, so that a stack that is created again serves the same model."""
    return stack.directory.with_name(f"{stack.name}.promoted.json")


def model_bundle(settings: Settings) -> tuple[str, Path]:
    """Name-version and directory of the bundle to serve: of the settings, else the promoted one, else the shipped one.

    Raises PneumoError if it is damaged.
    """
    try:
        named = Path(settings.model).expanduser().resolve() if settings.model else None
        directory = named or bundle(find(settings.stack))
        loaded = bundles.load(directory, deep=True)
    except bundles.BundleError as error:
        raise PneumoError(f"model bundle: {error}", "pneumoctl doctor", Exit.PREFLIGHT) from error
    except PneumoError as error:
        raise PneumoError(f"the promoted model: {error.message}", error.hint, Exit.PREFLIGHT) from error
    return f"{loaded.name}-{loaded.version}", directory
