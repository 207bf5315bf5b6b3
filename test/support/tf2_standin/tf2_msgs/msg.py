"""tf2_msgs for tests where it is not installed: a TFMessage holds exactly one transform, and travels as that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import TransformStamped


class _OneTransform(type(TransformStamped)):  # type: ignore[misc]
    def __call__(cls, *, transforms: Sequence[TransformStamped]) -> TransformStamped:
        (transform,) = transforms
        return transform

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, TransformStamped)


class TFMessage(TransformStamped, metaclass=_OneTransform):
    pass


type(TransformStamped).__import_type_support__()
TransformStamped.transforms = property(lambda self: [self])
