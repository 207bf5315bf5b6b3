"""Figures that others published for their own weights, for orientation beside measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """A model of the literature: its figures by the names of `DepthErrors`, and who published them."""

    model: str
    figures: Mapping[str, float]
    source: str


class Benchmark(NamedTuple):
    """Published figures on a test part, comparable with ours under `protocol`; `title` says what they are."""

    protocol: str
    title: str
    rows: tuple[Row, ...]


PUBLISHED = {
    "nyu": Benchmark(
        "nyu",
        "Published by others for their weights, on all 654 test images, by their own programs; not measured here",
        (
            Row(
                "GLPN (glpn_nyu)",
                {"abs_rel": 0.098, "delta1": 0.915, "rmse": 0.344},
                "Kim et al., 2022; 24,000 training frames of NYU",
            ),
            Row(
                "DPT-Hybrid, fine-tuned on NYU",
                {"abs_rel": 0.110, "delta1": 0.904, "rmse": 0.357},
                "Ranftl et al., ICCV 2021",
            ),
            Row(
                "Depth Anything V2 Large, fine-tuned on NYU",
                {"abs_rel": 0.056, "delta1": 0.984, "rmse": 0.206},
                "Yang et al., NeurIPS 2024",
            ),
        ),
    )
}


def published_under(benchmark: str, protocol: str) -> Benchmark | None:
    """What is known of a benchmark ("" for none) under a protocol; None for nothing."""
    found = PUBLISHED.get(benchmark)
    return found if found is not None and found.protocol == protocol else None
