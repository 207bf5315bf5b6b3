"""Bands: every row once, the rows beside as they were, working arrays kept, results as of the whole image at once."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from made_models import FakeModel, picture, pinhole, reconstructor
from numpy.typing import NDArray
from processes import DEADLINE_S

from mono_depth_recon import bands as module
from mono_depth_recon import compiled
from mono_depth_recon.alignment import depth_from_disparity, sigma_from_disparity
from mono_depth_recon.arrays import Depth, Mask
from mono_depth_recon.bands import Bands, Beside, Workspace
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cloud.back_projection import back_project
from mono_depth_recon.compiled import Kernels
from mono_depth_recon.config import FilterConfig
from mono_depth_recon.filters import filter_frame
from mono_depth_recon.frames import Scale
from mono_depth_recon.once import Once

SIZES = [(1, 1), (1, 40), (2, 7), (37, 50), (64, 48), (97, 31)]
F32 = np.float32


UNCOMPILED = Kernels(compiled.limit, compiled.project)


@pytest.fixture(params=[(1, 1), (1, 400), (2, 100), (3, 1), (3, 200)], ids=lambda p: f"{p[0]} threads, {p[1]} pixels")
def plain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bands:
    threads, pixels = request.param
    monkeypatch.setattr(module, "PIXELS", pixels)
    return Bands(threads)


@pytest.fixture(params=["numpy", "loops", *(["compiled"] if find_spec("numba") else [])])
def bands(request: pytest.FixtureRequest, plain: Bands) -> Bands:
    """With numpy's operations, with the loops as Python runs them, and compiled by numba where it is installed."""
    plain.kernels = {"numpy": lambda: None, "loops": lambda: UNCOMPILED, "compiled": compiled.kernels}[request.param]()
    assert (plain.kernels is None) == (request.param == "numpy")
    return plain


def bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values).view(np.uint32)


