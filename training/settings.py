"""Every setting of a training run, read from YAML; unknown or missing keys stop with one line."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mono_depth_recon.errors import ConfigError

T = TypeVar("T")
PRECISIONS = ("float32", "decoder_bfloat16", "mixed")
SCHEDULES = ("warmup_cosine", "onecycle")
LOSSES = ("log_l1", "silog", "mse")
FORMS = ("log", "linear")
ATTENTIONS = ("none", "scse")


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
    attention: str = "none"
    form: str = "log"


@dataclass(frozen=True)
class ModelSettings:
    """The transformers model that is fine-tuned: a row of the table of models, or hf:FOLDER with its `output`.

    `checkpoint` names a folder of weights (empty: the hub's cache), `short_side` another input size (0: published).
    """

    name: str
    checkpoint: str = ""
    output: str = "auto"
    short_side: int = 0
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

    workers: int = 2
    cache: str = ""
    keep_frames: int = 2000


@dataclass(frozen=True)
class AugmentSettings:
    """Chances (0 to 1) and sizes of the random changes of one frame; the defaults change nothing.

    `full_frame` is the chance to see the whole frame; otherwise `crop` (a share of these) cuts a window that moves the
    principal point, and the rest turns the camera exactly. `rotate` turns the whole frame in its plane. `motion` blurs
    along a straight line of up to `motion_px` pixels.
    """

    full_frame: float = 1.0
    smallest_window: float = 1.0
    aspect_jitter: float = 0.0
    crop: float = 0.0
    rotate: float = 0.0
    rotate_deg: float = 0.0
    flip: float = 0.0
    roll: float = 0.0
    roll_deg: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0
    colour: float = 0.0
    contrast: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    blur_px: float = 1.5
    motion: float = 0.0
    motion_px: float = 6.0
    noise: float = 0.0
    noise_levels: float = 10.0
    jpeg: float = 0.0
    jpeg_quality: int = 40


@dataclass(frozen=True)
class Stage:
    """Some epochs at one resolution. An epoch has `steps` batches; 0: as many as show every frame once."""

    width: int
    height: int
    batch: int
    epochs: int
    steps: int = 0


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW; `schedule` "warmup_cosine" (constant until the last stage) or "onecycle" (Smith and Topin, 2018).

    `clip_norm` 0 clips nothing, `ema_decay` 0 averages nothing, `backbone_lr` is the share of `lr` that the encoder or
    backbone learns with (0: frozen).
    """

    lr: float
    weight_decay: float
    schedule: str = "warmup_cosine"
    warmup_steps: int = 0
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    backbone_lr: float = 1.0


@dataclass(frozen=True)
class LossSettings:
    """Which loss of metric models (`training.losses`), and weight and scales of the gradient term beside it.

    Relative models have one loss, whatever `kind` says.
    """

    kind: str = "log_l1"
    gradient_weight: float = 0.0
    gradient_scales: int = 4


@dataclass(frozen=True)
class ValidationSettings:
    """At most `frames` of each source validate, `turned` views of them too; `panels` of them become pictures.

    Training stops when `patience` epochs of the last resolution brought nothing better (0: it never does).
    """

    frames: int = 48
    turned: bool = False
    panels: int = 4
    patience: int = 0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What any training needs. `data` goes to `mono_depth_recon.datasets.training_data` as it is."""

    seed: int
    threads: int
    precision: str
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
        return _build(RoomSettings, given, "data.sources: rooms")

    @property
    def tum(self) -> TumSettings:
        """The first TUM source. ConfigError where the run has none."""
        source = self._first("tum")
        ends = [int(end) for end in str(source.get("train", "")).split("-") if end.isdigit()]
        if len(ends) != 2:
            raise ConfigError("data.sources: tum: train must be 'FIRST-LAST', positions in rgb.txt, got "
                              f"{source.get('train')!r}")
        return _build(TumSettings, {"folder": source.get("path"), "train": ends}, "data.sources: tum")

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


def read_tree(path: Path) -> Any:
    """The plain values of a YAML file. ConfigError where it cannot be read or is none."""
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"settings {path} cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"settings {path} must be YAML, got: {' '.join(str(error).split())}") from error


def overridden(tree: Any, overrides: Mapping[str, str]) -> Any:
    """The tree with some values changed; a number in a dotted key counts in a list (`stages.0.epochs`)."""
    import yaml

    for key, text in overrides.items():
        value = yaml.safe_load(text)
        if isinstance(value, str):
            value = _number(value)
        _override(tree, key, value)
    return tree


def assignments(words: Sequence[str]) -> dict[str, str]:
    """`key=value` words of a command line. ConfigError for one without a key or value."""
    pairs = dict(word.partition("=")[::2] for word in words)
    for word in words:
        if not all(word.partition("=")):
            raise ConfigError(f"expected KEY=VALUE, such as optimizer.lr=0.001, got '{word}'")
    return pairs


def _number(text: str) -> str | float:
    try:  # YAML takes 1e-3 for a word
        return float(text)
    except ValueError:
        return text


def settings_of(tree: object, path: Path, kind: type[T]) -> T:
    """Settings of a tree of plain values, checked; `path` names it in errors. Keys with a default may be missing."""
    settings = _build(kind, tree, str(path))
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
            tree = _child(tree, parent)
    if isinstance(tree, list) and last.isdigit() and int(last) < len(tree):
        tree[int(last)] = value
    elif isinstance(tree, dict) and (last in tree or parents[:1] == ["data"] or last in _keys(parents)):
        tree[last] = value
    else:
        raise ConfigError(f"setting '{key}' does not exist")


def _child(tree: Any, name: str) -> Any:
    if isinstance(tree, list) and name.isdigit() and int(name) < len(tree):
        return tree[int(name)]
    return tree.get(name) if isinstance(tree, dict) else None


def _keys(parents: list[str]) -> set[str]:
    """The keys that a section may have, given or not."""
    kind = _SECTIONS.get(parents[0]) if len(parents) == 1 else None
    return {known.name for known in dataclasses.fields(kind)} if kind else set()


def _build(kind: type[T], tree: object, where: str) -> T:
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    names = {known.name for known in fields}
    needed = {known.name for known in fields
              if known.default is dataclasses.MISSING and known.default_factory is dataclasses.MISSING}
    got = set(tree) if isinstance(tree, dict) else set()
    if not isinstance(tree, dict) or needed - got or got - names:
        missing, unknown = (", ".join(sorted(map(str, keys))) or "none" for keys in (needed - got, got - names))
        raise ConfigError(f"{where}: wrong keys; missing: {missing}; unknown: {unknown}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in tree.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind) or kind
    if origin is list and isinstance(value, list):
        return [_value(typing.get_args(kind)[0], item, where) for item in value]
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not origin:
        raise ConfigError(f"{where} must be {origin.__name__}, got {value!r}")
    return value


_SECTIONS: Mapping[str, Any] = types.MappingProxyType(
    {"network": NetworkSettings, "model": ModelSettings, "optimizer": OptimizerSettings, "loader": LoaderSettings,
     "augment": AugmentSettings, "loss": LossSettings, "validation": ValidationSettings})


def check_settings(settings: RunSettings, path: Path) -> None:
    """ConfigError (one line, naming the key) for values that no run can have."""
    stages = settings.stages
    if not stages or min(min(s.width, s.height, s.batch, s.epochs) for s in stages) < 1:
        raise ConfigError(f"{path}: stages must be given, with width, height, batch and epochs of at least 1")
    words = [("precision", settings.precision, PRECISIONS), ("loss.kind", settings.loss.kind, LOSSES),
             ("optimizer.schedule", settings.optimizer.schedule, SCHEDULES)]
    if isinstance(settings, Settings):
        network = settings.network
        words += [("network.attention", network.attention, ATTENTIONS), ("network.form", network.form, FORMS)]
        if any(s.width % network.multiple or s.height % network.multiple for s in stages):
            raise ConfigError(f"{path}: stages must have sides that are multiples of {network.multiple}")
        if not 0 <= network.dropout < 1:
            raise ConfigError(f"{path}: network.dropout must be from 0 to below 1, got {network.dropout:g}")
    for key, value, known in words:
        if value not in known:
            raise ConfigError(f"{path}: {key} must be one of {', '.join(known)}, got '{value}'")
    if not 0 <= settings.optimizer.ema_decay < 1:
        raise ConfigError(f"{path}: optimizer.ema_decay must be from 0 to below 1, got "
                          f"{settings.optimizer.ema_decay:g}")
    if not settings.optimizer.lr > 0:
        raise ConfigError(f"{path}: optimizer.lr must be positive, got {settings.optimizer.lr:g}")
