"""The project imports its own modules at the top of a module, so that the import graph can be checked."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pneumoctl", "model", "webapp")
# Each has its reason beside it. cli/app.py and targets/dispatch.py import verbs and targets by name (importlib).
ALLOWED = {
    ("model/train.py", "model.training"): 1,
    ("webapp/check.py", "webapp.api"): 2,
    ("webapp/check.py", "webapp.ui"): 1,
}


def hidden(path: Path) -> Iterator[str]:
    """The modules of the project that functions of a module import."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
                yield from (name for name in names if name.split(".")[0] in PACKAGES)


def test_functions_import_no_module_of_ours_but_those_with_a_reason() -> None:
    imports: dict[tuple[str, str], int] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in hidden(path):
                short = ".".join(name.split(".")[:2])
                key = (str(path.relative_to(ROOT)), short)
                imports[key] = imports.get(key, 0) + 1
    assert imports == ALLOWED
