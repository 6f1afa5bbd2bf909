"""Write the result of a complete test run into docs/figures.md.

`python -m tests.docs.figures REPORT.xml.. [--seed NAME=VALUE ..]`: JUnit reports as `pytest --junitxml` writes them,
and the seeds that the run drew.
"""

import argparse
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.docs.documents import DOCS, ROOT

FIGURES = DOCS / "figures.md"
BEGIN, END = "<!-- make test-all: begin -->", "<!-- make test-all: end -->"


@dataclass(frozen=True)
class Report:
    """What one process of pytest counted."""

    name: str
    started: str
    tests: int
    failed: int
    skipped: int
    seconds: float

    @property
    def passed(self) -> int:
        """Neither failed nor skipped."""
        return self.tests - self.failed - self.skipped

    @classmethod
    def read(cls, path: Path) -> "Report":
        """From a JUnit file, named after it."""
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
        if not suites:
            raise ValueError(f"{path} holds no test suite")

        def total(*names: str) -> int:
            return sum(int(suite.get(name, 0)) for suite in suites for name in names)

        seconds = sum(float(suite.get("time", 0)) for suite in suites)
        started = min(suite.get("timestamp", "") for suite in suites)
        return cls(path.stem, started, total("tests"), total("failures", "errors"), total("skipped"), seconds)


def section(reports: Sequence[Report], commit: str, seeds: Sequence[str]) -> str:
    """The section between BEGIN and END: a table of the reports."""
    day = min(report.started for report in reports)[:10]
    drawn = f"Seeds: {', '.join(f'`{seed}`' for seed in seeds)}." if seeds else "No seed was drawn."
    lines = [
        f"Run on {day} at commit `{commit}`. {drawn}",
        "",
        "| part | tests | passed | failed | skipped | minutes |",
        "|---|---|---|---|---|---|",
        *(
            f"| {part.name} | {part.tests} | {part.passed} | {part.failed} | {part.skipped} | {part.seconds / 60:.1f} |"
            for part in reports
        ),
    ]
    if len(reports) > 1:
        counts = [sum(getattr(report, name) for report in reports) for name in ("tests", "passed", "failed", "skipped")]
        lines.append(f"| all | {' | '.join(map(str, counts))} | |")
    return "\n".join(lines)


def replace_section(text: str, content: str) -> str:
    """Return `text` with the section between BEGIN and END replaced by `content`."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{FIGURES} lacks {BEGIN} or {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.partition(END)[2]}"


def commit_of_tree(written: Path | None = None) -> str:
    """The commit that is checked out, marked where tracked files other than `written` differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    others = [f":(exclude){written.relative_to(ROOT)}"] if written else []
    changed = git("status", "--porcelain", "-uno", "--", ".", *others)
    return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")


def main() -> None:
    """Write the section into FIGURES."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT.xml")
    parser.add_argument("--seed", action="append", default=[], metavar="NAME=VALUE", help="a seed that the run drew")
    options = parser.parse_args()
    reports = [Report.read(path) for path in options.reports]
    FIGURES.write_text(replace_section(FIGURES.read_text(), section(reports, commit_of_tree(), options.seed)))
    print(f"wrote {FIGURES}")


if __name__ == "__main__":
    main()
