"""Figures are declared once, with their field: what tables and reports show is derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from mono_depth_recon.evaluation.tables import FIGURES
from mono_depth_recon.frames import Prediction
from mono_depth_recon.metrics.figure import Figure, figures_of
from mono_depth_recon.metrics.protocols import PROTOCOLS, figures_under, score
from mono_depth_recon.report.tables import COLUMNS


@dataclass(frozen=True)
class _Errors:
    frames: int
    bias: Annotated[float, Figure("Bias m", "mean of d − t")]
    hits: Annotated[float, Figure("Hits", "share within 1 cm", "high", percent=True)]


def test_declared_figures_in_their_order_without_other_fields() -> None:
    found = figures_of(_Errors, "near_")
    assert list(found) == ["near_bias", "near_hits"]
    assert found["near_hits"] == Figure("Hits", "share within 1 cm", "high", True) and found["near_bias"].better == ""


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_figure_of_a_score_is_declared_and_shown(name: str) -> None:
    truth = np.linspace(1, 5, 48 * 64, dtype=np.float32).reshape(48, 64)
    figures = [
        figure for figure in score(Prediction(depth=1.1 * truth), truth, PROTOCOLS[name]).figures if figure != "pixels"
    ]
    assert set(figures) == set(figures_under(name)) and set(figures) <= set(FIGURES)
    assert all(COLUMNS[figure].label and COLUMNS[figure].better in ("low", "high") for figure in figures)
