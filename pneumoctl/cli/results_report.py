"""`pneumoctl results report`: the stored results, or those of a list, in a file for people."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import stored_results
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.stack import audit
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted


def _filter(name: str, metavar: str, words: str) -> Any:
    return typer.Option(name, metavar=metavar, help=words)


@on_stack()
def report(
    invocation: Invocation,
    path: Annotated[Path, typer.Argument(metavar="FILE.csv", help="A new file.")],
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
    """Write the results to a new CSV file, for people and spreadsheets: all, or those that the options leave.

    It has a line for each result, with the review that counts, and holds no pictures. Only you can read it. It has file
    names, which may name patients. Nothing in it is a diagnosis. The stack must run. To move results to another stack,
    use results export.

    Exit codes: 6 records or reviews are damaged; their lines say so and have no finding.
    """
    stack, place = invocation.stack, path.expanduser().absolute()
    if place.suffix.lower() != ".csv":
        raise PneumoError(f"{path} does not end with .csv", "name a new file, such as results.csv", Exit.USAGE)
    if place.exists() or place.is_symlink():
        raise PneumoError(f"{place} exists already", "name another file", Exit.USAGE)
    fields = {"q": search, "finding": finding, "review": review, "refusal": refusal, "model": model}
    fields |= {"from": since, "to": until, "order": order}
    chosen = {name: value for name, value in fields.items() if value}
    with target(*invocation).api() as endpoint, audit.recorded(stack, "results report", {}) as act:
        act.begin()
        console.busy("reading the results from the API")
        counts = stored_results.save(ApiClient(endpoint.url, endpoint.token, socket=endpoint.socket), place, chosen)
        console.idle()
        act.changed = []
        act.code = Exit.PARTLY if counts["damaged"] else Exit.DONE
    console.result({"stack": stack.name, "path": place, **counts})
    console.text(f"{counted(counts['results'], 'result')}, {counts['reviewed']} reviewed, written to {place}")
    if counts["damaged"]:
        console.warn(f"{counted(counts['damaged'], 'line')} of damaged records or reviews: see the error columns")
    return act.code
