"""Every setting of a training run, read from YAML; unknown or missing keys stop with one line."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mono_depth_recon.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class NetworkSettings:
    """What the card says about the network (`mono_depth_recon.models.card`).

    `dropout` is the chance of a decoder channel to be dropped (0 = no dropout, and no MC dropout afterwards),
    `encoder_weights` where the encoder starts: "none" (random) or what segmentation_models_pytorch publishes for it
    ("imagenet"). Both may be left out, as settings written before them do.
    """

    name: str
    encoder: str
    decoder_channels: list[int]
    input_width: int
    input_height: int
    multiple: int
    mean: list[float]
    std: list[float]
    canonical_focal_px: float
    range_m: list[float]
    dropout: float = 0.0
    encoder_weights: str = "none"


@dataclass(frozen=True)
class RoomSettings:
    """Synthetic rooms: seeds from `first_seed` on for training, from `first_validation_seed` on for validation."""

    rooms: int
    validation_rooms: int
    frames_per_room: int
    first_seed: int
    first_validation_seed: int
    width: int
    height: int
    hfov_deg: list[float]
    tilt_deg: float


@dataclass(frozen=True)
class TumSettings:
    """Positions in rgb.txt (both ends included) that train and validate."""

    folder: str
    train: list[int]
    validation: list[int]


@dataclass(frozen=True)
class AugmentSettings:
    """Chances (0 to 1) and sizes of the random changes of one frame."""

    full_frame: float
    smallest_window: float
    aspect_jitter: float
    flip: float
    roll: float
    roll_deg: float
    gamma: float
    gain: float
    colour: float
    contrast: float
    grey: float
    blur: float
    blur_px: float
    noise: float
    noise_levels: float
    jpeg: float
    jpeg_quality: int


@dataclass(frozen=True)
class Stage:
    """One resolution of progressive training."""

    width: int
    height: int
    batch: int
    steps: int


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a linear warm-up, constant, and a cosine to zero over the last stage; EMA of the weights."""

    learning_rate: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    ema_decay: float


@dataclass(frozen=True)
class LossSettings:
    """Weight and scales of the gradient term beside the L1 of log depth."""

    gradient_weight: float
    gradient_scales: int


@dataclass(frozen=True)
class Settings:
    """One run.

    `rooms_share` is the share of each batch that comes from rooms (0 or 1: one source alone), `validation_frames` how
    many frames of each source validate at most.
    """

    seed: int
    threads: int
    bfloat16: bool
    rooms_share: float
    validate_every: int
    validation_frames: int
    network: NetworkSettings
    rooms: RoomSettings
    tum: TumSettings
    augment: AugmentSettings
    stages: list[Stage]
    optimiser: OptimiserSettings
    loss: LossSettings

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        """The stage that step (from 0) belongs to; past the end, the last."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]


def load_settings(path: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Settings of a YAML file; `overrides` maps dotted keys to YAML values (`optimiser.learning_rate: 1e-3`)."""
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings {path} cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"settings {path} must be YAML, got: {' '.join(str(error).split())}") from error
    for key, text in (overrides or {}).items():
        _override(tree, key, yaml.safe_load(text))
    return settings_of(tree, path)


def settings_of(tree: object, path: Path) -> Settings:
    """Settings of a tree of plain values, checked; `path` names it in errors. Keys with a default may be missing."""
    settings = _build(Settings, tree, str(path))
    _check(settings, path)
    return settings


def _override(tree: Any, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.get(parent) if isinstance(tree, dict) else None
    known = isinstance(tree, dict) and (last in tree or (parents == ["network"] and last in _OPTIONAL))
    if not isinstance(tree, dict) or not known:
        raise ConfigError(f"setting '{key}' does not exist")
    tree[last] = value


def _build(kind: type[T], tree: object, where: str) -> T:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    names = {field.name for field in fields}
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    got = set(tree) if isinstance(tree, dict) else set()
    if not isinstance(tree, dict) or needed - got or got - names:
        missing, unknown = (", ".join(sorted(map(str, keys))) or "none" for keys in (needed - got, got - names))
        raise ConfigError(f"{where}: wrong keys; missing: {missing}; unknown: {unknown}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in tree.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if typing.get_origin(kind) is list:
        if not isinstance(value, list):
            raise ConfigError(f"{where} must be a list, got {value!r}")
        return [_value(typing.get_args(kind)[0], item, where) for item in value]
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {kind.__name__}, got {value!r}")
    return value


_OPTIONAL = {field.name for field in dataclasses.fields(NetworkSettings) if field.default is not dataclasses.MISSING}


def _check(settings: Settings, path: Path) -> None:
    multiple = settings.network.multiple
    if not settings.stages or any(s.width % multiple or s.height % multiple for s in settings.stages):
        raise ConfigError(f"{path}: stages must be given, with sides that are multiples of {multiple}")
    if not 0 <= settings.rooms_share <= 1:
        raise ConfigError(f"{path}: rooms_share must be 0 to 1, got {settings.rooms_share:g}")
    if not 0 <= settings.network.dropout < 1:
        raise ConfigError(f"{path}: network.dropout must be from 0 to below 1, got {settings.network.dropout:g}")
