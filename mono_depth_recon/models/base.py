"""The interface of every depth model, and the row of the table that describes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..config import ModelConfig
from ..decoding import MAX_MEGAPIXELS
from ..errors import DataError
from ..frames import Finish, Held, Prediction, Scale
from .hub import HubSource

BIGGEST_SIDE = 4096  # px of a network's input, as cards and files state it

View: TypeAlias = tuple[Rgb, PinholeCamera]
Output: TypeAlias = Literal["metric_depth", "relative_disparity"]


class PromptedView(tuple[Rgb, PinholeCamera]):
    """A View with depth that a prompted model is given beside the image: (h, w) metres at any resolution, NaN unknown.

    A model whose attribute `prompted` is true needs one; the others take it as any View.
    """

    prompt: Depth

    @classmethod
    def of(cls, view: View, prompt: Depth) -> PromptedView:
        """`view` with its prompt."""
        made = cls(view)
        made.prompt = prompt
        return made


class FinishedView(tuple[Rgb, PinholeCamera]):
    """A View with what is to be done with its depth, for a model whose attribute `finishes` is true.

    Such a model may leave it undone: `Prediction.finished` tells. Where a scale comes between, it predicts as ever and
    may keep the prediction on its device: `Prediction.held`, for a `ScaledView`.
    """

    finish: Finish

    @classmethod
    def of(cls, view: View, finish: Finish) -> FinishedView:
        """`view` with what follows its prediction."""
        made = cls(view)
        made.finish = finish
        return made


class ScaledView(FinishedView):
    """A FinishedView that was predicted, with the values that are held of it and the scale that was fitted to them."""

    values: object
    scale: Scale

    @classmethod
    def after(cls, view: View, held: Held, scale: Scale) -> ScaledView:
        """`view` with its `Prediction.held`."""
        made = cls(view)
        made.finish, made.values, made.scale = held.finish, held.values, scale
        return made


def possible_input(size: tuple[int, int], image: tuple[int, int]) -> tuple[int, int]:
    """`size` of a network's input for an `image`, both (columns, rows). Raises DataError where it has too many pixels.

    A network that keeps the aspect of a strip would get an input as long as the strip is.
    """
    if size[0] * size[1] > MAX_MEGAPIXELS * 1e6:
        raise DataError(
            f"an image of {image[0]}x{image[1]} pixels would be {size[0]}x{size[1]} at the input of the network, more "
            f"than {MAX_MEGAPIXELS:g} megapixels: crop it to a less elongated shape, or lower model.input_size"
        )
    return size


def finishes(model: DepthModel) -> bool:
    """Whether the model's device can do filters and back-projection too (`FinishedView`)."""
    return bool(getattr(model, "finishes", False))


def needs_prompt(model: DepthModel) -> bool:
    """Whether the model is given depth beside the image (`PromptedView`)."""
    return bool(getattr(model, "prompted", False))


class DepthModel(Protocol):
    """A loaded model on its runtime; not safe for use by two threads at once."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def output(self) -> Output:
        """Metres, or relative inverse depth."""

    @property
    def device(self) -> str:
        """Runtime, device and precision as shown to the user: 'openvino CPU f32'."""

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction per (rgb, rectified camera), at the size of its image, in arrays of its own."""

    def release_memory(self) -> None:
        """Releases working memory until the next `predict`; the weights stay."""


@dataclass(frozen=True)
class ModelSpec:
    """One row of the table. `load(settings, threads)` raises ModelError where weights or runtime are missing.

    `focal` describes which focal length the network assumes and how the camera's own comes in, for display.
    `random_weights(folder)` writes random weights in the same architecture and returns what `model.checkpoint` takes.
    `size_mb` is the size of the weights in megabytes (1e6 bytes), 0 where there are none to fetch; `hub` is where they
    are published, `command` what makes them where they are published as something else.
    """

    name: str
    output: Output
    licence: str
    source: str
    load: Callable[[ModelConfig, int], DepthModel]
    focal: str
    random_weights: Callable[[Path], Path]
    size_mb: float = 0.0
    hub: HubSource | None = None
    noncommercial: bool = False
    command: str = ""

    @property
    def obtained_by(self) -> str:
        """The command that fetches or makes the weights; empty where they are in the package."""
        return self.hub.fetch_command if self.hub is not None else self.command
