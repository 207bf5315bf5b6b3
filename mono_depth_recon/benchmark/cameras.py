"""Cameras that share a model: whether a batch of images pays, and what a thread for each camera gets of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

import numpy as np

from ..camera import PinholeCamera
from ..config import with_values
from ..errors import DataError, ModelError
from ..models import DepthModel, load_model
from ..models.base import View
from ..models.shared import SharedModel
from .frame_path import RUNTIMES, Measurement, Settings, medians
from .rows import Row
from .scene import room

_SAME = 1e-3  # largest relative difference of an image's depth alone and in a batch
_NOT_BELOW = 1.05  # time with a thread for each camera by that with one thread
_CAMERAS, _TURNS = 3, 5


def cameras(runtime: str, settings: Settings) -> Iterator[Row]:
    """Two 640x480 images one after another and as a batch; then the node's way, a thread for each of three cameras."""
    config = with_values(settings.config, {"model.runtime": runtime})
    model = load_model(config.model, config.cpu_threads)
    camera = PinholeCamera.from_hfov(640, 480, 60)
    _, rgb = room(camera)
    views = [(rgb, camera), (np.ascontiguousarray(rgb[:, ::-1]), camera)]
    _check(model, views)
    single, batch = medians(
        [lambda: [model.predict([view]) for view in views], lambda: model.predict(views)], settings.repeats
    )
    yield Row(f"{runtime}: two images, one after another", 1e3 * single, "ms", note=model.device)
    yield Row(f"{runtime}: two images as a batch", 1e3 * batch, "ms", note=f"{single / batch:.2f} times as fast")
    shared = SharedModel(model, _CAMERAS)
    shared.warm_up(views[0])
    in_turn, together = _in_turn_and_together(shared, [*views, views[0]], settings.repeats)
    note = f"{_CAMERAS / together:.1f} images a second, batches of at most {shared.largest_batch}"
    yield Row(f"{runtime}: three cameras at once by one after another", together / in_turn, "x", _NOT_BELOW, note)


def _check(model: DepthModel, views: list[View]) -> None:
    alone, both = [model.predict([view])[0].values for view in views], model.predict(views)
    off = max(float(np.abs(one.values / values - 1).max()) for one, values in zip(both, alone, strict=True))
    if not off < _SAME:
        raise ModelError(f"model {model.name} gives other depth in a batch than alone, {off:.2g} relative")


def _in_turn_and_together(shared: SharedModel, views: list[View], repeats: int) -> tuple[float, float]:
    """Median seconds for one image of each camera, by one thread and by a thread for each."""
    each = max(1, repeats // _TURNS)

    def run(view: View) -> None:
        for _ in range(each):
            if len(shared.predict([view])) != 1:
                raise DataError("a view must have one prediction")

    in_turn, together = [], []
    with ThreadPoolExecutor(len(views)) as threads:
        for _ in range(_TURNS):
            start = time.perf_counter()
            for view in views:
                run(view)
            middle = time.perf_counter()
            list(threads.map(run, views))
            in_turn.append((middle - start) / each)
            together.append((time.perf_counter() - middle) / each)
    return median(in_turn), median(together)


MEASUREMENTS: dict[str, Measurement] = {f"cameras-{runtime}": partial(cameras, runtime) for runtime in RUNTIMES}
