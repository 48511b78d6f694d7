"""Renders the Jinja templates of this folder."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from hftransfer.reporting.python_source import argument, literal
from hftransfer.reporting.tables import escape_markdown


def render(template: str, **values: object) -> str:
    """A template of this folder, filled in.

    Values are escaped in HTML; in Markdown, only where the filter `md` says so. The filter `python` writes a value as
    Python does.

    Raises:
        jinja2.UndefinedError: the template uses a value that is not given.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    """It caches the templates that it has compiled."""
    environment = Environment(
        loader=PackageLoader("hftransfer.reporting", "."),
        autoescape=select_autoescape(["html.jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["md"] = escape_markdown
    environment.filters["python"] = literal
    environment.globals["argument"] = argument
    return environment
