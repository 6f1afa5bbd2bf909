"""The last output of a lab's programs, its API and the consoles of its hosts."""

from pathlib import Path

PATTERNS = ("logs/*.log", "calls.jsonl", "hosts/*/console.log")


def tail(directory: Path, lines: int) -> str:
    """The last lines of each log."""
    parts = []
    for file in (file for pattern in PATTERNS for file in sorted(directory.glob(pattern))):
        last = file.read_text(errors="replace").splitlines()[-lines:]
        parts.append(f"== {file.relative_to(directory)}\n" + "\n".join(last))
    return "\n".join(parts)
