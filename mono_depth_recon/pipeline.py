"""One frame, in a straight line: rectify, predict, make metres, filter, back-project."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from . import filters
from .alignment import depth_from_disparity, on_rectified_grid, sigma_from_disparity
from .arrays import Depth, Mask, Points, Rgb
from .bands import Bands, Workspace
from .body_mask import load_mask, unknown_pixels
from .camera import PinholeCamera
from .cloud.back_projection import back_project
from .cloud.voxel_grid import thinned
from .compiled import kernels
from .config import Config
from .errors import CalibrationError, DataError, ModelError
from .frames import Finish, Finished, Frame, Judgement, Prediction, Scale
from .guard.per_camera import CameraGuards
from .models import DepthModel, load_model
from .models.base import FinishedView, PromptedView, ScaledView, View, finishes, needs_prompt
from .models.recovering import RecoveringModel
from .models.shared import SharedModel
from .scale.base import RelativeView
from .scale.evidence import NOTHING, Evidence
from .scale.per_camera import CameraScales
from .scale.reference import REFERENCE_DEPTH
from .scale.table import no_metres, source_in_effect

_THREADS = 2  # of the steps around the model; more than that wait for memory and for Python's lock
_WRONG = ("disparity that is not finite", "depth that is not positive")  # by whether the model is metric


@dataclass(frozen=True)
class Wanted:
    """The parts of a frame that are needed; the rest is not computed. `rgb` alone needs no model.

    `depth` covers all maps of the model: disparity and sigma too.
    """

    depth: bool = True
    points: bool = True


class Stopwatch:
    """Seconds per step, in order."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Records the time since the last lap under `step`."""
        now = time.perf_counter()
        self.laps[step] = now - self._last
        self._last = now


