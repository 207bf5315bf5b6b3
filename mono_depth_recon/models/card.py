"""The JSON card beside a U-Net++ checkpoint: what the weights are and how images must reach them. No torch here."""

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
from ..errors import ModelError

FORMAT = 1


@dataclass(frozen=True)
class SigmaFit:
    """What makes sigma of the spread of several predictions: temperature * sqrt(spread^2 + (floor * depth)^2).

    Both are fitted on scenes of known depth (`training.calibrate_sigma`). The floor, a share of depth, stands for the
    errors that all predictions have in common: the spread does not see them.
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
    """What the code needs of a card; `text` keeps the whole of it (training, attribution, figures, licence).

    The network takes `image` (N, 3, rows, columns) float32 = (rgb / 255 - mean) / std and gives `depth`
    (N, 1, rows, columns) float32 in metres for a camera of `canonical_focal_px` at the input's size:
    metres of another camera = depth * focal_scale(camera). Its depths lie in `range_m`. `dropout` is the
    chance that a channel of the decoder is dropped in training and for mc_dropout; `sigma_fits` maps a kind
    of uncertainty to what `training.calibrate_sigma` found for its sigma; `attention` of the decoder is "none" or
    SMP's "scse"; `form` is the meaning of the last channel: "log" of depth, or "linear", 1 at the far end of the range.
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

    def input_size(self, width: int, height: int, short_side: int = 0) -> tuple[int, int]:
        """(columns, rows) of the network's input for an image of width x height pixels, with the image's aspect.

        The card's area, or `short_side` pixels (`model.input_size`) where it is not 0; each side goes to the nearest
        multiple: 640x480 gives 320x256.
        """
        root = math.sqrt(self.input_width * self.input_height)
        aspect = math.sqrt(width / height)
        if short_side:
            root = short_side * max(aspect, 1 / aspect)
        return self._nearest(root * aspect), self._nearest(root / aspect)

    def focal_scale(self, camera: PinholeCamera) -> float:
        """Factor from the network's depth to metres of a rectified `camera` whose image fills `input_size`.

        The same for every `short_side`: a view keeps its depth, as in training at growing resolution. Counting the
        focal length in pixels of a smaller input instead is worse (unetpp_mobile on rooms at 160x128: AbsRel 0.57
        against 0.37).
        """
        columns, rows = self.input_size(*camera.size)
        focal_px = math.sqrt(camera.fx * columns / camera.width * camera.fy * rows / camera.height)
        return focal_px / self.canonical_focal_px

    def _nearest(self, side: float) -> int:
        return max(1, round(side / self.multiple)) * self.multiple


def load_card(path: Path | str) -> ModelCard:
    """Reads and checks a card. ModelError where it is missing, no JSON, of another format or incomplete."""
    path = Path(path)
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"model card {path} cannot be read ({error.strerror}): name the .json beside the weights"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"model card {path} must be JSON text, got: {error}") from error
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        got = text.get("format") if isinstance(text, dict) else type(text).__name__
        raise ModelError(f"model card {path} must be a JSON object of format {FORMAT}, got {got!r}")
    return _card(path, _Reader(path, text))


def _card(path: Path, read: _Reader) -> ModelCard:
    read.expect("architecture.family", "unetplusplus")
    read.expect("output.kind", "metric_depth")
    multiple, width, height = (read.count(f"input.{key}") for key in ("multiple", "width", "height"))
    if width % multiple or height % multiple:
        raise read.error("input", f"sides that are multiples of {multiple}", f"{width}x{height}")
    low, high = read.numbers("range_m", 2)
    if not 0 < low < high:
        raise read.error("range_m", "0 < nearest < farthest", [low, high])
    mean, std = read.numbers("normalisation.mean", 3), read.positive("normalisation.std", 3)
    focal = read.positive("canonical_focal_px", 1)
    return ModelCard(
        path=path,
        name=read.string("name"),
        encoder=read.string("architecture.encoder"),
        decoder_channels=read.counts("architecture.decoder_channels"),
        input_width=width,
        input_height=height,
        multiple=multiple,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        canonical_focal_px=focal[0],
        range_m=(low, high),
        text=read.text,
        dropout=_dropout(read),
        sigma_fits=_sigma_fits(read),
        attention=read.choice("architecture.attention", ("none", "scse")),
        form=read.choice("output.form", ("log", "linear")),
    )


def _dropout(read: _Reader) -> float:
    key = "architecture.dropout"
    if not read.has(key):
        return 0.0
    if not 0 <= (chance := read.numbers(key, 1)[0]) < 1:
        raise read.error(key, "a chance from 0 to below 1", chance)
    return chance


def _sigma_fits(read: _Reader) -> dict[str, SigmaFit]:
    fits = {}
    for kind in read.mapping("sigma") if read.has("sigma") else {}:
        floor = f"sigma.{kind}.floor"
        share = read.numbers(floor, 1)[0] if read.has(floor) else 0.0
        if share < 0:
            raise read.error(floor, "at least 0", share)
        fits[kind] = SigmaFit(read.positive(f"sigma.{kind}.temperature", 1)[0], share)
    return fits


class _Reader:
    """Typed look-ups of dotted keys; every failure names card, key, what was expected and what came."""

    def __init__(self, path: Path, text: Mapping[str, Any]) -> None:
        self.path, self.text = path, text

    def error(self, key: str, expected: str, got: object) -> ModelError:
        return ModelError(f"model card {self.path}: '{key}' must be {expected}, got {got!r}")

    def value(self, key: str) -> Any:
        node: Any = self.text
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                raise self.error(key, "given", None)
            node = node[part]
        return node

    def has(self, key: str) -> bool:
        node: Any = self.text
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return False
            node = node[part]
        return True

    def mapping(self, key: str) -> Mapping[str, Any]:
        if not isinstance(got := self.value(key), dict):
            raise self.error(key, "an object", got)
        return got

    def expect(self, key: str, expected: str) -> None:
        if (got := self.value(key)) != expected:
            raise self.error(key, f"'{expected}'", got)

    def string(self, key: str) -> str:
        if not isinstance(got := self.value(key), str) or not got:
            raise self.error(key, "text", got)
        return got

    def choice(self, key: str, known: tuple[str, ...]) -> str:
        """One of `known`, the first where the card does not say."""
        got = self.value(key) if self.has(key) else known[0]
        if got not in known:
            raise self.error(key, " or ".join(known), got)
        return str(got)

    def count(self, key: str) -> int:
        return self._check_count(key, self.value(key))

    def counts(self, key: str) -> tuple[int, ...]:
        if not isinstance(got := self.value(key), list) or not got:
            raise self.error(key, "a list of whole numbers", got)
        return tuple(self._check_count(key, value) for value in got)

    def numbers(self, key: str, length: int) -> tuple[float, ...]:
        got = self.value(key)
        values = got if isinstance(got, list) else [got]
        if len(values) != length or not all(_is_number(v) for v in values):
            raise self.error(key, f"{length} finite number(s)", got)
        return tuple(float(v) for v in values)

    def positive(self, key: str, length: int) -> tuple[float, ...]:
        if min(values := self.numbers(key, length)) <= 0:
            raise self.error(key, "positive", self.value(key))
        return values

    def _check_count(self, key: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(key, "a whole number of at least 1", value)
        return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