def scene(height: int, width: int) -> Depth:
    """Walls with steps, noise, and every kind of value that a map of depth may hold."""
    rng = np.random.default_rng(height * width)
    walls = rng.choice([0.05, 1.0, 2.0, 4.0, 9.0, 30.0], (height, 1)) * rng.uniform(1, 1.03, (height, width))
    walls[:, width // 2 :] *= 1.6
    depth = walls.astype(F32)
    odd = rng.uniform(size=depth.shape)
    for value, share in ((np.inf, 0.02), (np.nan, 0.04), (1e-42, 0.05)):
        depth[(odd < share) & (odd >= share - 0.02)] = value
    return depth


def filtered_at_once(
    depth: Depth, sigma: Depth, confidence: Depth, unknown: Mask, valid: Mask, settings: FilterConfig
) -> tuple[Depth, Depth]:
    """The definition of the filters, on whole arrays."""
    nan, width = F32(np.nan), depth.shape[1]
    with np.errstate(all="ignore"):
        inverse = np.nan_to_num(1 / depth, nan=0.0, posinf=0.0, neginf=0.0)
    padded = np.pad(inverse, 1, mode="edge")
    around = [padded[i : i + len(depth), j : j + width] for i in range(3) for j in range(3)]
    edges = np.max(around, axis=0) - np.min(around, axis=0) > F32(settings.edge_threshold * 640 / width) * inverse
    edges &= depth <= settings.max_range
    made = np.where(depth > settings.max_range, F32(np.inf), np.where(depth < settings.min_range, nan, depth))
    inside = np.zeros(depth.shape, np.bool_)
    border = settings.border
    inside[border : len(depth) - border, border : width - border] = True
    good = inside & valid & ~unknown & ~edges & (confidence >= settings.min_confidence) & (sigma <= settings.max_sigma)
    made = np.where(good, made, nan)
    return made, np.where(np.isfinite(made), sigma, nan)


def test_every_row_is_in_one_band_and_bands_are_small(plain: Bands) -> None:
    lock = threading.Lock()
    for height, width in SIZES:
        times = np.zeros(height, np.int64)

        def step(rows: slice, _: Workspace, times: NDArray[np.int64] = times, width: int = width) -> None:
            assert (rows.stop - rows.start - 1) * width < module.PIXELS
            with lock:
                times[rows] += 1

        plain.run((height, width), step)
        assert (times == 1).all()


def test_the_rows_beside_are_those_before_the_run(plain: Bands) -> None:
    for height, width in SIZES:
        image = np.arange(height * width, dtype=F32).reshape(height, width)
        before = image.copy()

        def step(rows: slice, beside: Beside, _: Workspace, image: Depth = image, before: Depth = before) -> None:
            np.testing.assert_array_equal(image[rows], before[rows])
            for row, at in ((beside.above, rows.start - 1), (beside.below, rows.stop)):
                assert (row is None) == (not 0 <= at < len(before))
                if row is not None:
                    np.testing.assert_array_equal(row, before[at])
            image[rows] = -1

        plain.run_beside(image, step)
        assert (image == -1).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("border", [0, 3])
def test_filters_give_what_they_give_on_the_whole_image(bands: Bands, size: tuple[int, int], border: int) -> None:
    rng = np.random.default_rng(0)
    depth, sigma, confidence = scene(*size), rng.uniform(0, 1, size).astype(F32), rng.uniform(0, 1, size).astype(F32)
    sigma[rng.uniform(size=size) < 0.05] = np.nan
    unknown, valid = rng.uniform(size=size) < 0.1, rng.uniform(size=size) < 0.9
    settings = FilterConfig(border=border, max_sigma=0.9, min_confidence=0.1)
    expected = filtered_at_once(depth, sigma, confidence, unknown, valid, settings)
    filter_frame(depth, sigma, confidence, unknown, valid, settings, bands)
    np.testing.assert_array_equal(bits(depth), bits(expected[0]))
    np.testing.assert_array_equal(bits(sigma), bits(expected[1]))


@pytest.mark.parametrize("size", SIZES)
def test_metres_are_those_of_the_whole_image(plain: Bands, size: tuple[int, int]) -> None:
    disparity = np.random.default_rng(1).normal(1, 1, size).astype(F32)
    depth = depth_from_disparity(disparity, Scale(0.3, 0.05), 10.0, plain)
    inverse = disparity * F32(0.3) + F32(0.05)
    with np.errstate(divide="ignore"):
        expected = np.where(inverse <= F32(0.1), F32(np.inf), 1 / inverse)
    np.testing.assert_array_equal(bits(depth), bits(expected))
    sigma = np.abs(disparity)
    limited = np.minimum(expected, F32(10))
    made = sigma_from_disparity(sigma, depth, Scale(0.3, 0.05), 10.0, plain)
    np.testing.assert_array_equal(bits(made), bits(sigma * F32(0.3) * limited * limited))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("with_sigma", [False, True])
def test_clouds_are_those_of_the_whole_image(
    bands: Bands, size: tuple[int, int], stride: int, with_sigma: bool
) -> None:
    camera, depth = PinholeCamera.from_hfov(size[1], size[0], 60), scene(*size)
    rgb = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    rgb.flags.writeable = False  # as the bytes of a message may be
    sigma = scene(*size) if with_sigma else None
    points = back_project(depth, camera, rgb, stride, sigma=sigma, bands=bands)
    (x, y), z = camera.rays, np.where(np.isfinite(depth), depth, F32(np.nan))
    values = [z * x, z * y[:, None], z, *([] if sigma is None else [sigma])]
    np.testing.assert_array_equal(points[..., [0, 1, 2, 4][: len(values)]], np.dstack(values)[::stride, ::stride])
    r, g, b = (rgb[::stride, ::stride, k].astype(np.uint32) for k in range(3))
    np.testing.assert_array_equal(bits(points[..., 3]), r << 16 | g << 8 | b)


@pytest.mark.parametrize("change", ["stride", "type", "layout"])
def test_what_the_kernels_do_not_take_goes_the_other_way(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("an array of another type or layout came to a kernel")

    depth, rgb, stride = scene(37, 50), np.zeros((37, 50, 3), np.uint8), 2 if change == "stride" else 1
    camera, settings = PinholeCamera.from_hfov(50, 37, 60), FilterConfig()
    wide = np.repeat(depth, 2, axis=1)
    given: Any = {"stride": depth.copy(), "type": depth.astype(np.float64), "layout": wide[:, ::2]}[change]
    running = Bands(1, Kernels(compiled.limit if change == "stride" else never, never))
    points = back_project(given, camera, rgb, stride, bands=running)
    np.testing.assert_array_equal(points, back_project(depth, camera, rgb, stride))
    filter_frame(given, None, None, None, None, settings, running)
    filter_frame(depth, None, None, None, None, settings, Bands())
    np.testing.assert_array_equal(given, depth)


def test_loops_are_compiled_again_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def njit(types: Any, cache: bool = False, **_: Any) -> Any:
        def decorate(function: Any) -> Any:
            asked.append(cache)
            if cache:
                raise RuntimeError("cannot cache function 'limit': no locator available for file")
            return function

        return decorate

    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace(njit=njit))
    assert compiled.machine_code(compiled.limit, ()) is compiled.limit
    assert asked == [True, False]


def test_without_numba_there_are_no_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert Once(compiled.compile_all)() is None


def test_an_error_in_any_thread_is_raised_once_all_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIXELS", 10)
    running = Bands(3)
    for wrong in (0, 5, 8):
        done: list[int] = []

        def step(rows: slice, _: Workspace, wrong: int = wrong, done: list[int] = done) -> None:
            if rows.start <= wrong < rows.stop:
                raise ValueError(f"row {wrong}")
            done.append(rows.start)

        with pytest.raises(ValueError, match=f"row {wrong}"):
            running.run((9, 10), step)
        count = len(done)
        running.run((1, 1), lambda rows, _: None)
        assert len(done) == count, "nothing runs after the error is raised"


def test_threads_end_with_their_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIXELS", 10)
    seen: set[threading.Thread] = set()
    running = Bands(3)
    running.run((9, 10), lambda rows, _: seen.add(threading.current_thread()))
    others = seen - {threading.current_thread()}
    assert others
    del running
    gc.collect()
    for thread in others:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_a_workspace_gives_the_same_memory_again() -> None:
    work = Workspace()
    first = work.array("a", (4, 5))
    assert np.shares_memory(first, work.array("a", (3, 2)))
    assert not np.shares_memory(first, work.array("b", (4, 5)))
    assert not np.shares_memory(first, work.mask("a", (4, 5)))
    assert work.array("a", (40, 50)).shape == (40, 50)


@pytest.mark.parametrize("values", [{}, {"scale__source": "fixed"}], ids=["metric", "scaled"])
def test_a_frame_allocates_what_it_returns_and_nothing_else_of_size(values: dict[str, Any]) -> None:
    camera = pinhole(640, 480)
    depth = np.full((480, 640), 2.0, F32)
    kept = depth.copy()

    def again(_: PinholeCamera) -> Depth:
        kept[...] = depth
        return kept

    running = reconstructor(FakeModel(again), guard__enabled=False, **values)
    rgb, out = picture(camera), np.empty((480, 640, 4), F32)
    running.process(rgb, camera, out=out)
    tracemalloc.start()
    frame = running.process(rgb, camera, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frame.points is out
    returned = 2 * depth.nbytes if values else 0  # the disparity that is scaled, and its depth
    assert peak - returned < 1 << 16
    running.release_memory()
    assert running.process(rgb, camera, out=out).points is out


def test_opencv_writes_bands_of_a_cloud_in_place() -> None:
    """cv2.merge into rows of a larger array, as back_project uses it."""
    whole = np.zeros((6, 5, 4), F32)
    cv2.merge([np.full((2, 5), value, F32) for value in range(1, 5)], whole[2:4])
    assert (whole[2:4] == [1, 2, 3, 4]).all()
    assert not whole[:2].any()
    assert not whole[4:].any()
