"""The table of faults in docs/training.md: phase, fault -> what stopped the GPU, after how long, and the exit code."""

from collections.abc import Sequence
from pathlib import Path

import tests

DOCUMENT = Path(tests.__file__).resolve().parent.parent / "docs/training.md"
BEGIN, END = "<!-- training faults: begin -->", "<!-- training faults: end -->"


def with_cells(text: str, fresh: dict[tuple[str, str], str], faults: Sequence[str], phases: Sequence[str]) -> str:
    """Return the text with these cells, (fault, phase) -> content, in its table; other measured cells stay."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    results = cells(text) | fresh
    lines = [f"| | {' | '.join(phases)} |", "|---" * (len(phases) + 1) + "|"]
    for fault in faults:
        row = [results.get((fault, phase), "") for phase in phases]
        if any(row):
            lines.append(f"| {fault} | {' | '.join(row)} |")
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def save_cell(fault: str, phase: str, cell: str, faults: Sequence[str], phases: Sequence[str]) -> None:
    """Add a cell at once, so that an interrupted sweep keeps its results."""
    DOCUMENT.write_text(with_cells(DOCUMENT.read_text(), {(fault, phase): cell}, faults, phases))


def cells(text: str) -> dict[tuple[str, str], str]:
    """(fault, phase) -> content of the cell in the table of this text."""
    table = text.partition(BEGIN)[2].partition(END)[0].strip()
    head, *rows = [[text.strip() for text in line.split("|")[1:-1]] for line in table.splitlines()] or [[]]
    return {(row[0], phase): cell for row in rows[1:] for phase, cell in zip(head[1:], row[1:], strict=True) if cell}
