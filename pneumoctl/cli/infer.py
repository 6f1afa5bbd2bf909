"""`pneumoctl infer`: have the stack score a labelled folder, so that its web page shows the results."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.scoring import labelled, score
from pneumoctl.scoring.api_client import ApiClient, Endpoint
from pneumoctl.scoring.labelled import Folder
from pneumoctl.stack import audit
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


@on_stack()
def infer(
    invocation: Invocation,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help="Contains NORMAL and PNEUMONIA (default: the test split of $PNEUMO_DATA)."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, max=64, help="Pictures sent at the same time.")
    ] = None,
) -> int:
    """Have the stack score a labelled folder.

    The web page then shows the results. Not a medical device. File names are not sent: each picture is named by a hash
    of its content. Safe to repeat: pictures that the stack has scored already are not sent again. Refused pictures are
    counted and are not in the figures.

    Exit codes: 0 all pictures scored; 6 some were refused or failed; 1 every picture failed; 2 usage error.
    """
    stack = invocation.stack
    pictures = labelled.find(folder, os.environ.get("PNEUMO_DATA"), "pneumoctl infer")
    with (
        audit.recorded(stack, "infer", {"pictures": len(pictures.labels)}) as act,
        target(*invocation).api() as endpoint,
    ):
        document = _scored(pictures, endpoint, jobs, act.begin)
        act.changed = [f"{document['posted']} predictions posted"] if document["posted"] else []
        act.code = labelled.exit_code(document)
    _report({"stack": stack.name, **document})
    return act.code


def _scored(folder: Folder, endpoint: Endpoint, jobs: int | None, before: Any) -> dict[str, Any]:
    """Score every picture with the stack and return the result document."""
    files = list(folder.labels)
    jobs = jobs or max(2, score.default_jobs(len(files), score.MAX_BYTES))
    api = ApiClient(endpoint.url, endpoint.token, jobs, endpoint.socket)
    poster = labelled.Poster(api, before)
    outcomes = []
    with console.progress("infer", len(files), "pictures") as advance:
        for outcome in score.score_all(files, poster.score, jobs):
            outcomes.append(outcome)
            advance(1)
    return {**labelled.summarize(outcomes, folder.labels), "posted": poster.posted}


def _report(document: dict[str, Any]) -> None:
    console.result(document)
    for error in document["errors"][:5]:
        console.warn(f"{error['file']}: {error['message']}")
    counts = labelled.count_line(document["pictures"], document["refused"], len(document["errors"]))
    model, figures = document["model"], document["figures"]
    if figures:
        named = (("AUC", "auc"), ("sensitivity", "sensitivity"), ("specificity", "specificity"))
        console.table(
            ("figure", "value", "95 % interval", "pictures"), [_row(title, figures[key]) for title, key in named]
        )
        console.text(f"model {model['name']} {model['version']}, threshold {figures['threshold']:.3f}")
    console.text(counts)
    console.text(f"{document['posted']} posted; what the stack had already is not posted again")


def _row(title: str, interval: dict[str, Any] | None) -> tuple[str, ...]:
    if interval is None:
        return title, "-", "nothing to count", "0"
    return title, f"{interval['value']:.3f}", f"{interval['low']:.3f} to {interval['high']:.3f}", str(interval["n"])
