"""Factors that vary over the image: a known field comes back, and nothing else is made of anchors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mono_depth_recon.alignment import depth_from_disparity, fit_factor, fit_scale, spread
from mono_depth_recon.arrays import Depth
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, with_values
from mono_depth_recon.frames import Scale
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.reference import REFERENCE_DEPTH, ReferenceScale
from mono_depth_recon.scale.settings import ScaleSettings
from mono_depth_recon.scale.table import SCALE_SOURCES, idle_varying
from mono_depth_recon.scale.varying import with_factors

CAMERA = PinholeCamera.from_hfov(320, 240, 70)
SHAPE = (240, 320)


def settings(**values: object) -> ScaleSettings:
    given = {"source": "reference", "varying": True, "smoothing": 0.0, **values}
    return with_values(Config(), {f"scale.{name}": value for name, value in given.items()}).scale


def room() -> Depth:
    """A floor 1.2 m below the camera up to a wall at 5 m, a shelf at the left and a pillar."""
    _, y = CAMERA.rays
    with np.errstate(divide="ignore"):
        depth = np.where(y > 0, np.minimum(1.2 / y, 5.0), 5.0)[:, None].repeat(320, axis=1).astype(np.float32)
    depth[:140, :90] = np.linspace(2.5, 4.0, 90)
    depth[:, 200:230] = np.minimum(depth[:, 200:230], 2.0)
    return depth


def bend(largest: float = 0.25) -> Depth:
    """Half a wave across and down the image: factors from 1 - `largest` to 1 + `largest`."""
    down, across = ((np.arange(size) + 0.5) / size for size in SHAPE)
    return (1 + largest * np.cos(np.pi * across)[None] * np.cos(np.pi * down)[:, None]).astype(np.float32)


def bent(truth: Depth, field: Depth) -> Depth:
    """The disparity of a model that `field` puts right."""
    return ((1 / truth) / field).astype(np.float32)


def sparse(depth: Depth, count: int, where: tuple[slice, slice] = (slice(None), slice(None)), seed: int = 0) -> Depth:
    inside = np.zeros(SHAPE, np.bool_)
    inside[where] = True
    places = np.random.default_rng(seed).choice(np.flatnonzero(inside), count, replace=False)
    made = np.full(SHAPE, np.nan, np.float32)
    made.ravel()[places] = depth.ravel()[places]
    return made


def lidar(depth: Depth, noise: float = 0.02, outliers: float = 0.1, seed: int = 1) -> Depth:
    """Sixteen lines with noise and outliers."""
    rng, made = np.random.default_rng(seed), np.full(SHAPE, np.nan, np.float32)
    lines = np.linspace(0, 239, 18).astype(int)[1:-1]
    seen = depth[lines] * (1 + rng.normal(0, noise, (16, 320)))
    wrong = rng.random(seen.shape) < outliers
    seen[wrong] = rng.uniform(0.3, 12.0, int(wrong.sum()))
    made[lines] = seen
    return made


def factors_of(disparity: Depth, reference: Depth) -> NDArray[np.float32]:
    made = with_factors(Scale(1.0, 0.0), disparity, reference).factors
    assert made is not None
    return made


def error(made: Depth, truth: Depth) -> float:
    return float(np.mean(np.abs(made / truth - 1)))


def depths(disparity: Depth, reference: Depth) -> tuple[Depth, Depth]:
    """By the factor alone, and with the field."""
    fit = fit_factor(disparity, reference)
    field = with_factors(fit, disparity, reference)
    plain, varying = (depth_from_disparity(disparity, each, 50.0) for each in (fit, field))
    return plain, varying


@pytest.mark.parametrize("anchors", ["sparse", "lidar", "dense"])
def test_a_known_field_comes_back(anchors: str) -> None:
    truth = room()
    reference = {"sparse": sparse(truth, 200), "lidar": lidar(truth), "dense": truth}[anchors]
    plain, varying = depths(bent(truth, bend()), reference)
    assert error(plain, truth) > 0.09, "one factor cannot"
    assert error(varying, truth) < 0.02


def test_the_field_hides_no_doubt_but_is_judged_by_what_it_leaves() -> None:
    """A wrong transform still shows; over time a model that the field puts right is believed."""
    truth = room()
    disparity, reference = bent(truth, bend()), lidar(truth, outliers=0.0)
    plain = fit_scale(disparity, reference)
    fit = with_factors(plain, disparity, reference)
    assert (fit.residual, fit.unexplained, fit.inliers) == (plain.residual, plain.unexplained, plain.inliers)
    assert plain.doubt and fit.doubt == plain.doubt and not fit.applied.doubt
    seen = np.isfinite(reference)
    made = depth_from_disparity(disparity, fit, 50.0)[seen]
    assert fit.remaining == pytest.approx(np.median(np.abs(reference[seen] / made - 1)), rel=0.2)
    assert fit.applied.residual == fit.remaining < 0.03 < plain.residual
    assert fit.applied.unexplained == pytest.approx(plain.unexplained * fit.remaining / plain.residual)
    assert plain.applied is plain
    rng = np.random.default_rng(5)
    other = lidar(np.exp(rng.normal(0.7, 0.5, SHAPE)).astype(np.float32))
    assert with_factors(fit_factor(disparity, other), disparity, other).applied.doubt


@pytest.mark.parametrize("wrong", ["anywhere", "near", "far"])
def test_outliers_do_not_bend_it(wrong: str) -> None:
    truth, rng = room(), np.random.default_rng(3)
    reference = sparse(truth, 600)
    chosen = np.flatnonzero(np.isfinite(reference))[::4]
    spoilt = {"anywhere": rng.uniform(0.3, 12, len(chosen)), "near": 0.4, "far": 30.0}[wrong]
    reference.ravel()[chosen] = spoilt
    for field, limit in ((bend(), 0.03), (np.ones(SHAPE, np.float32), 0.005)):
        plain, varying = depths(bent(truth, field), reference)
        assert error(varying, truth) < limit and error(varying, truth) <= error(plain, truth) + 0.004


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.08])
def test_noise_alone_is_no_field(noise: float, seed: int) -> None:
    truth, rng = room(), np.random.default_rng(seed)
    noisy = (truth * (1 + rng.normal(0, noise, SHAPE))).astype(np.float32)
    for reference in (lidar(truth, noise, seed=seed), sparse(noisy, 200, seed=seed), noisy):
        plain, varying = depths(1 / truth, reference)
        assert error(varying, truth) < error(plain, truth) + 0.15 * noise + 1e-4


def test_half_an_image_without_anchors_stays_at_the_global_fit() -> None:
    truth, left = room(), (slice(None), slice(0, 160))
    disparity = bent(truth, bend())
    reference = sparse(truth, 200, left)
    plain, varying = depths(disparity, reference)
    assert error(varying[left], truth[left]) < 0.4 * error(plain[left], truth[left])
    far = (slice(None), slice(280, 320))  # more than a quarter of the image from the anchors
    np.testing.assert_allclose(varying[far], plain[far], rtol=0.04)


def test_anchors_in_one_corner_change_that_corner() -> None:
    truth, corner = room(), (slice(160, 240), slice(0, 100))
    disparity = bent(truth, bend())
    plain, varying = depths(disparity, sparse(truth, 200, corner))
    assert error(varying[corner], truth[corner]) < error(plain[corner], truth[corner])
    np.testing.assert_allclose(varying[:, 240:], plain[:, 240:], rtol=0.01)
    np.testing.assert_allclose(varying[:80], plain[:80], rtol=0.05)


def test_something_that_moved_since_the_scan_changes_little_and_only_near_it() -> None:
    """A person of a tenth of the image: 2 m nearer in the LiDAR's scan than in the image."""
    truth = room()
    then = truth.copy()
    then[60:220, 60:110] = 2.0
    plain, varying = depths(1 / truth, lidar(then))
    beside = np.ones(SHAPE, np.bool_)
    beside[20:, 20:150] = False
    assert np.abs(varying[beside] / truth[beside] - 1).max() < 0.03
    assert error(varying, truth) < error(plain, truth) + 0.02


