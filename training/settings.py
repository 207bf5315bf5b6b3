"""Every setting of a training run with its limits, read from YAML; what no run can have stops with one line."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from mono_depth_recon.config import parameter
from mono_depth_recon.errors import ConfigError

from .settings_limits import Limits, build
from .settings_text import child, number, parsed, read_tree

T = TypeVar("T")
PRECISIONS = ("float32", "decoder_bfloat16", "mixed")
SCHEDULES = ("warmup_cosine", "onecycle")
LOSSES = ("log_l1", "berhu", "silog", "mse")
FORMS = ("log", "linear")
ATTENTIONS = ("none", "scse")
HALVINGS = 5  # stages of the encoder, each half as large as the one before

Chance: TypeAlias = Annotated[float, Limits(0, 1)]
Change: TypeAlias = Annotated[float, Limits(0, 3)]  # natural logarithm of a factor, either way
Degrees: TypeAlias = Annotated[float, Limits(0, 180, "deg")]
Side: TypeAlias = Annotated[int, Limits(8, 8192, "px")]
Count: TypeAlias = Annotated[int, Limits(1, 999_999)]
CountOrNone: TypeAlias = Annotated[int, Limits(0, 999_999)]  # 0: none, or without a bound


@dataclass(frozen=True)
class NetworkSettings:
    """What the card says about the network (`mono_depth_recon.models.card`).

    `dropout` is the chance of a decoder channel to be dropped (0 = no dropout, and no MC dropout afterwards),
    `encoder_weights` where the encoder starts: "none" (random) or what segmentation_models_pytorch publishes for it
    ("imagenet"), `attention` of the decoder "none" or "scse", `form` what the last channel is: "log" of depth, or
    "linear" in it, 1 at the far end of the range.
    """

    name: str
    encoder: str
    decoder_channels: Annotated[list[int], Limits(1, 8192, length=HALVINGS)]
    input_width: Side
    input_height: Side
    multiple: Annotated[int, Limits(2**HALVINGS, 1024, "px")]
    mean: Annotated[list[float], Limits(-1000, 1000, length=3)]
    std: Annotated[list[float], Limits(1e-6, 1000, length=3)]
    canonical_focal_px: Annotated[float, Limits(1, 100_000, "px")]
    range_m: Annotated[list[float], Limits(1e-6, 100_000, "m", length=2)]
    dropout: Annotated[float, Limits(0, 0.99)] = 0.0
    encoder_weights: str = "none"
    attention: Annotated[str, Limits(choices=ATTENTIONS)] = "none"
    form: Annotated[str, Limits(choices=FORMS)] = "log"


@dataclass(frozen=True)
class ModelSettings:
    """The transformers model that is fine-tuned: a row of the table of models, or hf:FOLDER with its `output`.

    `checkpoint` names a folder of weights (empty: the hub's cache), `short_side` another input size (0: published).
    """

    name: str
    checkpoint: str = ""
    output: Annotated[str, Limits(choices=parameter("model.output").choices)] = "auto"
    short_side: Annotated[int, Limits(0, parameter("model.input_size").high, "px")] = 0
    accept_noncommercial: bool = False


@dataclass(frozen=True)
class RoomSettings:
    """Synthetic rooms: seeds from `first_seed` on; sizes in pixels, angles in degrees."""

    rooms: int
    frames_per_room: int
    first_seed: int
    width: int
    height: int
    hfov_deg: list[float]
    tilt_deg: float


@dataclass(frozen=True)
class TumSettings:
    """A TUM folder below the data folder, and the positions in rgb.txt (both ends included) that train."""

    folder: str
    train: list[int]


@dataclass(frozen=True)
class LoaderSettings:
    """How frames reach the network: loading processes, and what is kept prepared in `cache` (empty: the user's).

    Rendered frames are kept always, others where a source has at most `keep_frames` of them.
    """

    workers: Annotated[int, Limits(0, 1024)] = 2
    cache: str = ""
    keep_frames: Annotated[int, Limits(0, 10**9)] = 2000


@dataclass(frozen=True)
class AugmentSettings:
    """Chances (0 to 1) and sizes of the random changes of one frame; the defaults change nothing.

    `full_frame` is the chance to see the whole frame; otherwise `crop` (a share of these) cuts a window that moves the
    principal point, and the rest turns the camera exactly. `rotate` turns the whole frame in its plane. `motion` blurs
    along a straight line of up to `motion_px` pixels. Random sizes begin at 0.3 (blur) and 1
    (motion, noise), JPEG quality ends at 95.
    """

    full_frame: Chance = 1.0
    smallest_window: Annotated[float, Limits(0.01, 1)] = 1.0
    aspect_jitter: Change = 0.0
    crop: Chance = 0.0
    rotate: Chance = 0.0
    rotate_deg: Degrees = 0.0
    flip: Chance = 0.0
    roll: Chance = 0.0
    roll_deg: Degrees = 0.0
    gamma: Change = 0.0
    gain: Change = 0.0
    colour: Change = 0.0
    contrast: Change = 0.0
    grey: Chance = 0.0
    blur: Chance = 0.0
    blur_px: Annotated[float, Limits(0.3, 100, "px")] = 1.5
    motion: Chance = 0.0
    motion_px: Annotated[float, Limits(1, 200, "px")] = 6.0
    noise: Chance = 0.0
    noise_levels: Annotated[float, Limits(1, 255)] = 10.0
    jpeg: Chance = 0.0
    jpeg_quality: Annotated[int, Limits(1, 95)] = 40


@dataclass(frozen=True)
class Stage:
    """Some epochs at one resolution. An epoch has `steps` batches; 0: as many as show every frame once."""

    width: Side
    height: Side
    batch: Count
    epochs: Count
    steps: CountOrNone = 0


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW; `schedule` "warmup_cosine" (constant until the last stage) or "onecycle" (Smith and Topin, 2018).

    `clip_norm` 0 clips nothing, `ema_decay` 0 averages nothing, `backbone_lr` is the share of `lr` that the encoder or
    backbone learns with (0: frozen).
    """

    lr: Annotated[float, Limits(1e-12, 10)]
    weight_decay: Annotated[float, Limits(0, 10)]
    schedule: Annotated[str, Limits(choices=SCHEDULES)] = "warmup_cosine"
    warmup_steps: CountOrNone = 0
    clip_norm: Annotated[float, Limits(0, 1e6)] = 0.0
    ema_decay: Annotated[float, Limits(0, 0.999999)] = 0.0
    backbone_lr: Annotated[float, Limits(0, 100)] = 1.0


@dataclass(frozen=True)
class LossSettings:
    """Which loss of metric models (`training.losses`), and weight and scales of the gradient term beside it.

    Relative models have one loss, whatever `kind` says.
    """

    kind: Annotated[str, Limits(choices=LOSSES)] = "log_l1"
    gradient_weight: Annotated[float, Limits(0, 1000)] = 0.0
    gradient_scales: Annotated[int, Limits(1, 10)] = 4


@dataclass(frozen=True)
class ValidationSettings:
    """At most `frames` of each source validate, `turned` views of them too; `panels` of them become pictures.

    Training stops when `patience` epochs of the last resolution brought nothing better (0: it never does).
    """

    frames: Count = 48
    turned: bool = False
    panels: Annotated[int, Limits(0, 1000)] = 4
    patience: CountOrNone = 0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What any training needs. `data` goes to `mono_depth_recon.datasets.mixture.training_data` as it is."""

    seed: Annotated[int, Limits(0, 4e9)]
    threads: Annotated[int, Limits(1, 1024)]
    precision: Annotated[str, Limits(choices=PRECISIONS)]
    data: dict[str, Any]
    stages: list[Stage]
    optimizer: OptimizerSettings
    loader: LoaderSettings = field(default_factory=LoaderSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    validation: ValidationSettings = field(default_factory=ValidationSettings)

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def stage_at(self, epoch: int) -> Stage:
        """The stage that an epoch (from 0) belongs to; past the end, the last."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        return self.stages[-1]

    def sources(self, kind: str) -> list[dict[str, Any]]:
        """The data sources of one kind."""
        return [source for source in self.data.get("sources", []) if source.get("kind") == kind]


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """A run of a U-Net++."""

    network: NetworkSettings

    @property
    def rooms(self) -> RoomSettings:
        """The first source of rooms. ConfigError where the run has none."""
        source = self._first("rooms")
        names = {known.name for known in dataclasses.fields(RoomSettings)}
        given = {name: source[name] for name in names & source.keys()}
        given["hfov_deg"] = [source.get("min_hfov_deg", 45.0), source.get("max_hfov_deg", 95.0)]
        return build(RoomSettings, given, "data.sources: rooms")

    @property
    def tum(self) -> TumSettings:
        """The first TUM source. ConfigError where the run has none."""
        source = self._first("tum")
        ends = [int(end) for end in str(source.get("train", "")).split("-") if end.isdigit()]
        if len(ends) != 2:
            raise ConfigError(
                f"data.sources: tum: train must be 'FIRST-LAST', positions in rgb.txt, got {source.get('train')!r}"
            )
        return build(TumSettings, {"folder": source.get("path"), "train": ends}, "data.sources: tum")

    def _first(self, kind: str) -> dict[str, Any]:
        if not (found := self.sources(kind)):
            raise ConfigError(f"data.sources must hold one of kind {kind}, these settings have none")
        return found[0]


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(RunSettings):
    """A run that goes on from published weights of a transformers model."""

    model: ModelSettings


def load_settings(path: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Settings of a YAML file; `overrides` maps dotted keys to YAML values (`optimizer.lr: 1e-3`)."""
    return load_run(path, Settings, overrides)


def load_run(path: Path, kind: type[T], overrides: Mapping[str, str] | None = None) -> T:
    """Settings of one kind (`Settings`, `FinetuneSettings`) of a YAML file. Raises ConfigError."""
    return settings_of(overridden(read_tree(path), overrides or {}), path, kind)


def overridden(tree: Any, overrides: Mapping[str, str]) -> Any:
    """The tree with some values changed; a number in a dotted key counts in a list (`stages.0.epochs`). ConfigError."""
    for key, text in overrides.items():
        value = parsed(text, f"{key}={text}")
        if isinstance(value, str):
            value = number(value)
        _override(tree, key, value)
    return tree


def settings_of(tree: object, path: Path, kind: type[T]) -> T:
    """Settings of a tree of plain values, checked; `path` names it in errors. Keys with a default may be missing."""
    settings = build(kind, tree, str(path))
    assert isinstance(settings, RunSettings), "kinds of settings are kinds of runs"
    check_settings(settings, path)
    return settings


def plain(settings: RunSettings) -> dict[str, Any]:
    """The settings as plain values, as YAML and checkpoints keep them."""
    return dataclasses.asdict(settings)


def _override(tree: Any, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        if isinstance(tree, dict) and parent in _SECTIONS:
            tree = tree.setdefault(parent, {})
        else:
            tree = child(tree, parent)
    if isinstance(tree, list) and last.isdigit() and int(last) < len(tree):
        tree[int(last)] = value
    elif isinstance(tree, dict) and (last in tree or parents[:1] == ["data"] or last in _keys(parents)):
        tree[last] = value
    else:
        raise ConfigError(f"setting '{key}' does not exist")


def _keys(parents: list[str]) -> set[str]:
    """The keys that a section, or one of the stages, may have, given or not."""
    if not parents:
        return set(_SECTIONS)
    kind = _SECTIONS.get(".".join(parent for parent in parents if not parent.isdigit()))
    return {known.name for known in dataclasses.fields(kind)} if kind else set()


_SECTIONS: Mapping[str, Any] = types.MappingProxyType(
    {
        "network": NetworkSettings,
        "model": ModelSettings,
        "optimizer": OptimizerSettings,
        "loader": LoaderSettings,
        "augment": AugmentSettings,
        "stages": Stage,
        "loss": LossSettings,
        "validation": ValidationSettings,
    }
)


def check_settings(settings: RunSettings, path: Path) -> None:
    """ConfigError (one line, naming the key) for values that do not go with others."""
    if not isinstance(settings, Settings):
        return
    network = settings.network
    if not re.fullmatch(r"[\w-]+", network.name):
        raise ConfigError(
            f"{path}: network.name must be letters, digits, _ or -, as files are called by it, got {network.name!r}"
        )
    near, far = network.range_m
    if not near < far:
        raise ConfigError(f"{path}: network.range_m must be nearest < farthest, got {network.range_m}")
    _check_multiples(settings, path)


def _check_multiples(settings: Settings, path: Path) -> None:
    """Sides that the network can halve as often as it does."""
    network = settings.network
    sides = {"network.input_width": network.input_width, "network.input_height": network.input_height}
    for i, stage in enumerate(settings.stages):
        sides |= {f"stages.{i}.width": stage.width, f"stages.{i}.height": stage.height}
    rules = [
        ("network.multiple", network.multiple, 2**HALVINGS),
        *((key, side, network.multiple) for key, side in sides.items()),
    ]
    for key, value, base in rules:
        if value % base:
            raise ConfigError(f"{path}: {key} must be a multiple of {base}, got {value}")
