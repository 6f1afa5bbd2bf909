"""The recipe of a training: a run that was started with another one must not be resumed."""

import ast
import hashlib
from pathlib import Path

from model import run_dir

ROOT = Path(run_dir.__file__).parent
ALTERING = ("training/augment.py", "data/shifted.py", "images/altered_films.py")


def code(path: Path) -> str:
    """What a module does: its code without docstrings, comments and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def test_a_change_of_what_alters_films_is_not_forgotten_in_the_recipe() -> None:
    """If films come out otherwise than before, raise RECIPE; then, and after any other change, write the digest here.

    Else a resumed run would have epochs of both, and its fingerprint would not tell.
    """
    digest = hashlib.sha256("\n".join(code(ROOT / name) for name in ALTERING).encode()).hexdigest()
    assert (run_dir.RECIPE, digest[:12]) == (3, "d41894de99a3")
