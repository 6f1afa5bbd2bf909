"""The gate of a promotion: a candidate's figures beside those of the models that serve, on the same pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from model.operating_points_section import OWN_FILMS, Interval, own_films
from model.settings import validation_cut
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry import evaluations, figures
from pneumoctl.registry.store import Registered
from pneumoctl.terminal.report import counted

# What a candidate must reach, whatever serves. It counts with the lower end of its 95 % interval, so that a few lucky
# pictures prove nothing. Sensitivity and specificity: below a half, most of the ill or of the healthy are called
# wrongly. AUC: Hosmer and Lemeshow's textbook calls a discrimination excellent from 0.8 on.
FLOORS = {"sensitivity": 0.5, "specificity": 0.5, "auc": 0.8}
TITLES = {"sensitivity": "sensitivity", "specificity": "specificity", "auc": "AUC"}


@dataclass(frozen=True)
class Measurement:
    """A model's figures on a set of pictures; the same `key`, a digest, means exactly the same pictures."""

    key: str
    on: str
    figures: Mapping[str, Interval]
    refused: str = "-"  # of how many pictures; they are in the figures, so that these are of the same pictures
    chosen_on: str = ""  # what the threshold was chosen on, if on these pictures or on copies of them; else empty


NONE = Measurement("", "no pictures", {})


@dataclass(frozen=True)
class Comparison:
    """A candidate beside a model that is served or promoted; `same`: on the same pictures, which favour neither."""

    candidate: str
    reference: str
    candidate_on: str
    reference_on: str
    same: bool
    chosen_by: str  # the model whose operating points were chosen on these pictures, if on the one side alone
    candidate_figures: Mapping[str, Interval]
    reference_figures: Mapping[str, Interval]
    candidate_refused: str
    reference_refused: str
    candidate_chosen_on: str = ""  # of Measurement
    reference_chosen_on: str = ""

    @property
    def alike(self) -> bool:
        """Whether both thresholds were chosen on the same kind of films.

        Thresholds that were chosen on different ones, such as the films and shifted copies of them, reach their target
        sensitivity on different films. One rate is then higher at the price of the other, so their mean is compared: it
        is low at a poor threshold, however well the network ranks.
        """
        return self.candidate_chosen_on == self.reference_chosen_on

    def compared(self) -> Iterator[tuple[str, Interval | None, Interval | None]]:
        """The title of each figure that is compared, and the figure of the candidate and of the reference."""
        ours, theirs = self.candidate_figures, self.reference_figures
        if self.alike:
            yield from ((title, ours.get(name), theirs.get(name)) for name, title in TITLES.items())
            return
        yield TITLES["auc"], ours.get("auc"), theirs.get("auc")
        yield "balanced accuracy", figures.balanced_accuracy(ours), figures.balanced_accuracy(theirs)

    def faults(self) -> Iterator[str]:
        """Why the candidate cannot take the reference's place: no common pictures, or a figure below the interval."""
        if self.chosen_by:
            yield (
                f"the operating points of {self.chosen_by} were chosen on the {self.candidate_on} that it and "
                f"{self._other()} have scored: only other pictures can tell which is better"
            )
            return
        if not self.same:
            yield f"no pictures were scored by both, it and {self.reference}"
            return
        for title, ours, theirs in self.compared():
            if not self.alike and not (ours and theirs):
                yield f"{self._chosen_on()}, and the {title} was not measured for both, it and {self.reference}"
            if ours and theirs and ours["value"] < theirs["low"]:
                interval = f"{theirs['low']:.3f} to {theirs['high']:.3f}"
                yield f"{title} {ours['value']:.3f} is below the 95 % interval {interval} of {self.reference}"

    def _other(self) -> str:
        return self.reference if self.chosen_by == self.candidate else self.candidate

    def _chosen_on(self) -> str:
        return f"the thresholds were chosen on different films ({self.candidate_chosen_on}; {self.reference_chosen_on})"

    def table(self) -> Iterator[str]:
        """Both models' figures with their intervals, as lines."""
        ours, theirs = f"{self.candidate} on {self.candidate_on}", f"{self.reference} on {self.reference_on}"
        yield f"value (95 % interval) of {ours}; of {theirs}:"
        for name, title in TITLES.items():
            pair = self.candidate_figures.get(name), self.reference_figures.get(name)
            yield f"  {title:11}  {'; '.join(map(figures.with_interval, pair))}"
        yield f"  {'refused':11}  {self.candidate_refused}; {self.reference_refused}"
        if self.same and not self.alike:
            pair = figures.balanced_accuracy(self.candidate_figures), figures.balanced_accuracy(self.reference_figures)
            yield f"  balanced accuracy  {'; '.join(map(figures.with_interval, pair))}"
            yield f"  {self._chosen_on()}: compared are the AUC and the balanced accuracy (mean of both rates)"

    def __str__(self) -> str:
        lines = list(self.table())
        return f"{lines[0]} {', '.join(' '.join(line.split()) for line in lines[1:])}"


