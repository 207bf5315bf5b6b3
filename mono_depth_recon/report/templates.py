"""The page's templates (assets/*.html.j2) by Jinja2: every value is escaped, so that no name can break the page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    import jinja2

_ASSETS = "assets"


def render(template: str, **values: Any) -> Markup:
    """Renders assets/<template>.html.j2; all values but Markup are escaped."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(values))


def joined(parts: Iterable[Markup | None]) -> Markup:
    """The parts concatenated, without those that are None."""
    return Markup("").join(part for part in parts if part is not None)


def breakable(name: str) -> Markup:
    """A name that may wrap after its underscores, slashes and equals signs."""
    return Markup(re.sub("([_/=])", r"\1<wbr>", str(escape(name))))


def asset(name: str) -> str:
    """The text of a file in assets/."""
    return (files(__package__) / _ASSETS / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    """Line breaks and indentation of the templates are removed from the page."""
    import jinja2

    loader = jinja2.FunctionLoader(lambda name: re.sub(r"\n\s*", "", asset(name)))
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    made.filters["breakable"] = breakable
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made
