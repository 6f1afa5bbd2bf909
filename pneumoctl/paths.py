"""Where the files that ship with pneumoctl lie, in a checkout and in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """The folder `name` (templates, terraform) that we ship."""
    inside = _PACKAGE / "_bundle" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def package(name: str) -> Path:
    """The source folder of a sibling package (model, webapp): code that is copied to hosts, not imported."""
    return _PACKAGE.parent / name
