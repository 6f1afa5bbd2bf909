"""Whether a command line in a document could be typed: program, verb, options, make targets, modules and files exist.

Nothing is executed, apart from `python -m MODULE --help`.
"""

import ast
import contextlib
import functools
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence

import typer

from pneumoctl.cli.app import app
from tests.docs.documents import ROOT
from tests.docs.reference import Verb, verbs
from tests.lab import __main__ as lab_command

# Programs of others; their arguments are not checked.
FOREIGN = {"pip", "pipx", "uv", "uvx", "git", "apt-get", "aws", "cd", "echo", "export", "sysctl", "curl", "."}
_BETWEEN = {";", "&&", "||", "|", "&", "do", "done", "then", "fi", "for", "if", "(", ")"}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_FOREIGN_MODULES = {"pip", "venv"}
# Modules whose options are all in the help of the module itself.
_WITH_HELP = ("model.", "tests.bench.", "tests.docs.")


def faults(line: str) -> list[str]:
    """The errors in this command line: what a shell or the named program would reject."""
    return [fault for words in simple_commands(line) for fault in _faults(words)]


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each simple command in a line of shell, without assignments and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if redirected:
            redirected = False
        elif word.startswith((">", "<")):
            redirected = True
        elif word not in _BETWEEN:
            words.append(word)
        else:
            while words and _ASSIGNMENT.match(words[0]):
                words = words[1:]
            if words and not (len(words) > 1 and words[1] == "in"):  # `for NAME in ..`
                yield words
            words = []


def _faults(words: Sequence[str]) -> list[str]:
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    if program == "sudo":
        return _faults(rest)
    if program == "pneumoctl":
        return _unparsed(rest)
    if program == "make":
        return _make(rest)
    if program in ("python", "python3"):
        return _python(rest)
    if program == "pytest":
        return _pytest(rest)
    if "/" in program:
        return [] if os.access(ROOT / program, os.X_OK) else [f"there is no program {program}"]
    return [] if program in FOREIGN else [f"unknown program {program}"]


def _unparsed(words: Sequence[str]) -> list[str]:
    """The error of pneumoctl's parser for these arguments; the command is not run."""
    command = typer.main.get_command(app)
    context, rest = None, list(words)
    name = "pneumoctl"
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            if not hasattr(command, "list_commands"):
                return []
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    except typer.Exit:  # --help, --version
        return []
    except Exception as error:
        return [f"{' '.join(words)!r} is not understood: {error}"]


@functools.cache
def targets() -> frozenset[str]:
    """The targets of the Makefile."""
    rules = re.findall(r"^([a-z][\w -]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return frozenset(name for rule in rules for name in rule.split())


def _make(words: Sequence[str]) -> list[str]:
    problems = []
    for word in words:
        if word.startswith("CMD="):
            problems += faults(word.removeprefix("CMD="))
        elif not _ASSIGNMENT.match(word) and not word.startswith("-") and word not in targets():
            problems.append(f"the Makefile has no target {word}")
    return problems


def _python(words: Sequence[str]) -> list[str]:
    if list(words[:1]) != ["-m"]:
        return [] if words[:1] == ["-c"] or (ROOT / words[0]).is_file() else [f"there is no file {words[0]}"]
    module, *rest = words[1:]
    if module in _FOREIGN_MODULES:
        return []
    if module == "pneumoctl":
        return _unparsed(rest)
    if not module_exists(module):
        return [f"there is no module {module}"]
    if module == "tests.lab":
        return _lab(rest)
    if not module.startswith(_WITH_HELP):
        return []
    help_text = _help(module)
    options = (word.partition("=")[0] for word in rest if word.startswith("--"))
    return [f"{module} has no option {option}" for option in options if not re.search(rf"{option}\b", help_text)]


def _lab(words: Sequence[str]) -> list[str]:
    """The error of the lab's parser for these arguments."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output):
            options = lab_command.parser().parse_args(list(words))
    except SystemExit:
        return [output.getvalue().strip()]
    if options.command == "run":
        return _faults(options.words)
    kinds = {*lab_command.HOST_FAULTS, "on", "api", "forward", "clear"}
    return (
        [f"the lab has no fault {options.words[0]}"]
        if options.command == "fault" and options.words[0] not in kinds
        else []
    )


def module_exists(name: str) -> bool:
    """Whether `python -m NAME` finds something."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@functools.cache
def _help(module: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def _pytest(words: Sequence[str]) -> list[str]:
    paths = [word.partition("::")[0] for word in words if not word.startswith("-")]
    return [f"there is no {path}" for path in paths if not (ROOT / path).exists()]


@functools.cache
def _known_verbs() -> dict[tuple[str, ...], Verb]:
    return {verb.words: verb for verb in verbs()}


def loose_faults(code: str) -> list[str]:
    """The same of inline code, which may hold placeholders: only verbs, options, targets, modules count."""
    words = [word.strip("[].,") for word in code.split()]
    if words[0] == "make":
        return _make([word for word in words[1:2] if not word.isupper()])
    if words[:2] == ["python", "-m"] and len(words) > 2:
        return [] if module_exists(words[2]) or words[2] in _FOREIGN_MODULES else [f"there is no module {words[2]}"]
    if words[0] == "pneumoctl":
        return _loose_verb(words[1:])
    return _loose_verb(words) if (words[0],) in _known_verbs() and len(words) > 1 else []


def _loose_verb(words: Sequence[str]) -> list[str]:
    verb = _known_verbs().get(tuple(words[:1]))
    if verb and verb.is_group and len(words) > 1 and words[1].islower() and "|" not in words[1]:
        verb = _known_verbs().get(tuple(words[:2]))
    if not words or words[0].startswith("-") or words[0].isupper():
        return []
    if verb is None:
        return [f"there is no command {' '.join(words[:2])!r}"]
    own = words[: list(words).index("--")] if "--" in words else words
    spellings = {spelling for parameter in verb.command.params for spelling in parameter.opts} | {"--help"}
    options = (word.partition("=")[0].rstrip("X") for word in own if re.match("--?[a-z]", word))
    problems = [f"{' '.join(verb.words)} has no option {option}" for option in options if option not in spellings]
    return problems + (_on_host(own, words[len(own) + 1 :]) if verb.words == ("ssh",) else [])


def _on_host(own: Sequence[str], remote: Sequence[str]) -> list[str]:
    """What is wrong with `ssh HOST -- COMMAND`; the user of a host is not root."""
    if len([word for word in own if not word.startswith("-")]) > 2:
        return [f"{' '.join(own)!r} has no -- before its command"]
    return [f"{remote[0]} needs sudo"] if remote and remote[0] in ("journalctl", "systemctl", "tail", "du") else []


_ADVISED = re.compile(r"\bpneumoctl (?:[a-z][a-z-]*)(?: (?:[^\s,;:()`“”]+))*")


def advised(text: str) -> Iterator[str]:
    """The commands of pneumoctl in a message, each up to the next punctuation mark.

    What follows the name may be prose (`pneumoctl works on the stack`): only verbs that exist make a command.
    """
    found = (match[0].rstrip(".'\"") for match in _ADVISED.finditer(text))
    return (command for command in found if (command.split()[1],) in _known_verbs())


def messages(source: str) -> Iterator[str]:
    """The texts in a Python source; in place of each value there is an X. Docstrings of commands are help texts."""
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value
