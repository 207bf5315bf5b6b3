"""A fitted scale over time: smoothed, gated, held while it cannot be measured, and given up after a timeout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mono_depth_recon.config import Config, with_values
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.scale.filter import ScaleFilter
from mono_depth_recon.scale.settings import ScaleSettings

DISPARITY = np.linspace(5, 60, 64 * 48, dtype=np.float32).reshape(48, 64)


def settings(**values: object) -> ScaleSettings:
    return with_values(Config(), {f"scale.{name}": value for name, value in values.items()}).scale


class Running:
    """A filter that sees a frame every tenth of a second."""

    def __init__(self, trusted: bool = True, **values: object) -> None:
        self._filter, self._settings, self.time = ScaleFilter(trusted), settings(**values), 100.0

    def __call__(self, fit: Scale | None, later: float = 0.1) -> Scale:
        self.time += later
        return self._filter.update(nothing if fit is None else lambda: fit, DISPARITY, self.time, self._settings)


def nothing() -> Scale:
    raise DataError("no reference")


def good(scale: float, shift: float = 0.05) -> Scale:
    return Scale(scale, shift, 0.9, residual=0.02, unexplained=0.1)


def doubtful(scale: float, shift: float = 0.05) -> Scale:
    return Scale(scale, shift, 0.4, residual=0.02, unexplained=0.1)


def test_the_filter_keeps_its_share_of_fits_that_differ_by_noise() -> None:
    running, first, second = Running(smoothing=0.8), good(0.0200, 0.050), good(0.0203, 0.049)
    assert running(first) == first, "nothing to blend with"
    blended = running(second)
    assert blended.scale == pytest.approx(0.8 * 0.0200 + 0.2 * 0.0203)
    assert blended.shift == pytest.approx(0.8 * 0.050 + 0.2 * 0.049)
    for _ in range(60):
        settled = running(second)
    assert settled.scale == pytest.approx(0.0203, rel=1e-4)
    assert Running(smoothing=0.0)(first) and Running(smoothing=0.0)(second) == second


def varying(scale: float, *factors: float) -> Scale:
    return replace(good(scale), factors=np.array([factors], np.float32))


def test_factors_are_smoothed_taken_and_held_with_the_scale() -> None:
    running, first = Running(varying=True, smoothing=0.8), varying(0.02, 1.0, 1.2, 0.9, 1.1)
    np.testing.assert_array_equal(running(first).factors, first.factors)
    noise = running(varying(0.02, 1.01, 1.19, 0.91, 1.1))
    np.testing.assert_allclose(noise.factors, [[1.002, 1.198, 0.902, 1.1]], rtol=1e-6)
    # one place alone is blended
    one_place = running(varying(0.02, 1.002, 1.198, 0.902, 1.4))
    np.testing.assert_allclose(one_place.factors, [[1.002, 1.198, 0.902, 1.16]], rtol=1e-6)
    half = varying(0.02, 1.0, 1.2, 0.7, 0.7)  # a change of half of the view is taken at once
    np.testing.assert_array_equal(running(half).factors, half.factors)
    held = running(None)
    np.testing.assert_array_equal(held.factors, half.factors)
    assert held.held == 1 and held.variation == pytest.approx(0.3)


def test_a_field_that_makes_up_for_another_scale_is_no_change() -> None:
    """The gate sees depth: twice the scale with half the factors is the same."""
    running, shiftless = Running(trusted=False, varying=True, gate=0.3), replace(good(0.02, 0.0))
    running(replace(shiftless, factors=np.full((2, 2), 1.2, np.float32)))
    same = running(replace(shiftless, scale=0.03, factors=np.full((2, 2), 0.8, np.float32)))
    assert same.held == 0 and same.scale * same.factors.max() == pytest.approx(0.024, rel=0.05)
    assert running(replace(shiftless, factors=np.full((2, 2), 0.7, np.float32))).held == 1, "beyond the gate"


def test_a_field_that_is_switched_on_or_off_is_not_blended_with_none() -> None:
    running, field = Running(varying=True), varying(0.02, 1.3, 0.8)
    assert running(good(0.02)).factors is None
    np.testing.assert_array_equal(running(field).factors, field.factors)
    assert running(good(0.02)).factors is None


def test_smoothing_averages_the_noise_of_fits() -> None:
    rng, running = np.random.default_rng(1), Running()
    made = [running(good(0.02 * (1 + rng.normal(0, 0.005)))).scale for _ in range(200)]
    assert np.std(made[50:]) < 0.5 * 0.005 * 0.02
    assert np.mean(made[50:]) == pytest.approx(0.02, rel=2e-3)


def test_a_good_fit_is_believed_in_its_own_frame() -> None:
    """A relative model may change scale and shift in every frame."""
    rng, running = np.random.default_rng(2), Running()
    for _ in range(100):
        truth = good(0.02 * rng.uniform(0.5, 2), rng.uniform(-0.05, 0.1))
        made = running(truth)
        depths = [1 / (each.scale * DISPARITY + each.shift) for each in (made, truth)]
        assert np.abs(depths[0] / depths[1] - 1)[depths[1] > 0].max() < 0.02


@pytest.mark.parametrize(("trusted", "odd"), [(True, doubtful), (False, good)])
def test_an_outlying_fit_is_gated_until_three_in_a_row_agree(trusted: bool, odd: Callable[[float], Scale]) -> None:
    running, known = Running(trusted=trusted, gate=0.3), good(0.02)
    running(known)
    held = running(odd(0.05))
    assert (held.scale, held.held) == (0.02, 1) and held.reason.startswith("a fit that changes depth by ")
    assert "is beyond scale.gate (30 %)" in held.reason
    assert running(known).held == 0, "it was one alone"
    assert [running(odd(scale)).scale for scale in (0.05, 0.1, 0.05)] == [0.02] * 3, "they contradict each other"
    assert [running(odd(scale)).scale for scale in (0.051, 0.052)] == [0.02, 0.052]
    near = running(odd(0.056))
    assert 0.052 < near.scale < 0.056, "within the gate it is blended"
    ungated = Running(trusted=trusted, gate=0.0, smoothing=0.5)
    assert [ungated(known).scale, ungated(odd(0.04)).scale] == [0.02, pytest.approx(0.03)]


def test_a_change_within_the_gate_is_blended_until_three_in_a_row_agree() -> None:
    """A model that sees another room: its scale is another one from then on."""
    running = Running(trusted=False, gate=0.3, smoothing=0.8)
    running(good(0.02))
    made = [running(good(scale)).scale for scale in (0.0240, 0.0242, 0.0241)]
    assert made[0] == pytest.approx(0.8 * 0.02 + 0.2 * 0.024) and 0.02 < made[1] < 0.0225 and made[2] == 0.0241
    spread = [running(good(scale)).scale for scale in (0.0270, 0.0220, 0.0270, 0.0220, 0.0270)]
    assert max(spread) < 0.0255 and min(spread) > 0.0235, "fits that contradict each other are smoothed"


def test_the_last_fit_is_held_until_the_timeout_and_then_withheld() -> None:
    running, fit = Running(timeout=1.05), good(0.013)
    with pytest.raises(DataError, match=r"^no reference$"):
        running(None)
    running(fit)
    for frame in range(1, 11):
        held = running(None)
        assert (held.scale, held.shift, held.held, held.stale) == (fit.scale, fit.shift, frame, False)
        assert held.age == pytest.approx(0.1 * frame) and held.reason == "no reference"
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"no new scale for 1.\d s \(scale.timeout 1.05 s\), depth is withheld: no reference"
        ):
            running(None)
    late = good(0.0131)
    assert running(late) == late, "what was given up is not blended in"
    assert running(None).held == 1, "and counts from zero"


def test_a_stale_scale_is_marked_where_it_is_wanted() -> None:
    running, fit = Running(timeout=1.0, on_timeout="stale"), good(0.013)
    with pytest.raises(DataError, match="no reference"):
        running(None)
    running(fit)
    assert not running(None, 0.9).stale
    stale = running(None, 5.0)
    assert (stale.scale, stale.stale, stale.age) == (fit.scale, True, pytest.approx(5.9))
    assert not running(fit).stale
    for_ever = Running(timeout=0.0)
    for_ever(fit)
    assert not for_ever(None, 1e6).stale


def test_time_that_goes_back_begins_anew() -> None:
    """A recording that is played again."""
    running = Running()
    running(good(0.02))
    with pytest.raises(DataError, match=r"^no reference$"):
        running(None, -60.0)
    assert running(good(0.03), 0.0).scale == 0.03


def test_an_image_without_disparity_changes_nothing() -> None:
    made = ScaleFilter(True)
    unknown = np.full((48, 64), np.nan, np.float32)
    assert made.update(lambda: good(0.02), unknown, 0.0, settings()).scale == 0.02
    assert made.update(lambda: good(0.04), unknown, 0.1, settings(smoothing=0.5)).scale == pytest.approx(0.03)
