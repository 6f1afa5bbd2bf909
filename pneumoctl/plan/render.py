"""Render templates; an undefined name raises an error before anything is changed."""

import shlex
from typing import Any

from pneumoctl.errors import PneumoError
from pneumoctl.files import bundled


def render(name: str, **values: Any) -> str:
    """Render templates/<name>.j2."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(bundled("templates")),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, no HTML
    )
    environment.filters["sh"] = lambda value: shlex.quote(str(value))
    # supervisord expands %(name)s in its file: a literal percent is doubled
    environment.filters["percent"] = lambda value: str(value).replace("%", "%%")
    environment.filters["redis"] = lambda value: '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        return environment.get_template(f"{name}.j2").render(**values)
    except jinja2.TemplateError as error:
        raise PneumoError(f"template {name}.j2 cannot be rendered: {error}", "report this: it is a bug") from error
