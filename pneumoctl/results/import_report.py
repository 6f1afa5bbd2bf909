"""What an import has to say beside its counts, as warnings."""

from collections.abc import Iterator, Mapping
from typing import Any

from pneumoctl.terminal.report import counted


def warnings(done: Mapping[str, Any]) -> Iterator[str]:
    """Results without picture, results that were not added, and results that had been erased and are back."""
    if number := done.get("damaged", 0):
        yield f"{counted(number, 'result')} without picture: it was damaged before the export"
    if number := done.get("expired", 0):
        yield f"{counted(number, 'result')} not added: older than the setting retention_days allows"
    if back := done.get("brought_back", ()):
        again = f"to erase again: pneumoctl results erase {' '.join(back)}"
        yield f"{counted(len(back), 'result')} brought back, or reviews of them, that had been erased; {again}"
