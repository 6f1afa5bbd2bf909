"""Render templates; an undefined name raises an error before anything is changed."""

import functools
import shlex
from typing import Any

from pneumoctl.errors import PneumoError
from pneumoctl.files import bundled


def render(name: str, **values: Any) -> str:
    """Render templates/<name>.j2."""
    import jinja2

    try:
        return str(environment().get_template(f"{name}.j2").render(**values))
    except jinja2.TemplateError as error:
        raise PneumoError(f"template {name}.j2 cannot be rendered: {error}", "report this: it is a bug") from error


@functools.cache
def environment() -> Any:
    """The templates; each is compiled once, because a plan for many hosts renders it for every host."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(bundled("templates")),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, no HTML
    )
    made.filters["sh"] = lambda value: shlex.quote(str(value))
    # supervisord expands %(name)s in its file: a literal percent is doubled
    made.filters["percent"] = lambda value: str(value).replace("%", "%%")
    made.filters["redis"] = lambda value: '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return made