def measurements(model: Registered) -> list[Measurement]:
    """All measurements of a model: its test, its evaluations (newest first), its validation."""
    parts, name = figures.measured(model), figures.data_name(model)
    settings = model.manifest.get("settings")
    split = model.id  # without these, the validation part is its own
    if isinstance(settings, dict) and {"seed", "validation_share"} <= settings.keys():
        split = " ".join(map(str, validation_cut(settings)))
    digest = model.manifest["data"].get("manifest_sha256") or model.id  # without a digest, the pictures are its own
    refused = {part: figures.refused(model.manifest["metrics"][part]) for part in parts}
    films = own_films(model.manifest)
    results = [Measurement(f"{digest} test", f"test of {name}", parts.get("test", {}), refused.get("test", "-"))]
    for entry in reversed(evaluations.of_model(model.id)):
        on = f"{counted(entry['metrics']['n'], 'picture')} {entry['pictures'][:8]}"
        shown = figures.refused({**entry["metrics"], "refused": entry["refused"]})
        chosen = OWN_FILMS if entry.get("of_calibration") else ""
        results.append(Measurement(entry["pictures"], on, figures.read(entry["metrics"]), shown, chosen_on=chosen))
    key = f"{digest} validation {split}" if films is None else f"{films['scored']} calibration"
    validation = Measurement(
        key,
        figures.part_name(model, "validation"),
        parts.get("validation", {}),
        refused.get("validation", "-"),
        chosen_on=_chosen_on(model),
    )
    return [measurement for measurement in (*results, validation) if measurement.figures]


def _chosen_on(model: Registered) -> str:
    return str(model.manifest["operating_point"]["chosen_on"] or "validation")


def compare(candidate: Registered, reference: Registered) -> list[Comparison]:
    """Two models on each set of pictures on which both were measured; if there is none, by the first of each."""
    ours, theirs = measurements(candidate), measurements(reference)
    by_key = {measurement.key: measurement for measurement in reversed(theirs)}
    pairs = [(measurement, by_key[measurement.key]) for measurement in ours if measurement.key in by_key]
    fair = [pair for pair in pairs if bool(pair[0].chosen_on) == bool(pair[1].chosen_on)]
    if pairs and not fair:
        return [_comparison(candidate, reference, *pairs[0])]
    pairs = fair
    # Films on which the thresholds were chosen count only where there are no others.
    pairs = [pair for pair in pairs if not pair[0].chosen_on] or pairs
    pairs = pairs or [(next(iter(ours), NONE), next(iter(theirs), NONE))]
    newest = {pair[0].key: pair for pair in reversed(pairs)}
    return [_comparison(candidate, reference, *pair) for pair in reversed(newest.values())]


def _comparison(candidate: Registered, reference: Registered, ours: Measurement, theirs: Measurement) -> Comparison:
    common = ours.key == theirs.key and ours is not NONE
    chosen_by = ""
    if common and bool(ours.chosen_on) != bool(theirs.chosen_on):
        chosen_by = candidate.id if ours.chosen_on else reference.id
    return Comparison(
        candidate.id,
        reference.id,
        ours.on,
        theirs.on,
        common and not chosen_by,
        chosen_by,
        ours.figures,
        theirs.figures,
        ours.refused,
        theirs.refused,
        ours.chosen_on if common else "",
        theirs.chosen_on if common else "",
    )


def check(candidate: Registered, references: Sequence[Registered], unknown: Sequence[str] = ()) -> list[Comparison]:
    """Compare a candidate with the served and promoted models. Raises PneumoError (exit 10) unless it is as good.

    `unknown`: why other models that may serve cannot be compared with it.
    """
    comparisons = [one for model in references if model.id != candidate.id for one in compare(candidate, model)]
    common = [(one.candidate_on, one.candidate_figures) for one in comparisons if one.same]
    first = next(iter(measurements(candidate)), NONE)
    faults = [*unknown, *(fault for one in comparisons for fault in one.faults())]
    faults += [fault for on, measured in common or [(first.on, first.figures)] for fault in _below_floor(on, measured)]
    if faults:
        lines = [f"{candidate.id} is not promoted:", *(f"- {fault}" for fault in dict.fromkeys(faults))]
        lines += [line for one in comparisons for line in one.table()]
        raise PneumoError(
            "\n".join(lines),
            _hint(candidate, comparisons),
            Exit.GATE_FAILED,
            faults=list(dict.fromkeys(faults)),
            comparisons=[asdict(one) for one in comparisons],
        )
    return comparisons


def _below_floor(on: str, measured: Mapping[str, Interval]) -> Iterator[str]:
    if not measured:
        yield "its figures were never measured"
        return
    for name, floor in FLOORS.items():
        figure = measured.get(name)
        if figure is None:
            yield f"its {TITLES[name]} was not measured on {on}"
        elif figure["low"] < floor:
            yield f"its {TITLES[name]} is not shown to be at least {floor}: {figures.with_interval(figure)} on {on}"


def _hint(candidate: Registered, comparisons: Sequence[Comparison]) -> str:
    others = dict.fromkeys(one.reference for one in comparisons if not one.same)
    names = [candidate.id, *others] if others or not measurements(candidate) else []
    evaluate = [f"pneumoctl model evaluate {name} DIR" for name in names]
    first = f"score the same pictures with each: {'; '.join(evaluate)}; or: " if names else ""
    return f"{first}pneumoctl model promote {candidate.id} --force --reason WHY (which is recorded)"
