"""The generated documents are current and agree with the code."""

import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pneumoctl import __version__
from pneumoctl.aws.bill import HOURS
from pneumoctl.aws.prices import DISK, FILE, IPV4, NAT
from pneumoctl.errors import Exit
from pneumoctl.stack.settings import Settings
from tests.docs import figures, reference
from tests.docs.documents import DOCS, ROOT

README = ROOT / "README.md"
SIGNALS = {129, 143}  # 128 and the number of SIGHUP, SIGTERM


@pytest.mark.parametrize("path", reference.GENERATED, ids=lambda path: path.name)
def test_a_generated_document_is_current(path: Path) -> None:
    assert path.read_text() == reference.GENERATED[path](), "run: make docs"


def test_every_command_is_in_the_document() -> None:
    headings = re.findall(r"^#+ (.+)$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert {"up", "train", "runs ls", "model promote", "gpu reap", "offline-bundle"} <= set(headings)


def test_the_table_of_exit_codes_has_each_code_once() -> None:
    codes = re.findall(r"^\| (\d+) \|", (DOCS / "exit-codes.md").read_text(), re.MULTILINE)
    assert [int(code) for code in codes] == sorted({*map(int, Exit), *SIGNALS})


def test_the_table_of_dependencies_has_each_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [("base", requirement) for requirement in project["dependencies"]]
    wanted += [(extra, requirement) for extra, requirements in extras.items() for requirement in requirements]
    rows = dict(re.findall(r"^\| ([\w.-]+) \| ([^|]+) \|", (DOCS / "dependencies.md").read_text(), re.MULTILINE))
    for extra, requirement in wanted:
        name = re.split(r"[\s\[<>=!~;]", requirement.lower())[0]
        if name != project["name"]:
            assert name in rows, f"docs/dependencies.md lacks {name}"
            assert extra in rows[name] or "base" in rows[name], f"docs/dependencies.md lacks that {name} is of {extra}"


def test_the_version_is_one_everywhere() -> None:
    newest = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    wheels = set(re.findall(r"pneumoctl-([\d.]+)-py3", README.read_text()))
    assert {newest, *wheels} == {__version__}


def test_the_readme_is_short_and_has_what_comes_first() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    for wanted in ("$ make demo", "$ make test", "Not a medical device", "docs/page.png", "docs/terminal.svg"):
        assert wanted in text


def test_the_price_in_the_documents_is_that_of_the_default_settings() -> None:
    prices = json.loads(FILE.read_text())["regions"]["us-east-1"]
    default = Settings()
    kinds = [default.nginx_type, default.monitoring_type]
    kinds += [default.web_type] * default.web_count + [default.app_type] * default.app_count
    disks = len(kinds) * 20 * prices[DISK] / HOURS
    hour = sum(prices[kind] for kind in kinds) + disks + prices[NAT] + 3 * prices[IPV4]
    for text in (README.read_text(), (DOCS / "aws.md").read_text()):
        assert f"${hour:.2f} an hour" in text and f"${hour * HOURS:.0f} a month" in text
        assert f"${prices[default.gpu_type]:.2f} an hour" in text


def _report(path: Path, tests: int, failures: int, skipped: int) -> Path:
    suite = ElementTree.Element(
        "testsuite",
        {"tests": str(tests), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
        | {"time": "90", "timestamp": "2026-11-26T10:00:00"},
    )
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.ElementTree(root).write(path)
    return path


def test_results_are_written_between_the_marks(tmp_path: Path) -> None:
    parts = [_report(tmp_path / "lab.xml", 10, 1, 2), _report(tmp_path / "rest.xml", 5, 0, 0)]
    content = figures.section([figures.Report.read(part) for part in parts], "abc123", ["ORDER=7"])

    assert content.splitlines() == [
        "Run on 2026-11-26 at commit `abc123`. Seeds: `ORDER=7`.",
        "",
        "| part | tests | passed | failed | skipped | minutes |",
        "|---|---|---|---|---|---|",
        "| lab | 10 | 7 | 1 | 2 | 1.5 |",
        "| rest | 5 | 5 | 0 | 0 | 1.5 |",
        "| all | 15 | 12 | 1 | 2 | |",
    ]
    text = figures.replace_section(f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n", content)
    assert text == f"before\n{figures.BEGIN}\n{content}\n{figures.END}\nafter\n"
    assert figures.replace_section(text, content) == text


def test_the_document_has_the_marks_and_another_is_refused() -> None:
    text = figures.FIGURES.read_text()
    assert figures.replace_section(figures.replace_section(text, "new"), "old") != text
    with pytest.raises(ValueError, match="lacks"):
        figures.replace_section("no marks", "content")


def test_every_package_is_in_the_architecture_document() -> None:
    text = (DOCS / "architecture.md").read_text()
    packages = [
        path.parent.relative_to(ROOT)
        for folder in ("pneumoctl", "model", "webapp")
        for path in (ROOT / folder).glob("*/__init__.py")
    ]
    assert len(packages) > 15
    assert [str(package) for package in packages if f"`{package}`" not in text] == []
