"""HTML and SVG made of elements: whatever is not markup already is escaped, so that no name can break a page."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

_VOID = {"img", "input", "br", "hr", "meta", "path", "line", "circle", "rect", "polyline", "stop"}


class Html(str):
    """Markup that stands as it is; every other text is escaped where it becomes part of an element."""

    __slots__ = ()


Child: TypeAlias = "Html | str | int | Iterable[Child] | None"


def element(tag: str, *children: Child, **attributes: Any) -> Html:
    """An element with its children one after another; None is left out, lists are taken apart.

    `class_` and `for_` stand for the words that Python keeps, `aria_label` for aria-label; True makes an attribute
    without a value, None and False none.
    """
    inside = "".join(
        f" {_attribute(name, value)}" for name, value in attributes.items() if value is not None and value is not False
    )
    if tag in _VOID and not children:
        return Html(f"<{tag}{inside}/>" if tag not in ("img", "input", "br", "hr", "meta") else f"<{tag}{inside}>")
    return Html(f"<{tag}{inside}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Html:
    """The children one after another, escaped where they are plain text."""
    return Html("".join(_text(child) for child in children))


def breakable(name: str) -> Html:
    """A name that may wrap after its underlines, slashes and equals signs."""
    return Html(re.sub("([_/=])", r"\1<wbr>", html.escape(name, quote=False)))


def script_json(value: Any) -> Html:
    """JSON that can stand inside a script element: no tag ends it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Html(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return html.escape(str(child), quote=False)
    return "".join(_text(each) for each in child)


def _attribute(name: str, value: Any) -> str:
    written = name.rstrip("_").replace("_", "-")
    return written if value is True else f'{written}="{html.escape(str(value))}"'