def test_a_field_beyond_the_bounds_is_cut_off() -> None:
    truth = room()
    factors = factors_of(bent(truth, bend(0.45)), truth)
    assert factors.dtype == np.float32 and factors.min() >= np.float32(1 / 1.5) and factors.max() <= 1.5
    far_off = factors_of(1 / truth, (truth / 5).astype(np.float32))
    np.testing.assert_array_equal(far_off, np.ones_like(far_off))


def test_it_is_the_same_field_at_every_resolution() -> None:
    truth, disparity = room(), bent(room(), bend())
    once = factors_of(disparity, truth)
    doubled = np.repeat(np.repeat(disparity, 2, axis=0), 2, axis=1)
    np.testing.assert_allclose(factors_of(doubled, truth), once, atol=0.005)
    np.testing.assert_allclose(spread(once, (480, 640))[::2, ::2], spread(once, SHAPE), atol=0.005)


def test_a_relative_model_gets_scale_shift_and_field_in_every_frame() -> None:
    """Scale and shift change from frame to frame; what is bent is inverse depth as a whole."""
    rng, source, truth = np.random.default_rng(7), ReferenceScale(), room()
    for frame in range(5):
        scale, shift = 0.02 * rng.uniform(0.5, 2), rng.uniform(-0.05, 0.05)
        disparity = ((bent(truth, bend(0.1)) - shift) / scale).astype(np.float32)
        view = RelativeView(np.zeros((*SHAPE, 3), np.uint8), disparity, CAMERA, 0.1 * frame)
        reference = lidar(truth, seed=frame)
        fit = source.fit(view, Evidence({REFERENCE_DEPTH: lambda reference=reference: reference}), settings())
        plain = depth_from_disparity(disparity, fit_scale(disparity, reference), 50.0)
        made = depth_from_disparity(disparity, fit, 50.0)
        assert error(made, truth) < 0.01 and error(plain, truth) > 0.035, frame


def test_it_is_off_by_default_and_by_a_live_parameter() -> None:
    truth, source = room(), ReferenceScale()
    view = RelativeView(np.zeros((*SHAPE, 3), np.uint8), bent(truth, bend()), CAMERA, metric=True)
    evidence = Evidence({REFERENCE_DEPTH: lambda: truth})
    assert source.fit(view, evidence, settings(varying=False)).factors is None and not ScaleSettings().varying
    fit = source.fit(replace(view, stamp=0.1), evidence, settings(correct_metric="factor"))
    assert fit.variation > 0.2
    held = source.fit(replace(view, stamp=0.2), Evidence(), settings(varying=False))
    assert held.held == 1 and held.factors is None and held.variation == 0.0


def test_sources_without_anchors_all_over_the_image_say_that_it_has_no_effect() -> None:
    takers = {name for name in SCALE_SOURCES if not idle_varying(settings(source=name))}
    assert takers == {"reference", "points", "odometry"}
    assert idle_varying(settings(source="marker")) == (
        "scale.varying has no effect with scale.source=marker, which has no anchors all over the image: "
        "it is for reference, points and odometry; leave it off"
    )
    assert not idle_varying(settings(source="marker", varying=False))
