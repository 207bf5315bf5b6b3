"""Figures of one model beside its prediction: image to cloud, images in batches, the network alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from ..camera import PinholeCamera
from ..config import Config, with_values
from ..models import DepthModel
from ..models.base import View
from ..pipeline import DepthReconstructor, Wanted
from ..scale.fixed import FixedScale
from .scene import room

BATCH = 16


def frame_figures(model: DepthModel, config: Config, repeats: int) -> dict[str, float]:
    """`cloud` and `batched` of a Result; the guard, which is no part of the way to the cloud, is off.

    A relative model is given a scale and a shift that put the middle of its depth at two metres.
    """
    camera = PinholeCamera.from_hfov(640, 480, 60)
    view = (room(camera)[1], camera)
    values = {"guard.enabled": False, **_metres(model, view)}
    reconstructor = DepthReconstructor(model, with_values(config, values))
    out = np.empty((480, 640, 4), np.float32)
    whole = _median_s(lambda: reconstructor.process(*view, Wanted(), out), repeats)
    metres = reconstructor.process(*view).points is not None  # a prompted model has none
    return {
        "cloud": whole if metres else 0.0,
        "batched": BATCH / _median_s(lambda: model.predict([view] * BATCH), repeats),
    }


def _metres(model: DepthModel, view: View) -> dict[str, str | float]:
    """Settings of a scale for a relative model."""
    if model.output != "relative_disparity":
        return {}
    middle = float(np.median(model.predict([view])[0].values))
    return {"scale.source": FixedScale.name, "scale.scale": 0.4 / middle if middle > 0 else 1.0, "scale.shift": 0.1}


def network_alone_s(model: Any, view: View, repeats: int) -> float:
    """Median seconds of the runtime on what the network sees, of a model whose runtime also resamples and restores."""
    batch = model.network_input(view)
    return _median_s(lambda: model.runtime.run(batch), repeats)


def _median_s(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of `run`, which ran once before."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])