class DepthReconstructor:
    """The frame path: `process(rgb, camera) -> Frame`.

    `config` is the default of `process` and may be replaced at any time by another immutable Config; the model and
    `camera.mask` are those of construction. Threads may share it: one frame is computed at a time.

        reconstructor = DepthReconstructor.from_config(Config())
        frame = reconstructor.process(rgb, PinholeCamera.from_hfov(640, 480, 60))
    """

    def __init__(self, model: DepthModel, config: Config) -> None:
        self.model = model
        self.config = config
        self._body = load_mask(config.camera.mask) if config.camera.mask else None
        self._lock = threading.Lock()  # guards the model and the state per camera
        self._unknown: WeakKeyDictionary[PinholeCamera, Mask | None] = WeakKeyDictionary()
        self._scales = CameraScales()
        self._guards = CameraGuards()
        self._bands = Bands(min(_THREADS, config.cpu_threads or os.cpu_count() or 1), kernels())

    @classmethod
    def from_config(cls, config: Config) -> DepthReconstructor:
        """Loads the model of `config`. Raises ModelError, ConfigError."""
        return cls(load_model(config.model, config.cpu_threads), config)

    @classmethod
    def for_cameras(
        cls, config: Config, cameras: Sequence[Config], note: Callable[[str], None]
    ) -> list[DepthReconstructor]:
        """One with the configuration of each camera; they share the model of `config`, and wait only while it runs.

        It is compiled for the usual size, 640x480, which also checks that the weights work, and is loaded again where
        its runtime fails (`RecoveringModel`), which `note(text)` is told. Raises ModelError, ConfigError.
        """
        model: DepthModel = RecoveringModel(lambda: _warm(load_model(config.model, config.cpu_threads)), note)
        if len(cameras) > 1:
            model = SharedModel(model, len(cameras))
            model.warm_up(_usual_view(model))
        return [cls(model, each) for each in cameras]

    def process(
        self,
        rgb: Rgb,
        camera: PinholeCamera,
        wanted: Wanted = Wanted(),
        out: Points | None = None,
        evidence: Evidence = NOTHING,
        config: Config | None = None,
        stamp: float | None = None,
    ) -> Frame:
        """One image (H, W, 3) uint8 of `camera` to a Frame on the rectified grid.

        `out` receives the points (see `back_project`), where there is no `cloud.voxel_size`; `evidence` is what the
        scale is fitted to by `scale.source`, obtained only where needed and after the model has run, or what a prompted
        model is given;
        `config` applies to this frame, the reconstructor's own by default; `stamp` (s, default: now) tells how old a
        fit of the scale is. A relative model without metres, or a prompted one without reference depth, gives a Frame
        without depth, with the reason. Raises CalibrationError for a distorted image where `camera.distortion` is
        refuse, DataError where image and camera differ in size.
        """
        with self._lock:
            at = time.monotonic() if stamp is None else stamp
            return self._process(rgb, camera, wanted, out, evidence, config or self.config, at)

    def release_memory(self) -> None:
        """Frees the model's working memory until the next frame, once the current one is finished."""
        with self._lock:
            self.model.release_memory()
            self._bands.release()

    def _process(
        self,
        rgb: Rgb,
        camera: PinholeCamera,
        wanted: Wanted,
        out: Points | None,
        evidence: Evidence,
        config: Config,
        stamp: float,
    ) -> Frame:
        watch = Stopwatch()
        check_rgb(rgb)
        camera.check_image(rgb)
        unknown, raw_camera = self._unknown_of(camera), camera
        rgb, camera = self._rectified(rgb, camera, config)
        watch.lap("rectify")
        if not (wanted.depth or wanted.points):
            return Frame(rgb, camera, timings=watch.laps)
        finish = self._finish(config, unknown, wanted, out)
        try:
            prediction = self._predicted((rgb, camera), raw_camera, evidence, finish)
        except DataError as error:
            if not needs_prompt(self.model):
                raise
            return Frame(rgb, camera, no_metres=str(error), timings=watch.laps)
        watch.lap("model")
        view = rgb, raw_camera
        metres = self._filtered(prediction, view, unknown, evidence, stamp, config, watch)
        metres, judgement = self._judged(rgb, camera, raw_camera, metres, stamp, config)
        watch.lap("guard")
        frame = Frame(
            rgb,
            camera,
            disparity=metres.disparity,
            scale=metres.scale,
            no_metres=metres.missing,
            judgement=judgement,
            timings=watch.laps,
        )
        if metres.depth is None:
            return frame
        points = None
        if metres.finished is not None:
            points = metres.finished.points
        elif wanted.points:
            points = self._points(metres.depth, metres.sigma, camera, rgb, config, out)
        if points is not None and config.cloud.voxel_size:
            points = thinned(points, config.cloud.voxel_size)
        watch.lap("cloud")
        return replace(frame, depth=metres.depth, sigma=metres.sigma, confidence=prediction.confidence, points=points)

    def _finish(self, config: Config, unknown: Mask | None, wanted: Wanted, out: Points | None) -> Finish | None:
        """What the model's device can do behind the network; None where something comes between that it cannot."""
        source = source_in_effect(config.scale, self.model.output == "metric_depth")
        without_metres = source is not None and not source.gives_metres
        if not finishes(self.model) or config.cloud.sigma or without_metres:
            return None
        return Finish(config.filter, unknown, wanted.points, config.cloud.stride, out, scaled=source is not None)

    def _filtered(
        self,
        prediction: Prediction,
        view: View,
        unknown: Mask | None,
        evidence: Evidence,
        stamp: float,
        config: Config,
        watch: Stopwatch,
    ) -> _Metres:
        """Metres by `scale.source` behind the filters; `view` is the rectified image and its raw camera."""
        if prediction.finished is not None:
            self._refuse_unless(prediction.finished.least > 0, metric=True)
            return _Metres(prediction.depth, finished=prediction.finished)
        metric = prediction.depth is not None
        self._check(prediction.values, metric)
        if source_in_effect(config.scale, metric) is None:
            metres = _Metres(prediction.depth, prediction.sigma)
        else:
            disparity = np.reciprocal(prediction.values) if metric else prediction.values
            known = self._known(disparity, unknown, prediction.valid)
            relative = RelativeView(view[0], known, view[1], stamp, metric)
            metres = self._scaled(relative, disparity, prediction, evidence, config)
            watch.lap("scale")
        if metres.depth is not None and metres.finished is None:
            if prediction.sky is not None:
                metres.depth[prediction.sky] = np.inf
            parts = metres.sigma, prediction.confidence, unknown, prediction.valid
            filters.filter_frame(metres.depth, *parts, config.filter, self._bands)
            watch.lap("filter")
        return metres

    def _judged(
        self, rgb: Rgb, camera: PinholeCamera, raw_camera: PinholeCamera, metres: _Metres, stamp: float, config: Config
    ) -> tuple[_Metres, Judgement | None]:
        """The metres after `guard`: depth smoothed, or withheld with the reason."""
        if not config.guard.enabled:
            return metres, None
        judgement, depth = self._guards.of(raw_camera).judge(rgb, metres.depth, camera, stamp, config.guard)
        missing = f"depth is withheld: {judgement.reason}" if judgement.withheld else metres.missing
        finished = metres.finished if depth is metres.depth else None
        return replace(metres, depth=depth, missing=missing, finished=finished), judgement

    def _predicted(
        self, view: View, raw_camera: PinholeCamera, evidence: Evidence, finish: Finish | None
    ) -> Prediction:
        if needs_prompt(self.model):
            view = PromptedView.of(view, on_rectified_grid(evidence.get(REFERENCE_DEPTH), raw_camera))
        elif finish is not None:
            view = FinishedView.of(view, finish)
        return self.model.predict([view])[0]

    def _rectified(self, rgb: Rgb, camera: PinholeCamera, config: Config) -> tuple[Rgb, PinholeCamera]:
        if camera.is_rectified:
            return rgb, camera
        if config.camera.distortion == "refuse":
            raise CalibrationError(
                "image is not rectified (D or R in camera_info): subscribe to image_rect with "
                "camera.input=rectified, or set camera.distortion=rectify"
            )
        return camera.rectify(rgb), camera.rectified

    def _check(self, values: Depth, metric: bool) -> None:
        good = []

        def step(rows: slice, _: Workspace) -> None:
            low = values[rows].min()  # NaN where any value is
            good.append(low > 0 if metric else np.isfinite(low) and np.isfinite(values[rows].max()))

        self._bands.run(values.shape, step)
        self._refuse_unless(all(good), metric)

    def _refuse_unless(self, good: bool, metric: bool) -> None:
        if not good:  # a broken network must not produce a wall of points
            raise ModelError(f"model {self.model.name} returned {_WRONG[metric]}: check the weights")

    def _known(self, disparity: Depth, unknown: Mask | None, valid: Mask | None) -> Depth:
        """The disparity with NaN where there is never depth, or none in this image."""
        if unknown is None and valid is None:
            return disparity
        known = np.empty_like(disparity)

        def step(rows: slice, work: Workspace) -> None:
            known[rows] = disparity[rows]
            filters.drop_unknown(known[rows], rows, unknown, valid, work)

        self._bands.run(known.shape, step)
        return known

    def _points(
        self, depth: Depth, sigma: Depth | None, camera: PinholeCamera, rgb: Rgb, config: Config, out: Points | None
    ) -> Points:
        """The cloud; with `cloud.sigma` also that field, which is NaN where the model gives no sigma."""
        if config.cloud.sigma and sigma is None:
            sigma = np.broadcast_to(np.float32(np.nan), depth.shape)
        sigma = sigma if config.cloud.sigma else None
        return back_project(depth, camera, rgb, config.cloud.stride, out, sigma, self._bands)

    def _scaled(
        self, view: RelativeView, disparity: Depth, prediction: Prediction, evidence: Evidence, config: Config
    ) -> _Metres:
        """Depth by `scale.source`, or the reason for having none; by the model's device, where that holds the values.

        `disparity` is that of `view` where it is unknown too.
        """
        shown = None if view.metric else view.disparity
        source = self._scales.of(view.camera, config.scale)
        if not source.gives_metres:
            return _Metres(disparity=shown, missing=no_metres(self.model.name))
        try:
            scale = replace(source.fit(view, evidence, config.scale), source=source.name)
        except DataError as error:
            if not (view.metric and config.scale.on_timeout == "stale"):
                return _Metres(disparity=shown, missing=str(error))
            scale = Scale(1.0, 0.0, stale=True, source=source.name, reason=str(error))
        if prediction.held is not None:
            grid = view.rgb, view.camera.rectified
            made = self.model.predict([ScaledView.after(grid, prediction.held, scale)])[0]
            return _Metres(made.depth, None, shown, scale, finished=made.finished)
        far, sigma = config.filter.max_range, prediction.sigma
        depth = depth_from_disparity(disparity, scale, far, self._bands)
        if sigma is not None:
            of_disparity = sigma * np.square(disparity) if view.metric else sigma
            sigma = sigma_from_disparity(of_disparity, depth, scale, far, self._bands)
        return _Metres(depth, sigma, shown, scale)

    def _unknown_of(self, camera: PinholeCamera) -> Mask | None:
        """Pixels of the rectified grid that never have depth: the robot's body, and those outside the raw image."""
        if camera not in self._unknown:
            self._unknown[camera] = unknown_pixels(camera, self._body)
        return self._unknown[camera]


def _usual_view(model: DepthModel) -> View:
    """A grey image of the usual size; with a wall for a prompted model."""
    usual = PinholeCamera.from_hfov(640, 480, 60.0)
    view = np.full((usual.height, usual.width, 3), 127, np.uint8), usual
    return PromptedView.of(view, np.full((48, 64), 2, np.float32)) if needs_prompt(model) else view


def _warm(model: DepthModel) -> DepthModel:
    """`model`, compiled for the usual size. Raises ModelError where its weights do not work."""
    model.predict([_usual_view(model)])
    return model


@dataclass(frozen=True)
class _Metres:
    """Depth and sigma in metres with what they were made from; without depth, `missing` is the reason.

    `finished`: the model's device has filtered this depth.
    """

    depth: Depth | None = None
    sigma: Depth | None = None
    disparity: Depth | None = None
    scale: Scale | None = None
    missing: str = ""
    finished: Finished | None = None


def check_rgb(rgb: Rgb) -> None:
    """Raises DataError unless `rgb` is (H, W, 3) uint8."""
    if not isinstance(rgb, np.ndarray) or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        got = f"{rgb.shape} {rgb.dtype}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise DataError(f"image must be an array (H, W, 3) uint8 in RGB order, got {got}")
