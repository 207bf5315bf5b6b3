"""How the frame path around the model grows with the image, against copying the bytes of its cloud."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from time import perf_counter

import numpy as np

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..config import Config, with_values
from ..errors import DataError
from ..frames import Frame, Prediction
from ..models.base import Output, View
from ..pipeline import DepthReconstructor
from ..scale.fixed import FixedScale
from .frame_path import Measurement, Settings, check_points
from .machine import fresh_process
from .rows import Row
from .scene import room

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
_MOST = {640: 4.0, 1280: 2.5, 1920: 2.5}  # times the copy, by width
_GROWTH, _KIB = 1.05, 64.0
_AROUND = ("scale", "filter", "cloud")  # the steps beside the model, of a rectified camera without the guard
_DISTORTION = (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
_STEP_M = 1.0
_EXCHANGES, _EXCHANGES_S = 100, 400.0
_MODELS: tuple[tuple[str, Output, dict[str, object]], ...] = (
    ("metric", "metric_depth", {}),
    ("relative", "relative_disparity", {"scale.source": FixedScale.name, "scale.scale": 1.0, "scale.shift": 0.0}),
)


class _Prepared:
    """A model that costs nothing: the same prediction for every image, in one array."""

    name, device = "prepared", "none"

    def __init__(self, values: Depth, output: Output) -> None:
        self.output: Output = output
        self._values, self._given = values, values.copy()

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        np.copyto(self._given, self._values)
        return [Prediction(depth=self._given) if self.output == "metric_depth" else Prediction(disparity=self._given)]

    def release_memory(self) -> None:
        """Nothing to release."""


def scaling(settings: Settings) -> Iterator[Row]:
    """Every step around the model from 320x240 to 3840x2160, of a metric model and of a relative one with a scale.

    Where ROS is installed also the exchange of an image and its cloud between two processes.
    """
    for name, output, values in _MODELS:
        config, seconds = with_values(settings.config, values), []
        for width, height in SIZES:
            camera = PinholeCamera.from_hfov(width, height, 60)
            depth, rgb = _scene(camera)
            given: Depth = depth if output == "metric_depth" else np.reciprocal(depth)
            run = _Run(DepthReconstructor(_Prepared(given, output), config), camera, rgb)
            _check(run.frame(), depth, config)
            laps, copy = run.laps(settings.repeats)
            seconds.append(sum(laps[step] for step in _AROUND if step in laps))
            yield from _rows(f"{name} {width}x{height}", seconds[-1], copy, laps, _MOST.get(width))
            yield Row(f"{name} {width}x{height}: allocated beside its results", run.allocated() / 1024, "KiB", _KIB)
        growth = np.polyfit(np.log([width * height for width, height in SIZES]), np.log(seconds), 1)[0]
        yield Row(f"{name}: growth, exponent of the number of pixels", float(growth), "", _GROWTH)
    for width, height in SIZES:
        yield _rectification(width, height, settings.repeats)
    if find_spec("rclpy") is not None:
        yield from _between_processes()


class _Run:
    """Frames of one size, into the bytes of one cloud as in the node."""

    def __init__(self, reconstructor: DepthReconstructor, camera: PinholeCamera, rgb: Rgb) -> None:
        self._reconstructor, self._camera, self._rgb = reconstructor, camera, rgb
        self._out = np.empty((camera.height, camera.width, 4), np.float32)
        self._stamp = 0.0

    def frame(self, config: Config | None = None) -> Frame:
        self._stamp += 0.1
        return self._reconstructor.process(self._rgb, self._camera, out=self._out, stamp=self._stamp, config=config)

    def laps(self, repeats: int) -> tuple[Mapping[str, float], float]:
        """Median seconds of every step, and of a copy of the cloud between the frames."""
        target, laps, copies = np.ones_like(self._out), [], []
        for _ in range(repeats):
            laps.append(self.frame().timings)
            start = perf_counter()
            np.copyto(target, self._out)
            copies.append(perf_counter() - start)
        return {step: median(lap[step] for lap in laps) for step in laps[0]}, median(copies)

    def allocated(self) -> int:
        """Bytes at the peak of a frame beyond the arrays that it returns, without the small images of the guard."""
        alone = with_values(self._reconstructor.config, {"guard.enabled": False})
        tracemalloc.start()
        try:
            frame = self.frame(alone)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert frame.depth is not None, "checked before"
        return peak - (frame.depth.nbytes if frame.disparity is not None else 0)  # the model's own array otherwise


def _scene(camera: PinholeCamera) -> tuple[Depth, Rgb]:
    """The room with a step in its depth, and a part beyond range."""
    depth, rgb = room(camera)
    depth[camera.height // 3 : camera.height // 2, camera.width // 4 : camera.width // 3] += _STEP_M
    depth[: camera.height // 10] = 2 * Config().filter.max_range
    return depth, rgb


def _check(frame: Frame, exact: Depth, config: Config) -> None:
    """A wrong result must not be timed."""
    if frame.depth is None or frame.points is None:
        raise DataError(f"the prepared model must give depth: {frame.no_metres}")
    known = np.isfinite(frame.depth)
    beyond = exact > config.filter.max_range
    off = float(np.abs(frame.depth[known] / exact[known] - 1).max())
    if off > 1e-6 or not 0.9 < known.mean() + beyond.mean() < 1 or not np.isposinf(frame.depth[beyond]).all():
        raise DataError(f"depth must be the given one without its edges, and infinite beyond range, {off:.2g} off")
    check_points(frame.points, frame.depth, frame.camera, frame.rgb)


def _rows(name: str, around: float, copy: float, laps: Mapping[str, float], most: float | None) -> Iterator[Row]:
    steps = ", ".join(f"{step} {1e3 * laps[step]:.2f}" for step in _AROUND if step in laps)
    yield Row(f"{name}: around the model", 1e3 * around, "ms", note=steps)
    yield Row(f"{name}: ... against a memcpy of the cloud", around / copy, "x", most, f"memcpy {1e3 * copy:.3f} ms")
    if "guard" in laps:
        yield Row(f"{name}: guard", 1e3 * laps["guard"], "ms", note=f"{laps['guard'] / copy:.2f} times the memcpy")


def _between_processes() -> Iterator[Row]:
    """The figures of the ROS nodes' benchmark, which is not imported here: it needs ROS."""
    code = (
        "import dataclasses, json; from mono_depth_recon.ros.tools.bench_exchange import exchange; "
        f"print(json.dumps([dataclasses.asdict(row) for row in exchange({_EXCHANGES})]))"
    )
    for values in json.loads(fresh_process(code, timeout_s=_EXCHANGES_S)):
        yield Row(**values)


def _rectification(width: int, height: int, repeats: int) -> Row:
    """The same lens at every size."""
    zoom = width / 640
    numbers = 517.3 * zoom, 516.5 * zoom, 0.498 * width, 0.532 * height
    camera = PinholeCamera.from_intrinsics(width, height, *numbers, D=_DISTORTION)
    _, rgb = room(camera)
    camera.rectify(rgb)
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        camera.rectify(rgb)
        seconds.append(perf_counter() - start)
    return Row(f"{width}x{height}: rectify, of a distorted camera alone", 1e3 * median(seconds), "ms")


MEASUREMENTS: dict[str, Measurement] = {"scaling": scaling}
