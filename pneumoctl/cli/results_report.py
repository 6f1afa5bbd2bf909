"""`pneumoctl results report`: the stored results, or those of a list, in a file for people."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import pdf_reports, stored_results
from pneumoctl.scoring.api_client import ApiClient, Refused
from pneumoctl.stack import audit
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted


def _filter(name: str, metavar: str, words: str) -> Any:
    return typer.Option(name, metavar=metavar, help=words)


@on_stack()
def report(
    invocation: Invocation,
    path: Annotated[Path, typer.Argument(metavar="FILE.csv|FILE.pdf", help="A new file.")],
    search: Annotated[str | None, _filter("--search", "WORDS", "Only files whose name has these words.")] = None,
    finding: Annotated[
        str | None, _filter("--finding", "NAME", "Only pneumonia, 'no pneumonia' (below the threshold), or refused.")
    ] = None,
    review: Annotated[str | None, _filter("--review", "NAME", "Only unread, reviewed, or disagreement.")] = None,
    refusal: Annotated[str | None, _filter("--refusal", "CODE", "Only films refused for this reason.")] = None,
    model: Annotated[str | None, _filter("--model", "VERSION", "Only results of this version of a model.")] = None,
    since: Annotated[str | None, _filter("--from", "DAY", "First day (UTC), such as 2026-03-31.")] = None,
    until: Annotated[str | None, _filter("--to", "DAY", "Last day (UTC).")] = None,
    order: Annotated[str | None, _filter("--order", "NAME", "time (newest first, the default) or probability.")] = None,
) -> int:
    """Write all results, or some, to a new CSV or PDF file.

    Without options it has all results, newest first. A CSV file, for spreadsheets, has a line for each, with the review
    that counts, and no pictures. A PDF file has a page for each, with its picture, and at most 500 results (extra:
    report). Only you can read it. It has file names, which may name patients. Nothing in it is a diagnosis. The stack
    must run. To move results to another stack, use results export.

    A list without results is written, too: its CSV file has no lines, its PDF file says so, and the command ends with
    0, because a day without results is no fault.

    Exit codes: 6 records, reviews or pictures are damaged; the file says which, and a damaged record has no finding.
    """
    stack, place = invocation.stack, path.expanduser().absolute()
    saves = {".csv": stored_results.save, ".pdf": pdf_reports.save}
    if (save := saves.get(place.suffix.lower())) is None:
        raise PneumoError(f"{path} ends with neither .csv nor .pdf", "name a new file, such as results.csv", Exit.USAGE)
    if save is pdf_reports.save:
        pdf_reports.require_reportlab("a PDF file")
    if place.exists() or place.is_symlink():
        raise PneumoError(f"{place} exists already", "name another file", Exit.USAGE)
    if not place.parent.is_dir():
        hint = "name a file in a folder that there is, or make the folder"
        raise PneumoError(f"there is no folder {place.parent}", hint, Exit.USAGE)
    fields = {"q": search, "finding": finding, "review": review, "refusal": refusal, "model": model}
    fields |= {"from": since, "to": until, "order": order}
    chosen = {name: value for name, value in fields.items() if value}
    with target(*invocation).api() as endpoint, audit.recorded(stack, "results report", {}) as act:
        act.begin()
        console.busy("reading the results from the API")
        try:
            counts = save(ApiClient.of(endpoint), place, chosen)
        except Refused as refused:
            if refused.status == 400:  # the API knows which values a filter has
                message = f"a filter has a value that is not allowed: {refused.reason}"
                raise PneumoError(message, "pneumoctl results report --help", Exit.USAGE) from refused
            raise
        console.idle()
        act.changed = []
        act.code = Exit.PARTLY if counts["damaged"] else Exit.DONE
    console.result({"stack": stack.name, "path": place, **counts})
    console.text(f"{counted(counts['results'], 'result')}, {counts['reviewed']} reviewed, written to {place}")
    if counts["damaged"]:
        console.warn(f"{counted(counts['damaged'], 'result')} with damaged parts: the file says which")
    return act.code
