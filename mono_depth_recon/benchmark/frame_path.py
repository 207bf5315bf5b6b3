"""Measurements of the frame path within one process; each result is checked before it is timed.

Everything is measured on an analytic room with exact depth. Traffic between processes through ROS 2 is measured by the
benchmark of the nodes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TypeAlias

import numpy as np

from .. import filters
from ..arrays import Depth, Points, Rgb
from ..camera import PinholeCamera
from ..cloud.back_projection import back_project, unpack_rgb
from ..config import Config, with_values
from ..errors import DataError, MonoDepthError
from ..mesh.surface import make_mesh
from ..pipeline import DepthReconstructor, Wanted
from .machine import fresh_process
from .rows import Row
from .scene import distance_to_walls, room

RUNTIMES = ("openvino", "torch")
HEAVY = ("torch", "open3d", "rclpy", "transformers")
_LENS = PinholeCamera.from_intrinsics(640, 480, 517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633))


@dataclass(frozen=True)
class Settings:
    """`repeats` of each timing; `config` names the model and its threads (every runtime is measured)."""

    config: Config = field(default_factory=Config)
    repeats: int = 50


Measurement: TypeAlias = Callable[[Settings], Iterator[Row]]


def measure(
    settings: Settings,
    only: Sequence[str] = (),
    more: Mapping[str, Measurement] | None = None,
) -> Iterator[Row]:
    """The rows of the measurements (and `more`) named by `only` (all if empty), each as soon as it is measured."""
    known = {**MEASUREMENTS, **(more or {})}
    for name in only or known:
        try:
            yield from known[name](settings)
        except (MonoDepthError, ImportError, subprocess.SubprocessError) as error:
            yield Row(name, None, note=" ".join(str(error).split()))


def imports(settings: Settings) -> Iterator[Row]:
    """The time of `import` in fresh processes, which must load no heavy library."""
    for module in ("mono_depth_recon", "mono_depth_recon.pipeline"):
        code = (
            f"import sys, time; start = time.perf_counter(); import {module}; "
            f"print(time.perf_counter() - start, [name for name in {HEAVY} if name in sys.modules])"
        )
        answers = [fresh_process(code).split(" ", 1) for _ in range(5)]
        if answers[0][1] != "[]":
            raise DataError(f"import {module} must load none of {', '.join(HEAVY)}, but loads {answers[0][1]}")
        milliseconds = 1e3 * median(float(seconds) for seconds, _ in answers)
        yield Row(f"import {module}", milliseconds, "ms", 300.0, "fresh process")


def start_up(runtime: str, settings: Settings) -> Iterator[Row]:
    """Seconds from the start of a process to its first frame."""
    model = settings.config.model
    code = (
        "import sys, time; from mono_depth_recon.benchmark.frame_path import first_frame; "
        "first_frame(*sys.argv[1:]); print(time.time())"
    )
    seconds = []
    for _ in range(3):
        start = time.time()
        seconds.append(float(fresh_process(code, model.name, model.checkpoint, runtime)) - start)
    yield Row(f"{runtime}: process start to first frame", median(seconds), "s", note="imports, model, one frame")


def first_frame(name: str, checkpoint: str, runtime: str) -> None:
    """The work that `start_up` times."""
    values = {"model.name": name, "model.checkpoint": checkpoint, "model.runtime": runtime}
    camera = PinholeCamera.from_hfov(640, 480, 60)
    DepthReconstructor.from_config(with_values(Config(), values)).process(room(camera)[1], camera)


def clouds(settings: Settings) -> Iterator[Row]:
    """Depth and colour to the bytes of a 640x480 cloud, relative to copying these bytes."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    depth, rgb = room(camera)
    depth[100:120, 200:260] = np.nan
    message = bytearray(depth.size * 16)
    out: Points = np.frombuffer(message, np.float32).reshape(*depth.shape, 4)
    back_project(depth, camera, rgb, out=out)
    check_points(out, depth, camera, rgb)
    source = np.frombuffer(bytes(message), np.float32).reshape(out.shape)
    project, copy = medians(
        [lambda: back_project(depth, camera, rgb, out=out), lambda: np.copyto(out, source)], 4 * settings.repeats
    )
    yield Row("depth and colour to cloud", 1e3 * project, "ms")
    yield Row("depth and colour to cloud / memcpy", project / copy, "x", 4.0, f"memcpy {1e3 * copy:.3f} ms")


