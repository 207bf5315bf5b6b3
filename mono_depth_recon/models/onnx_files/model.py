"""A loaded ONNX file with its card: place the image, run, make a Prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...camera import PinholeCamera
from ...frames import Prediction
from ..base import Output
from ..base import View as ImageView
from ..runtimes import Graph
from .card import OnnxCard
from .checks import InputForm
from .placement import Placement, picture, placement_of
from .predictions import View, prediction_of

Feeds = dict[str, NDArray[np.generic]]


class OnnxPreparation:
    """How images become the inputs of the network, by card and file; `short_side` is `model.input_size`."""

    def __init__(self, card: OnnxCard, form: InputForm, short_side: int = 0) -> None:
        self.card, self.form, self._short_side = card, form, short_side

    def place(self, camera: PinholeCamera) -> Placement:
        """Where an image of the camera lies in the input."""
        return placement_of(self.form.rule, camera.size, self._short_side)

    def images(self, views: Sequence[ImageView]) -> NDArray[np.generic]:
        """(N, 3, rows, columns), or (N, rows, columns, 3) as the card's layout says, of views of one size of input."""
        rule, dtype = self.form.rule, self.form.dtype
        return np.stack([picture(rule, self.place(camera), rgb, dtype) for rgb, camera in views])

    def others(self, cameras: Sequence[PinholeCamera]) -> Feeds:
        """The further inputs by name."""
        return {name: self._other(name, cameras) for name in self.card.inputs}

    def _other(self, name: str, cameras: Sequence[PinholeCamera]) -> NDArray[np.generic]:
        other, port = self.card.inputs[name], self.form.others[name]
        if other.kind == "rays":
            return np.stack([self.place(camera).rays(camera) for camera in cameras]).astype(port.dtype)
        columns, rows = self.place(cameras[0]).canvas
        number = other.value if other.kind == "number" else (columns // other.patch) * (rows // other.patch)
        return np.full([1] * len(port.shape or ()), number, port.dtype)


class OnnxDepthModel:
    """A network of a card on its runtime, in any of its kinds of output."""

    stochastic = False

    def __init__(self, name: str, preparation: OnnxPreparation, runtime: Graph) -> None:
        self.name, self.runtime = name, runtime
        self.preparation, self._card = preparation, preparation.card
        self.output: Output = preparation.card.predicts

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self.runtime.device

    def predict(self, batch: Sequence[ImageView]) -> list[Prediction]:
        """One Prediction per view; views whose images need one size of input run as one batch, where the file can."""
        groups: dict[object, list[int]] = {}
        for i, (_, camera) in enumerate(batch):
            key = i if self.preparation.form.one_by_one else self.preparation.place(camera).canvas
            groups.setdefault(key, []).append(i)
        results: list[Prediction | None] = [None] * len(batch)
        for chosen in groups.values():
            views = [batch[i] for i in chosen]
            cameras = [camera for _, camera in views]
            outputs = self.runtime.run(self.preparation.images(views), self.preparation.others(cameras))
            for row, i in enumerate(chosen):
                one = {name: values[row] if values.ndim else values for name, values in outputs.items()}
                view = View(self.preparation.place(batch[i][1]), batch[i][1])
                results[i] = prediction_of(self._card, one, view)
        return [result for result in results if result is not None]

    def release_memory(self) -> None:
        """Forwards to the runtime."""
        self.runtime.release_memory()
