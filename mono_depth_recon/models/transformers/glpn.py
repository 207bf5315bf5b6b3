"""GLPN (Kim et al., 2022): metres, from images at their own size, cut to multiples of 32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..base import Output, possible_input
from .family import Family
from .input_rule import InputRule


class GlpnRule(InputRule):
    """The image's own size, rounded down; grey levels over 255 without mean and deviation."""

    processor = "GLPN"
    defaults: ClassVar[Mapping[str, Any]] = {
        "size": 0,
        "resample": 2,
        "ensure_multiple_of": 32,
        "keep_aspect_ratio": True,
        "do_normalize": False,
    }

    @classmethod
    def entries(cls, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The file's `size_divisor` is the multiple, its `size` is not used."""
        return {
            **cls.defaults,
            **settings,
            "size": 0,
            "ensure_multiple_of": settings.get("size_divisor") or 32,
        }

    def network_size(self, width: int, height: int) -> tuple[int, int]:
        """(columns, rows) of the network's input for an image of width x height pixels."""
        scale = self.short_side / min(width, height) if self.short_side else 1.0
        return possible_input((self._floored(width * scale), self._floored(height * scale)), (width, height))

    def _floored(self, side: float) -> int:
        return max(1, int(side + 1e-6) // self.multiple) * self.multiple


class Glpn(Family):
    """A SegFormer backbone whose first stages attend to averaged keys: only the last stage's attention is whole."""

    rule = GlpnRule

    def output(self, config: Mapping[str, Any]) -> Output | None:
        """Always metres."""
        return "metric_depth"

    def multiple(self, config: Mapping[str, Any]) -> int:
        """1: the rule's own multiple holds."""
        return 1
