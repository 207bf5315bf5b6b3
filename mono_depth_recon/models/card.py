"""The JSON card beside a U-Net++ checkpoint: what the weights are and how images are prepared. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Depth
from ..camera import PinholeCamera
from ..config import build, param, read_json, shown
from ..errors import ConfigError, ModelError
from .base import BIGGEST_SIDE, possible_input

FORMAT = 1
HEADS = ("full", "half")
_SMALL, _LARGE = 1e-9, 1_000_000  # no card has numbers beyond these


@dataclass(frozen=True)
class SigmaFit:
    """Turns the spread of several predictions into sigma: temperature * sqrt(spread^2 + (floor * depth)^2).

    Both are fitted on scenes of known depth (`training.calibrate_sigma`). The floor, a share of depth, accounts for the
    errors that all predictions share, which the spread cannot show.
    """

    temperature: float = 1.0
    floor: float = 0.0

    def sigma(self, spread: Depth, depth: Depth) -> Depth:
        """(H, W) metres, from spread and depth (H, W) in metres."""
        if self.floor:
            spread = np.hypot(spread, np.float32(self.floor) * depth)
        return spread * np.float32(self.temperature)


@dataclass(frozen=True)
class ModelCard:
    """What the code reads of a card; `text` keeps all of it (training, attribution, figures, licence).

    The network takes `image` (N, 3, rows, columns) float32 = (rgb / 255 - mean) / std and gives `depth`
    (N, 1, rows, columns) float32 in metres for a camera of `canonical_focal_px` at the input's size:
    metres of another camera = depth * focal_scale(camera). Its depths lie in `range_m`. `dropout` is the
    chance that a channel of the decoder is dropped in training and for mc_dropout; `sigma_fits` maps a kind
    of uncertainty to what `training.calibrate_sigma` found for its sigma; `attention` of the decoder is "none" or
    SMP's "scse"; `form` is the meaning of the last channel: "log" of depth, or "linear", 1 at the far end of the range;
    `head` "half" ends the decoder at half the input's size, and a sub-pixel convolution doubles it; `size_exponent` is
    explained at `focal_scale`, `weights_sha256` is that of the safetensors file.
    Cards without these keys load.
    """

    path: Path
    name: str
    encoder: str
    decoder_channels: tuple[int, ...]
    input_width: int
    input_height: int
    multiple: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    canonical_focal_px: float
    range_m: tuple[float, float]
    text: Mapping[str, Any] = field(repr=False)
    dropout: float = 0.0
    sigma_fits: Mapping[str, SigmaFit] = field(default_factory=dict)
    attention: str = "none"
    form: str = "log"
    head: str = "full"
    size_exponent: float = 0.0
    weights_sha256: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes with the card and with the files of its weights."""
        digest = hashlib.sha256(json.dumps(self.text, sort_keys=True).encode())
        for path in (self.weights_path, self.onnx_path):
            if path.is_file():
                digest.update(f"{path.suffix} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
        return digest.hexdigest()

    @property
    def weights_path(self) -> Path:
        """The safetensors file beside the card."""
        return self.path.with_suffix(".safetensors")

    @property
    def onnx_path(self) -> Path:
        """The ONNX copy of the weights beside the card."""
        return self.path.with_suffix(".onnx")

    def check_weights(self) -> None:
        """ModelError where the safetensors file is there and not the one that the card was written for.

        Some runtimes compute with damaged weights and make NaN look like depth. A card without checksum passes.
        """
        path = self.weights_path
        if not self.weights_sha256 or not path.is_file():
            return
        try:
            found = sha256_of(path)
        except OSError as error:
            raise ModelError(f"weights {path} cannot be read: {error.strerror}") from error
        if found != self.weights_sha256:
            raise ModelError(
                f"weights {path} are not those of card {self.path.name}, they are cut off, changed or of another model "
                "(SHA-256): copy both files again"
            )

    def input_size(self, width: int, height: int, short_side: int = 0) -> tuple[int, int]:
        """(columns, rows) of the network's input for an image of width x height pixels, with the image's aspect.

        The card's area, or `short_side` pixels (`model.input_size`) where it is not 0; each side goes to the nearest
        multiple: 640x480 gives 320x256. Raises DataError where the input would be too large.
        """
        root = math.sqrt(self.input_width * self.input_height)
        aspect = math.sqrt(width / height)
        if short_side:
            root = short_side * max(aspect, 1 / aspect)
        return possible_input((self._nearest(root * aspect), self._nearest(root / aspect)), (width, height))

    def focal_scale(self, camera: PinholeCamera, short_side: int = 0) -> float:
        """Factor from the network's depth to metres of a rectified `camera` whose image fills `input_size`.

        The focal length counts in pixels of the card's own input size. At another `short_side` the factor also grows
        with the size to the power of `size_exponent`: 0 for a network that knows a view whatever its size, 1 for one
        that knows pixels alone, in between as measured on validation frames.
        """
        columns, rows = self.input_size(*camera.size)
        focal_px = math.sqrt(camera.fx * columns / camera.width * camera.fy * rows / camera.height)
        wide, high = self.input_size(*camera.size, short_side)
        return focal_px / self.canonical_focal_px * (wide * high / (columns * rows)) ** (self.size_exponent / 2)

    def _nearest(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_card(path: Path | str) -> ModelCard:
    """Reads and checks a card. ModelError where it is missing, not JSON, of another format, incomplete or wrong."""
    path = Path(path)
    what = "model card"
    try:
        text = read_json(path, what, "name the .json beside the weights")
        if not isinstance(text, dict) or text.get("format") != FORMAT:
            got = text.get("format") if isinstance(text, dict) else type(text).__name__
            raise ConfigError(f"{what} {path} must be a JSON object of format {FORMAT}, got {shown(got)}")
        return _card(path, text, build(_CardText, text, f"{what} {path}", noun="key", ignore_unknown=True))
    except ConfigError as error:
        raise ModelError(str(error)) from error


def _card(path: Path, text: Mapping[str, Any], read: _CardText) -> ModelCard:
    return ModelCard(
        path=path,
        name=read.name,
        encoder=read.architecture.encoder,
        decoder_channels=read.architecture.decoder_channels,
        input_width=read.input.width,
        input_height=read.input.height,
        multiple=read.input.multiple,
        mean=read.normalisation.mean,
        std=read.normalisation.std,
        canonical_focal_px=read.canonical_focal_px,
        range_m=read.range_m,
        text=text,
        dropout=read.architecture.dropout,
        sigma_fits={kind: SigmaFit(fit.temperature, fit.floor) for kind, fit in read.sigma.items()},
        attention=read.architecture.attention,
        form=read.output.form,
        head=read.architecture.head,
        size_exponent=read.output.size_exponent,
        weights_sha256=read.weights_sha256,
    )


@dataclass(frozen=True)
class _Architecture:
    family: str = param(choices=("unetplusplus",))
    encoder: str = param()
    decoder_channels: tuple[int, ...] = param(low=1, high=_LARGE)
    dropout: float = param(0.0, low=0, high=0.999)
    attention: str = param("none", choices=("none", "scse"))
    head: str = param("full", choices=HEADS)

    def __post_init__(self) -> None:
        if not self.encoder:
            raise ConfigError("encoder must be given, got an empty text")


@dataclass(frozen=True)
class _Input:
    width: int = param(unit="px", low=1, high=BIGGEST_SIDE)
    height: int = param(unit="px", low=1, high=BIGGEST_SIDE)
    multiple: int = param(unit="px", low=1, high=BIGGEST_SIDE)

    def __post_init__(self) -> None:
        if self.width % self.multiple or self.height % self.multiple:
            raise ConfigError(
                f"width and height must be multiples of {self.multiple}, got {self.width} and {self.height}"
            )


@dataclass(frozen=True)
class _Normalisation:
    mean: tuple[float, float, float] = param(low=-_LARGE, high=_LARGE)
    std: tuple[float, float, float] = param(low=_SMALL, high=_LARGE)


@dataclass(frozen=True)
class _Output:
    kind: str = param(choices=("metric_depth",))
    form: str = param("log", choices=("log", "linear"))
    size_exponent: float = param(0.0, low=-4, high=4)


@dataclass(frozen=True)
class _Sigma:
    temperature: float = param(low=_SMALL, high=_LARGE)
    floor: float = param(0.0, low=0, high=_LARGE)


@dataclass(frozen=True, kw_only=True)
class _CardText:
    """The keys of a card that the code reads; all others are for readers."""

    name: str = param()
    architecture: _Architecture
    input: _Input
    normalisation: _Normalisation
    output: _Output
    canonical_focal_px: float = param(unit="px", low=_SMALL, high=_LARGE)
    range_m: tuple[float, float] = param(unit="m", low=_SMALL, high=_LARGE)
    sigma: Mapping[str, _Sigma] = field(default_factory=dict)
    weights_sha256: str = param("")

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("name must be given, got an empty text")
        near, far = self.range_m
        if not near < far:
            raise ConfigError(f"range_m must be nearest < farthest, got {[near, far]}")
