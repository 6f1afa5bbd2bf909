"""`pneumoctl predict`: score pictures on this machine, or by a running stack."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, cast

import typer

from model.serving.prediction import Choices, OutsideUse, Prediction, Scoring
from pneumoctl.cli.invocation import invocation, output_options, teardown_named
from pneumoctl.cli.options import Config, StackName
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import find_files, pdf_reports, report, score, structured_report, worker_pool
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.scoring.resume_file import ResumeFile
from pneumoctl.scoring.score import FileResult, Model
from pneumoctl.scoring.worker_pool import WorkerPool
from pneumoctl.stack import settings
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted

_MANY = 20  # show a progress bar from this number of files on


_Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders or quoted globs; - reads stdin.")]
_Csv = Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")]
_Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="DIR", help="Directory of the model bundle (default: the setting model)."),
]
_Explain = Annotated[
    Path | None,
    typer.Option("--explain", metavar="DIR", help="Write a heat map of each finding to this directory."),
]
_Sr = Annotated[
    Path | None,
    typer.Option(
        "--sr", metavar="DIR", help="Write a DICOM structured report of each finding in DICOM files (extra: report)."
    ),
]
_Pdf = Annotated[
    Path | None,
    typer.Option("--pdf", metavar="DIR", help="Write a PDF report of each finding and refusal (extra: report)."),
]
_Remote = Annotated[bool, typer.Option("--remote", help="Use the running stack instead of this machine.")]
_Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", min=1, max=64, help="Pictures scored at the same time.")
]
_Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="FILE", help="Append results to this JSONL file; skip those in it."),
]
_FailOnPositive = Annotated[bool, typer.Option("--fail-on-positive", help="Exit with code 3 if pneumonia is found.")]
_OperatingPoint = Annotated[
    str | None,
    typer.Option(
        "--operating-point", metavar="NAME", help="Threshold of the model: balanced (the default) or screening."
    ),
]
_Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="X", help="Another threshold, above 0 and below 1: with a warning."),
]


@output_options
def predict(
    paths: _Paths,
    csv: _Csv = False,
    model: _Model = None,
    explain: _Explain = None,
    sr: _Sr = None,
    pdf: _Pdf = None,
    remote: _Remote = False,
    jobs: _Jobs = None,
    resume: _Resume = None,
    fail_on_positive: _FailOnPositive = False,
    operating_point: _OperatingPoint = None,
    threshold: _Threshold = None,
    stack: StackName = None,
    config: Config = None,
) -> int:
    """Score chest X-rays (PNG, JPEG, DICOM).

    Not a medical device.

    Exit codes: 0 all pictures scored; 6 some were refused or failed, or a heat map, a report or a line of --resume
    could not be written; 3 pneumonia found, with --fail-on-positive (takes precedence over 6); 1 every picture failed;
    2 usage error; 5 another pneumoctl uses the file of --resume.
    """
    local = _Local(model, explain, operating_point, threshold, sr, pdf)
    _check_together(csv, remote, local)
    inputs = find_files.find(paths)
    with ExitStack() as cleanup:
        if remote:
            jobs = jobs or score.default_jobs(len(inputs.files), score.MAX_BYTES)
            api, scoring = cleanup.enter_context(_remote(stack, config, jobs, resume is not None))

            def scorer(content: bytes, file: str) -> Prediction:
                return api.score(content, file, find_files.sent_path(file, paths))

            record = cleanup.enter_context(ResumeFile(resume, scoring)) if resume else None
            stream = score.score_all(inputs.files, record.scorer(scorer) if record else scorer, jobs)
        else:
            chosen = _model(local, config, jobs, len(inputs.files))
            stream = _scored_here(inputs.files, chosen, resume, local, cleanup)
        outcomes = list(_shown(stream, inputs.files, csv))
    counts = report.summary(outcomes, len(inputs.skipped))
    _print_end(outcomes, counts, inputs.skipped, csv)
    unwritten = sum(outcome.unwritten is not None for outcome in outcomes)
    if unwritten:
        console.warn(f"{counted(unwritten, 'prediction')} without what was to be written: each says why")
    return report.exit_code(counts, fail_on_positive, unwritten)


class _Local(NamedTuple):
    """The options that need the model on this machine."""

    model: Path | None
    explain: Path | None
    operating_point: str | None
    threshold: float | None
    sr: Path | None
    pdf: Path | None


def _check_together(csv: bool, remote: bool, local: _Local) -> None:
    """Raise PneumoError (usage) for options that exclude each other, and for an impossible threshold."""
    message = None
    if console.json_mode and csv:
        message = "--json cannot be combined with --csv"
    elif remote and any(option is not None for option in local):
        message = "--remote cannot be combined with --model, --explain, --operating-point, --threshold, --sr or --pdf"
    elif local.threshold is not None and local.operating_point is not None:
        message = "--threshold cannot be combined with --operating-point"
    elif local.threshold is not None and not 0 < local.threshold < 1:
        message = f"--threshold {local.threshold} is not above 0 and below 1"
    if message:
        raise PneumoError(message, "pneumoctl predict --help", Exit.USAGE)


def _model(local: _Local, config: Path | None, jobs: int | None, files: int) -> Model:
    """The bundle of --model, or the one in the settings, or the shipped one; `files` is the number of files."""
    chosen = settings.load({}, config, os.environ)
    configured = Path(chosen.model).expanduser() if chosen.model else None
    each = score.HERE_BYTES if files < worker_pool.MANY else worker_pool.PROCESS_BYTES
    choices = Choices(cast(OutsideUse, chosen.outside_use), local.operating_point, local.threshold)
    return Model(local.model or configured, jobs or score.default_jobs(files, each), local.explain, choices)


def _scored_here(
    files: list[str], model: Model, resume: Path | None, local: _Local, cleanup: ExitStack
) -> Iterator[FileResult]:
    """The outcomes of files that are scored on this machine, many of them in worker processes."""
    scorer, scoring, point = score.local_scorer(*model)
    if point.described is None:
        console.warn(f"the threshold {point.threshold} was given by hand: what it finds and overlooks was not measured")
    record = cleanup.enter_context(ResumeFile(resume, scoring)) if resume else None
    reports: list[structured_report.Reports | pdf_reports.Reports] = []
    reports += [structured_report.prepare(local.sr, scoring)] if local.sr else []
    reports += [pdf_reports.prepare(local.pdf, scoring)] if local.pdf else []
    if len(files) >= worker_pool.MANY and model.jobs > 1:
        stream = cleanup.enter_context(WorkerPool(model, scorer, record)).score_all(files)
    else:
        stream = score.score_all(files, record.scorer(scorer) if record else scorer, model.jobs)
    for each in reports:
        stream = each.written(stream)
    return stream


@contextmanager
def _remote(stack: str | None, config: Path | None, jobs: int, resumed: bool) -> Iterator[tuple[ApiClient, Scoring]]:
    """The stack's API, and what its predictions depend on, which only a `resumed` run needs."""
    called = invocation({"stack": stack}, config)
    with teardown_named(called), target(*called).api() as endpoint:
        api = ApiClient(endpoint.url, endpoint.token, jobs, endpoint.socket)
        yield api, api.scoring() if resumed else Scoring("")


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
            if not console.json_mode:
                console.text(report.csv_row(report.csv_cells(outcome)) if csv else table.row(outcome), verbatim=True)
            if progress:
                progress(1)
            yield outcome


def _print_end(outcomes: list[FileResult], counts: dict[str, int], skipped: dict[str, str], csv: bool) -> None:
    """Print what follows the last file: the JSON document, or the summary and the cautions below the table."""
    if console.json_mode:
        documents = [outcome.document for outcome in outcomes if outcome.document]
        said = [(outcome.file, outcome.error or outcome.unwritten) for outcome in outcomes]
        errors = [{"file": file, "message": message} for file, message in said if message]
        others = [{"file": file, "reason": reason} for file, reason in skipped.items()]
        console.result({"predictions": documents, "errors": errors, "skipped": others, "summary": counts})
    elif not csv:
        if counts["files"] > 1 or counts["skipped"]:
            console.text(report.summary_line(counts, list(skipped)))
        for line in report.caution_lines(outcomes):
            console.text(line)
