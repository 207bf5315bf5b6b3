"""DPT (Ranftl et al., ICCV 2021): MiDaS 3 with a ViT or with a BiT hybrid backbone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from .family import Family


class Dpt(Family):
    """Relative or metric, as each checkpoint was trained: its configuration does not say."""

    meaning = ("max_depth", "is_hybrid")

    def multiple(self, config: Mapping[str, Any]) -> int:
        """Twice the patch: the neck halves the grid of patches once."""
        return 2 * super().multiple(config)

    def prepare(self, model: Any) -> None:
        """The hybrid interpolates its position embeddings only if asked to."""
        if model.config.is_hybrid:
            embeddings = model.dpt.embeddings
            embeddings.forward = functools.partial(embeddings.forward, interpolate_pos_encoding=True)
