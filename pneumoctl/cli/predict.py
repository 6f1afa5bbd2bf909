"""`pneumoctl predict`: score pictures on this machine, or by a running stack."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, cast

import typer

from model.serving.prediction import Choices, OutsideUse, Scoring
from pneumoctl.cli.invocation import invocation, output_options
from pneumoctl.cli.options import Config, StackName
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import find_files, report, score
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.scoring.resume_file import ResumeFile, Scorer
from pneumoctl.scoring.score import FileResult
from pneumoctl.stack import settings
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console

_MANY = 20  # show a progress bar from this number of files on


@output_options
def predict(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders or quoted globs; - reads stdin.")
    ],
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Directory of the model bundle (default: the setting model)."),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", metavar="DIR", help="Write a heat map of each finding to this directory."),
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Use the running stack instead of this machine.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, max=64, help="Pictures scored at the same time.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="FILE", help="Append results to this JSONL file; skip those in it."),
    ] = None,
    fail_on_positive: Annotated[
        bool, typer.Option("--fail-on-positive", help="Exit with code 3 if pneumonia is found.")
    ] = False,
    operating_point: Annotated[
        str | None,
        typer.Option(
            "--operating-point", metavar="NAME", help="Threshold of the model: balanced (the default) or screening."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", help="Another threshold, above 0 and below 1: with a warning."),
    ] = None,
    stack: StackName = None,
    config: Config = None,
) -> int:
    """Score chest X-rays (PNG, JPEG, DICOM).

    Not a medical device.

    Exit codes: 0 all pictures scored; 6 some were refused or failed; 3 pneumonia found, with --fail-on-positive (takes
    precedence over 6); 1 every picture failed; 2 usage error.
    """
    _check_together(console.json_mode, csv, remote, model or explain or operating_point or threshold is not None)
    _check_threshold(operating_point, threshold)
    inputs = find_files.find(paths)
    jobs = jobs or score.default_jobs(len(inputs.files), score.MAX_BYTES if remote else score.HERE_BYTES)
    with ExitStack() as cleanup:
        if remote:
            scorer, scoring = cleanup.enter_context(_remote(stack, config, jobs, resume is not None))
        else:
            scorer, scoring = _here(model, config, jobs, explain, operating_point, threshold)
        if resume:
            scorer = cleanup.enter_context(ResumeFile(resume, scoring)).scorer(scorer)
        outcomes = list(_shown(score.score_all(inputs.files, scorer, jobs), inputs.files, csv))
    counts = report.summary(outcomes, inputs.skipped)
    if console.json_mode:
        documents = [outcome.document for outcome in outcomes if outcome.document]
        errors = [{"file": outcome.file, "message": outcome.error} for outcome in outcomes if outcome.error]
        console.result({"predictions": documents, "errors": errors, "summary": counts})
    elif not csv:
        if counts["files"] > 1 or inputs.skipped:
            console.text(report.summary_line(counts))
        for line in report.caution_lines(outcomes):
            console.text(line)
    return report.exit_code(counts, fail_on_positive)


def _check_together(json: bool, csv: bool, remote: bool, local: object) -> None:
    if json and csv:
        raise PneumoError("--json cannot be combined with --csv", "pneumoctl predict --help", Exit.USAGE)
    if remote and local:
        message = "--remote cannot be combined with --model, --explain, --operating-point or --threshold"
        raise PneumoError(message, "pneumoctl predict --help", Exit.USAGE)


def _check_threshold(operating_point: str | None, threshold: float | None) -> None:
    if threshold is None:
        return
    if operating_point is not None:
        message = "--threshold cannot be combined with --operating-point"
        raise PneumoError(message, "pneumoctl predict --help", Exit.USAGE)
    if not 0 < threshold < 1:
        raise PneumoError(f"--threshold {threshold} is not above 0 and below 1", "pneumoctl predict --help", Exit.USAGE)
    console.warn(f"the threshold {threshold} was given by hand: what it finds and overlooks was not measured")


def _here(
    model: Path | None,
    config: Path | None,
    jobs: int,
    explain: Path | None,
    operating_point: str | None,
    threshold: float | None,
) -> tuple[Scorer, Scoring]:
    """A scorer on this machine, with the bundle `model`, or the one in the settings, or the shipped one."""
    chosen = settings.load({}, config, os.environ)
    configured = Path(chosen.model).expanduser() if chosen.model else None
    choices = Choices(cast(OutsideUse, chosen.outside_use), operating_point, threshold)
    return score.local_scorer(model or configured, jobs, explain, choices)


@contextmanager
def _remote(stack: str | None, config: Path | None, jobs: int, resumed: bool) -> Iterator[tuple[Scorer, Scoring]]:
    """A scorer that uses the stack's API, and what it depends on, which only a `resumed` run needs."""
    with target(*invocation({"stack": stack}, config)).api() as endpoint:
        api = ApiClient(endpoint.url, endpoint.token, jobs, endpoint.socket)
        yield api.score, api.scoring() if resumed else Scoring("")


def _shown(outcomes: Iterator[FileResult], files: list[str], csv: bool) -> Iterator[FileResult]:
    """Print each outcome when it arrives, then yield it."""
    terminal = sys.stdout.isatty()
    table = report.ResultTable(files, console.colour and terminal and "NO_COLOR" not in os.environ)
    console.text(report.csv_row(report.CSV_COLUMNS) if csv else table.header(), verbatim=True)
    with ExitStack() as cleanup:
        progress = None
        if len(files) >= _MANY and (console.json_mode or not terminal):
            progress = cleanup.enter_context(console.progress("predict", len(files), "files"))
        for outcome in outcomes:
            console.text(report.csv_row(report.csv_cells(outcome)) if csv else table.row(outcome), verbatim=True)
            if progress:
                progress(1)
            yield outcome
