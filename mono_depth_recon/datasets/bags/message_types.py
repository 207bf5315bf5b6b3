"""The message types of a bag: by its own definitions in ROS 1, which changed over the years, else standard ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import DataError
from .blocks import Channel
from .codecs import needs_library

# What nothing here reads: a definition may lack it, as those of the first years do.
_UNUSED = {"seq", "twist", "covariance"}
_OLD_NAMES = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}


def types_of(channel: Channel) -> Any:
    """The store of types that reads the messages of a topic.

    Raises DataError where a definition cannot be read, or lacks a field of the standard one.
    """
    try:
        from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
    except ImportError:
        raise needs_library() from None
    standard = get_typestore(Stores.ROS2_HUMBLE)
    if channel.encoding != "ros1":
        return standard
    types = get_typestore(Stores.EMPTY)
    try:
        types.register(get_types_from_msg(channel.definition, channel.type))
    except TypesysError as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{channel.topic}: the bag's definition of {channel.type} cannot be read ({reason})") from error
    known = {**standard.fielddefs, **get_typestore(Stores.ROS1_NOETIC).fielddefs}
    missing = next(_missing(channel.type, types.fielddefs, known), None)
    if missing:
        raise DataError(f"{channel.topic}: the bag's definition of {channel.type} lacks {missing}: it is damaged")
    return types


def _missing(name: str, own: Any, known: Any) -> Iterator[str]:
    """Fields, with the type they are of, that the standard definition of `name` has and the bag's own has not."""
    fields = {field: _kind(form) for field, form in own[name][1]} if name in own else {}
    for field, form in known[_OLD_NAMES.get(name, name)][1]:
        kind = _kind(form)
        if field in _UNUSED:
            continue
        if fields.get(field) != kind:
            yield f"'{field}' ({kind}) of {name}"
        elif kind in known:
            yield from _missing(kind, own, known)


def _kind(form: tuple[Any, Any]) -> str:
    """The type of a field or of its elements: 'number', 'string' or a message's name."""
    from rosbags.interfaces import Nodetype

    kind, detail = form
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return _kind(detail[0])
    if kind == Nodetype.NAME:
        return str(detail)
    return "string" if detail[0] == "string" else "number"