def depth_filters(settings: Settings) -> Iterator[Row]:
    """The filters of every frame."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    depth, _ = room(camera)
    step = depth.copy()
    step[:, 320:] += 1.0
    found = filters.flying_pixels(step, 0.08)
    if filters.flying_pixels(depth, 0.08).any() or not found[:, 319:321].all() or found[:, :319].any():
        raise DataError("flying_pixels must find the step of the room and nothing else")
    unknown = np.zeros(depth.shape, np.bool_)

    def masks() -> None:
        filters.limit_range(depth, 0.1, 10.0)
        filters.drop(depth, unknown)
        filters.drop_border(depth, 2)

    edges, rest = medians([lambda: filters.flying_pixels(step, 0.08), masks], settings.repeats)
    yield Row("filter: flying pixels", 1e3 * edges, "ms")
    yield Row("filter: range, mask and border", 1e3 * rest, "ms")


def frames(runtime: str, settings: Settings) -> Iterator[Row]:
    """Every step of a 640x480 frame of a distorted camera, and frames per second with the cloud."""
    config = with_values(settings.config, {"model.runtime": runtime})
    reconstructor = DepthReconstructor.from_config(config)
    _, rgb = room(_LENS)
    out = np.empty((_LENS.height, _LENS.width, 4), np.float32)  # as in the node: the bytes of a message
    frame = reconstructor.process(rgb, _LENS, out=out)
    if frame.depth is None or frame.points is None:
        raise DataError(f"the frame path benchmark needs a metric model, got {reconstructor.model.name}")
    check_points(frame.points, frame.depth, frame.camera, frame.rgb)
    laps, totals = [], []
    for _ in range(settings.repeats):
        start = time.perf_counter()
        laps.append(reconstructor.process(rgb, _LENS, out=out).timings)
        totals.append(time.perf_counter() - start)
    for step in laps[0]:
        yield Row(f"{runtime}: {step}", 1e3 * median(lap[step] for lap in laps), "ms", note=reconstructor.model.device)
    p95 = f"p95 {1e3 * np.quantile(totals, 0.95):.1f} ms"
    yield Row(f"{runtime}: image to cloud", 1e3 * median(totals), "ms", note=p95)
    yield Row(f"{runtime}: rate with cloud", 1 / median(totals), "frames/s")


def agreement(settings: Settings) -> Iterator[Row]:
    """Largest relative difference of depth between the runtimes, on one image."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    _, rgb = room(camera)
    config = with_values(
        settings.config, {"filter.edge_threshold": 0.0, "filter.min_range": 0.0, "filter.max_range": 1000.0}
    )
    depths = []
    for runtime in RUNTIMES:
        reconstructor = DepthReconstructor.from_config(with_values(config, {"model.runtime": runtime}))
        depth = reconstructor.process(rgb, camera, Wanted(points=False)).depth
        if depth is None:
            raise DataError(f"the comparison of runtimes needs a metric model, got {reconstructor.model.name}")
        depths.append(depth)
    largest = float(np.max(np.abs(depths[0] / depths[1] - 1)))
    yield Row(f"{RUNTIMES[0]} against {RUNTIMES[1]}, largest relative difference", largest, "", 1e-3)


def meshes(method: str, settings: Settings) -> Iterator[Row]:
    """Seconds for the mesh of the room, which must lie on its walls."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    depth, rgb = room(camera)
    points = back_project(depth, camera, rgb)
    start = time.perf_counter()
    mesh = make_mesh(points, with_values(settings.config, {"mesh.method": method}).mesh)
    seconds = time.perf_counter() - start
    off = float(np.quantile(distance_to_walls(mesh.vertices), 0.95))
    if off > 0.02:
        raise DataError(f"95 % of the {method} mesh must lie within 2 cm of the room's walls, got {100 * off:.1f} cm")
    size = f"{len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles"
    yield Row(f"mesh: {method}", seconds, "s", note=f"once, {size}")


MEASUREMENTS: dict[str, Measurement] = {
    "import": imports,
    "cloud": clouds,
    "filters": depth_filters,
    **{f"frame-{runtime}": partial(frames, runtime) for runtime in RUNTIMES},
    "agreement": agreement,
    **{f"start-{runtime}": partial(start_up, runtime) for runtime in RUNTIMES},
    **{f"mesh-{method}": partial(meshes, method) for method in ("grid", "poisson")},
}


def check_points(points: Points, depth: Depth, camera: PinholeCamera, rgb: Rgb) -> None:
    """Compares with the definition in float64: a wrong result must not be timed."""
    u, v = np.arange(camera.width), np.arange(camera.height)[:, None]
    z = np.where(np.isfinite(depth), depth, np.nan).astype(np.float64)
    exact = np.stack([(u - camera.cx) * z / camera.fx, (v - camera.cy) * z / camera.fy, z], axis=-1)
    known = np.isfinite(z)
    off = float(np.abs(points[..., :3] - exact)[known].max())
    if off > 1e-5 or np.isfinite(points[~known][:, :3]).any() or not np.array_equal(unpack_rgb(points[..., 3]), rgb):
        raise DataError(f"the cloud differs from its definition by {off:.2g} m, or in its holes or colours")


def medians(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each function, run in turns so that a disturbance affects all of them."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for taken, function in zip(seconds, functions, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [median(taken) for taken in seconds]
