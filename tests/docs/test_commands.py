"""Every command in a document could be typed as it stands."""

import re

import pytest

from tests.docs import command_lines
from tests.docs.documents import ROOT, Document, documents
from tests.lab import __main__ as lab_command
from tests.lab.machine.faults import Faults
from tests.lab.machine.lab import Lab

# A word of inline code that starts with one of these folders is a path of the repository.
_FOLDERS = ("pneumoctl/", "model/", "webapp/", "tests/", "docs/", "terraform/", "templates/", ".ci/")
_PLACEHOLDER = re.compile(r"/[A-Z]+(\.py)?$|[*{<$]")


@pytest.mark.parametrize("document", documents(), ids=str)
def test_every_command_line_can_be_typed(document: Document) -> None:
    faults = [f"{line}: {fault}" for line in document.commands() for fault in command_lines.faults(line)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("document", documents(), ids=str)
def test_every_command_in_the_text_exists(document: Document) -> None:
    faults = [f"`{code}`: {fault}" for code in document.inline() for fault in command_lines.loose_faults(code)]
    assert not faults, "\n".join(faults)


def test_every_command_in_a_message_exists() -> None:
    """In all texts of the program, in alerts and in what a host prints."""
    texts = [text for path in ROOT.glob("pneumoctl/**/*.py") for text in command_lines.messages(path.read_text())]
    files = [path for folder in ("templates", "terraform") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts += [line for path in files for line in re.sub(r"\{\{.*?\}\}", "X", path.read_text()).splitlines()]
    advised = {command for text in texts for command in command_lines.advised(text)}
    assert len(advised) > 100
    faults = [f"{command}: {fault}" for command in sorted(advised) for fault in command_lines.loose_faults(command)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("document", documents(), ids=str)
def test_every_path_in_the_text_exists(document: Document) -> None:
    words = {word.rstrip(".,:") for code in document.inline() for word in code.split()}
    paths = sorted(word for word in words if word.startswith(_FOLDERS) and not _PLACEHOLDER.search(word))
    missing = [path for path in paths if not (ROOT / path.partition("::")[0]).exists()]
    assert not missing


def test_every_call_of_the_lab_in_its_page_exists() -> None:
    text = (ROOT / "tests/lab/README.md").read_text()
    names = set(re.findall(r"\blab\.(?:fault\.)?\w+(?=\()", text))
    assert "lab.fault.kill" in names
    missing = [name for name in names if not hasattr(Faults if ".fault." in name else Lab, name.rpartition(".")[2])]
    assert not missing


def test_every_fault_of_a_host_is_in_the_labs_page() -> None:
    named = {word for code in Document(ROOT / "tests/lab/README.md").inline() for word in code.split()}
    assert set(lab_command.HOST_FAULTS) <= named


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("pneumoctl up -y && pneumoctl nonsense", "nonsense"),
        ("pneumoctl up --nonsense", "--nonsense"),
        ("pneumoctl runs nonsense", "nonsense"),
        ("pneumoctl predict", "paths"),
        ("PNEUMO_STACK=x pneumoctl logs --lines many >file", "many"),
        ("make nonsense", "nonsense"),
        ("make lab-run CMD='pneumoctl nonsense'", "nonsense"),
        ("python -m model.nonsense", "model.nonsense"),
        ("python -m model.train data --nonsense", "--nonsense"),
        ("python -m tests.lab nonsense", "nonsense"),
        ("python -m tests.lab fault nonsense web-0", "nonsense"),
        ("python -m tests.lab run pneumoctl nonsense", "nonsense"),
        ("pytest tests/nonsense.py", "tests/nonsense.py"),
        ("for one in A B; do nonsense $one; done", "nonsense"),
    ],
)
def test_a_command_that_could_not_be_typed_is_found(line: str, fault: str) -> None:
    problems = command_lines.faults(line)
    assert len(problems) == 1 and fault in problems[0]


@pytest.mark.parametrize(
    "code",
    [
        "pneumoctl nonsense",
        "pneumoctl up --nonsense",
        "train --nonsense",
        "make nonsense",
        "python -m model.no",
        "pneumoctl ssh app-0 journalctl -u x",
        "pneumoctl ssh app-0 df -h",
        "pneumoctl ssh app-0 -- journalctl -u x",
    ],
)
def test_inline_code_that_could_not_be_typed_is_found(code: str) -> None:
    assert command_lines.loose_faults(code)


@pytest.mark.parametrize(
    "line",
    [
        "pneumoctl --version",
        "pneumoctl ssh HOST -- df -h",
        "sudo make lab-run CMD='pneumoctl up -y'",
        "PNEUMO_MODEL=x .venv/bin/pneumoctl up",
        "echo 'gpu_host = true' >>pneumo.toml && pneumoctl up",
        "python3 -m venv .venv",
    ],
)
def test_a_good_command_passes(line: str) -> None:
    assert command_lines.faults(line) == []
