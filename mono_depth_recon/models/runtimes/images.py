"""Images to a network and its maps back to their size, on the runtime's device where it does that, else here."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Rgb
from ...camera import PinholeCamera
from ...frames import Finish, Finished, Held, Prediction, Scale
from ..base import FinishedView, Output, ScaledView, View
from .base import Batch, Runtime
from .image_way import ImageWay, Metres, Size


class Preparation(Protocol):
    """How images reach a network and come back; sizes are (columns, rows)."""

    def network_size(self, width: int, height: int) -> Size:
        """The size of the input for images of width x height pixels."""

    def blob(self, rgb: Rgb, size: Size) -> NDArray[np.float32]:
        """`rgb` (H, W, 3) uint8 as input (3, rows, columns) of `size`."""

    def restored(self, values: Depth, width: int, height: int) -> Depth:
        """A map of the network at the size of the image, a new array."""

    def way(self, width: int, height: int) -> ImageWay:
        """`blob` and `restored` as a device does them."""


class ImageRuntime(Runtime, Protocol):
    """A runtime that resamples, normalises and restores on its device."""

    def run_images(self, images: NDArray[np.uint8], way: ImageWay) -> Batch:
        """(N, H, W, 3) -> (N, channels, H, W), a fresh float32 array. Raises ModelError."""

    def run_frame(
        self, images: NDArray[np.uint8], way: ImageWay, camera: PinholeCamera, finish: Finish, metres: Metres
    ) -> tuple[Depth, Finished]:
        """One image (1, H, W, 3) of `camera` -> depth (H, W) after `finish`, and the rest. Raises ModelError.

        The network's only channel becomes metres by `metres`.
        """

    def run_held(self, images: NDArray[np.uint8], way: ImageWay, metres: Metres, inverse: bool) -> tuple[Depth, object]:
        """One image (1, H, W, 3) -> its values (H, W) by `metres`, and what `run_scaled` takes. Raises ModelError.

        A scale is fitted to the values, or to their inverse.
        """

    def run_scaled(
        self, held: object, way: ImageWay, camera: PinholeCamera, finish: Finish, scale: Scale
    ) -> tuple[Depth, Finished]:
        """Depth (H, W) by `scale` of what `run_held` kept, after `finish`, and the rest. Raises ModelError."""


def image_runtime(runtime: object) -> ImageRuntime | None:
    """The runtime, or None where it takes no images."""
    return cast(ImageRuntime, runtime) if hasattr(runtime, "run_images") else None


def finished_frame(
    runtime: Runtime,
    preparation: Preparation,
    views: Sequence[View],
    metres: Callable[[PinholeCamera], Metres],
    output: Output = "metric_depth",
) -> list[Prediction] | None:
    """The prediction of a single FinishedView, finished or held on the device; None for other views."""
    if len(views) != 1 or not isinstance(view := views[0], FinishedView):
        return None
    device = image_runtime(runtime)
    if device is None:
        return None
    rgb, camera = view
    way, finish = preparation.way(*camera.size), view.finish
    if isinstance(view, ScaledView):
        depth, finished = device.run_scaled(view.values, way, camera, finish, view.scale)
        return [Prediction(depth=depth, finished=finished)]
    if not finish.scaled:
        depth, finished = device.run_frame(rgb[None], way, camera, finish, metres(camera))
        return [Prediction(depth=depth, finished=finished)]
    metric = output == "metric_depth"
    values, kept = device.run_held(rgb[None], way, metres(camera), inverse=metric)
    held = Held(finish, kept)
    return [Prediction(depth=values, held=held) if metric else Prediction(disparity=values, held=held)]


def maps_of(
    runtime: Runtime, preparation: Preparation, views: Sequence[tuple[Rgb, PinholeCamera]]
) -> list[Sequence[Depth]]:
    """The network's maps (H, W), a channel each, of all views; those of one size of input, or image, run as a batch."""
    device = image_runtime(runtime)
    groups: dict[Hashable, list[int]] = {}
    for i, (_, camera) in enumerate(views):
        key = camera.size if device is not None else preparation.network_size(*camera.size)
        groups.setdefault(key, []).append(i)
    made: dict[int, Sequence[Depth]] = {}
    for chosen in groups.values():
        images, size = [views[i][0] for i in chosen], views[chosen[0]][1].size
        if device is not None:
            made |= zip(chosen, device.run_images(np.stack(images), preparation.way(*size)), strict=True)
            continue
        network = preparation.network_size(*size)
        output = runtime.run(np.stack([preparation.blob(rgb, network) for rgb in images]))
        for i, maps in zip(chosen, output, strict=True):
            made[i] = [preparation.restored(each, *views[i][1].size) for each in maps]
    return [made[i] for i in range(len(views))]
