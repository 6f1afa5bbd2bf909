"""The requirements of the pyproject extras, and the lock files that pin them; hosts install from the lock files.

`python -m tests.webapp.locks api` prints the requirements; the first lines of a lock file show how to make it.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {extra: ROOT / "webapp" / extra / "requirements.txt" for extra in ("api", "ui")}
LOCKS["host"] = ROOT / "model" / "requirements.txt"  # the training host's
_EXTRAS = {"api": ("api", "backup")}  # in one lock; each other lock has the extra of its name
_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def wanted(lock: str) -> set[str]:
    """The requirements of the extras that a lock pins, without those of the command line."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names, pending = set(), list(_EXTRAS.get(lock, (lock,)))
    while pending:
        for requirement in extras[pending.pop()]:
            if requirement.startswith("pneumoctl["):
                pending += requirement.removeprefix("pneumoctl[").removesuffix("]").split(",")
            else:
                names.add(requirement)
    return names


def pins(lock: Path) -> dict[str, str]:
    """The version of each package in a lock. ValueError if a line is neither a comment nor a pin with hashes."""
    text = lock.read_text()
    rest = [line for line in _PIN.sub("", text).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if rest:
        raise ValueError(f"{lock} does not pin this: {rest[0]}")
    return {name: version for name, version, _ in _PIN.findall(text)}


if __name__ == "__main__":
    print("\n".join(sorted(wanted(sys.argv[1]))))
