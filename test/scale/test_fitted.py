"""A fitted scale over time: smoothed, held while it cannot be measured, and finally dropped."""

from __future__ import annotations

import pytest

from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.scale.fitted import KEPT_FRAMES, ScaleFilter


def nothing() -> Scale:
    raise DataError("no reference")


def test_the_filter_keeps_its_share_of_the_last_fit() -> None:
    running = ScaleFilter()
    assert running.update(lambda: Scale(0.010, 0.2, 0.9), 0.8) == Scale(0.010, 0.2, 0.9), "nothing to blend with"
    second = running.update(lambda: Scale(0.020, 0.1, 0.7), 0.8)
    assert second.scale == pytest.approx(0.8 * 0.010 + 0.2 * 0.020)
    assert second.shift == pytest.approx(0.8 * 0.2 + 0.2 * 0.1)
    assert second.inliers == 0.7, "of the fit of this frame"
    for _ in range(60):
        settled = running.update(lambda: Scale(0.020, 0.1), 0.8)
    assert settled.scale == pytest.approx(0.020, rel=1e-4)
    assert running.update(lambda: Scale(0.005, 0.0), 0.0).scale == pytest.approx(0.005)


def test_the_last_fit_is_held_for_some_frames_and_then_dropped() -> None:
    running, fit = ScaleFilter(), Scale(0.013, 0.07, 1.0)
    with pytest.raises(DataError, match="no reference"):
        running.update(nothing, 0.8)
    running.update(lambda: fit, 0.8)
    for frame in range(1, KEPT_FRAMES + 1):
        held = running.update(nothing, 0.8)
        assert (held.scale, held.shift, held.held) == (fit.scale, fit.shift, frame)
    for _ in range(2):
        with pytest.raises(DataError, match="no reference"):
            running.update(nothing, 0.8)
    assert running.update(lambda: Scale(0.5, 0.0), 0.8).scale == 0.5, "what was given up is not blended in"


def test_a_fit_after_a_held_one_counts_from_zero() -> None:
    running = ScaleFilter()
    running.update(lambda: Scale(0.013, 0.07), 0.8)
    assert running.update(nothing, 0.8).held == 1
    assert running.update(lambda: Scale(0.013, 0.07), 0.8).held == 0
