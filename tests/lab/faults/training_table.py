"""The table of faults in docs/training.md: phase, fault -> what stopped the GPU, after how long, and the exit code.

`make fault-table` writes it, a cell at a time. Cells of an earlier
commit have a mark until they are measured again.
"""

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

import tests
from tests.docs.figures import commit_of_tree

DOCUMENT = Path(tests.__file__).resolve().parent.parent / "docs/training.md"
BEGIN, END = "<!-- training faults: begin -->", "<!-- training faults: end -->"
EARLIER = " *"  # the mark of a cell that was measured at an earlier commit
_SWEEP = "Measured at commit `{}`, the last one on {}; \\*: measured at an earlier commit."


def with_cells(
    text: str, fresh: dict[tuple[str, str], str], faults: Sequence[str], phases: Sequence[str], sweep: str
) -> str:
    """Return the text with these cells, (fault, phase) -> content, in its table; other measured cells stay.

    `sweep`: a line that says when and at which commit the cells were measured; cells of another commit get the mark.
    """
    before, _, rest = text.partition(BEGIN)
    section, _, after = rest.partition(END)
    old = cells(text)
    if _commit(section) != _commit(sweep):
        old = {place: cell.removesuffix(EARLIER) + EARLIER for place, cell in old.items()}
    results = old | fresh
    lines = [sweep, "", f"| | {' | '.join(phases)} |", "|---" * (len(phases) + 1) + "|"]
    for fault in faults:
        row = [results.get((fault, phase), "") for phase in phases]
        if any(row):
            lines.append(f"| {fault} | {' | '.join(row)} |")
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def _commit(text: str) -> str:
    """The commit that a line about a sweep names, "" if there is none."""
    return "".join(re.findall(r"Measured at commit `([0-9a-f]+)", text)[:1])


def sweep_line(text: str) -> str:
    """The line about the sweep in the table of this text."""
    return text.partition(BEGIN)[2].strip().partition("\n")[0]


def save_cell(fault: str, phase: str, cell: str, faults: Sequence[str], phases: Sequence[str]) -> None:
    """Add a cell at once, so that an interrupted sweep keeps its results."""
    sweep = _SWEEP.format(commit_of_tree(DOCUMENT), datetime.datetime.now(datetime.UTC).date())
    DOCUMENT.write_text(with_cells(DOCUMENT.read_text(), {(fault, phase): cell}, faults, phases, sweep))


def cells(text: str) -> dict[tuple[str, str], str]:
    """(fault, phase) -> content of the cell in the table of this text."""
    section = text.partition(BEGIN)[2].partition(END)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    head, *rows = [[text.strip() for text in line.split("|")[1:-1]] for line in table] or [[]]
    return {(row[0], phase): cell for row in rows[1:] for phase, cell in zip(head[1:], row[1:], strict=True) if cell}
