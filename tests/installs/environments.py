"""Environments that hold the wheel and the packages of one extra: linked from this environment, or made by pip."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

UNREACHABLE = ("connection", "temporary failure in name resolution", "dns error")
SHARED = ("..", "__pycache__")  # folders in the lists of files of many packages
SCRIPT = "#!{python}\nimport sys\nfrom pneumoctl.__main__ import main\nsys.exit(main())\n"


class Unreachable(Exception):
    """No package index can be reached."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment and the variables that its commands see, none of which belongs to the caller's stacks."""

    home: Path
    state: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """Its Python."""
        return str(self.home / "bin" / "python")

    @property
    def site(self) -> Path:
        """Where its packages are."""
        return next((self.home / "lib").glob("python*")) / "site-packages"

    def variables(self) -> dict[str, str]:
        """All of a command's environment variables."""
        foreign = ("PNEUMO_", "PYTHON", "AWS_", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        path = f"{self.home / 'bin'}:{os.environ['PATH']}"
        state = {"XDG_STATE_HOME": str(self.state), "XDG_DATA_HOME": str(self.state / "share")}
        return {**environment, "PATH": path, **state, **self.more}

    def run(self, *words: str, code: int = 0, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command, found in this environment first; it must exit with `code` and show no traceback."""
        program = shutil.which(words[0], path=self.variables()["PATH"]) or words[0]
        command = [program, *words[1:]]
        where = cwd or self.state
        result = subprocess.run(
            command, env=self.variables(), cwd=where, capture_output=True, text=True, timeout=1500, check=False
        )
        assert result.returncode == code, f"{words}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr, result.stderr
        return result


def linked(wheel: Path, extra: str, home: Path) -> None:
    """A virtual environment with the wheel unpacked and links to the packages that the extra asks for.

    Made in a second or two. A package's list of files says what is its own. A folder that is of one package only is
    linked whole, also with files that are not in this list. Do not install anything into it.
    """
    venv.create(home, symlinks=True, with_pip=False)
    site = next((home / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    _write_script(home / "bin" / "pneumoctl", SCRIPT.format(python=home / "bin" / "python"))
    for name in closure(wheel, extra):
        for source, target in _links(name, site):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.parent == home / "bin":
                _write_script(target, _with_python(source, home))
            else:
                target.symlink_to(source)


def installed(wheel: Path, extra: str, home: Path) -> None:
    """A virtual environment into which pip installed the wheel with the extra."""
    venv.create(home, symlinks=True, with_pip=False)
    pip_install(home, f"{wheel}[{extra}]" if extra else str(wheel))


def pip_install(home: Path, *wanted: str) -> None:
    """Install into another environment by this environment's pip, which is quicker than to give it one of its own."""
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet", *wanted]
    checked(subprocess.run(command, capture_output=True, text=True, check=False))


def checked(done: "subprocess.CompletedProcess[str]") -> "subprocess.CompletedProcess[str]":
    """What an installer did. Unreachable if it found no index; an assertion fails if it failed otherwise."""
    if done.returncode and any(sign in done.stderr.lower() for sign in UNREACHABLE):
        raise Unreachable(done.stderr[-300:])
    assert done.returncode == 0, done.stderr
    return done


def closure(wheel: Path, extra: str, path: Sequence[str] = sys.path) -> set[str]:
    """The names of all packages that the wheel with this extra asks for, itself left out, as `path` has them.

    Raises PackageNotFoundError if one is not there. Another version of a package may ask for others.
    """
    extras_of = {"pneumoctl": {""}}
    waiting = [*_wanted(metadata_of(wheel).requires or [], {"", extra})]
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), {"", *wanted.extras}
        if not extras <= extras_of.get(name, set()):
            extras_of[name] = extras_of.get(name, set()) | extras
            waiting += _wanted(_requires(name, path), extras_of[name])
    return set(extras_of) - {"pneumoctl"}


def metadata_of(wheel: Path) -> metadata.Distribution:
    """What a wheel says of itself."""
    (folder,) = [path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info")]
    return metadata.PathDistribution(folder)


def _requires(name: str, path: Sequence[str]) -> list[str]:
    for found in metadata.distributions(name=name, path=list(path)):
        return found.requires or []
    raise metadata.PackageNotFoundError(name)


def _wanted(requires: list[str], extras: set[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, requires):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def _links(name: str, site: Path) -> Iterator[tuple[Path, Path]]:
    """The files and whole folders of a package: where each is, and where it goes below another site-packages."""
    whole = set[str]()
    for file in metadata.files(name) or []:
        top = file.parts[0]
        if top in whole:
            continue
        if len(file.parts) > 1 and top not in SHARED and _owners()[top] == 1:
            whole.add(top)
            yield Path(str(file.locate())).parents[len(file.parts) - 2], site / top
            continue
        source, target = Path(str(file.locate())), Path(os.path.normpath(site / file))
        if source.is_file() and target.is_relative_to(site.parents[2]):
            yield source, target


@cache
def _owners() -> Counter[str]:
    """How many packages of this environment have files in each folder of its site-packages."""
    records = (distribution.read_text("RECORD") or "" for distribution in metadata.distributions())
    return Counter(top for record in records for top in {line.partition("/")[0] for line in record.splitlines()})


def _with_python(script: Path, home: Path) -> bytes:
    content = script.read_bytes()
    first, rest = content.split(b"\n", 1) if content.startswith(b"#!") else (b"", content)
    return f"#!{home / 'bin' / 'python'}\n".encode() + rest if b"python" in first else content


def _write_script(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o755)


def build_wheel(root: Path, out: Path) -> Path:
    """The wheel of this checkout."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=root, check=True)
    return next(out.glob("*.whl"))
