"""Depth models of the library transformers: DPT, Depth Anything, GLPN, ZoeDepth, Depth Pro, and any of its kind."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth, Rgb
from ..camera import PinholeCamera
from ..config import ModelConfig
from ..errors import ModelError
from ..frames import Prediction
from .base import Output, View
from .hub import CONFIG, PROCESSOR, HubSource, WeightFiles, fingerprint, local_files, obtain, parse_source, read_json
from .input_rule import InputRule, read_rule, with_short_side
from .runtimes import Network, Runtime, open_runtime
from .safetensors_file import check_safetensors

HF = "hf:"
CONFIGS = Path(__file__).parent / "hub_configs"
_NEAREST_M = 1e-3  # what rounding in a low precision may make zero or negative


@dataclass(frozen=True)
class Focal:
    """The focal length of the camera that a metric network was trained on, in pixels.

    `short_side_px` is the short side of that camera's image, where the network always sees the whole image at one
    size: what counts is the field of view. None where it sees the image at its own size: then pixels count.
    """

    focal_px: float
    short_side_px: int | None

    def scale(self, camera: PinholeCamera, size: tuple[int, int]) -> float:
        """Factor from what the network says to metres of `camera`, whose image it sees at `size` (columns, rows)."""
        if self.short_side_px is None:
            seen = camera.resized(*size)
            return math.sqrt(seen.fx * seen.fy) / self.focal_px
        own = math.sqrt(camera.fx * camera.fy) / min(camera.size)
        return own / (self.focal_px / self.short_side_px)


@dataclass(frozen=True)
class Checkpoint:
    """One published model: where it lies, the architecture that it must be, and what its numbers mean."""

    name: str
    hub: HubSource
    kind: str
    output: Output
    licence: str
    noncommercial: bool = False
    focal: Focal | None = None

    @property
    def committed(self) -> Path:
        """The published configuration and input rule, kept with their source."""
        return CONFIGS / f"{self.name}.json"


class TransformerDepthModel:
    """Resize as published, run, restore. `network.build().model` is transformers' own module.

    `rule` is how images reach the network; `focal` None means that its metres are taken as they are.
    """

    stochastic = False

    def __init__(
        self, name: str, output: Output, rule: InputRule, focal: Focal | None, network: Network, runtime: Runtime
    ) -> None:
        self.name, self.output = name, output
        self.rule, self.focal, self.network = rule, focal, network
        self.runtime = runtime

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self.runtime.device

    def network_input(self, view: View) -> NDArray[np.float32]:
        """(1, 3, rows, columns): what the network sees of a view."""
        return _as_batch(self.rule, view[0])

    def predict(self, batch: Sequence[View]) -> list[Prediction]:
        """One Prediction per view; views whose images need one network size run as one batch."""
        sizes = [self.rule.network_size(*camera.size) for _, camera in batch]
        results: list[Prediction | None] = [None] * len(batch)
        for size in dict.fromkeys(sizes):
            chosen = [i for i, s in enumerate(sizes) if s == size]
            output = self.runtime.run(np.stack([self.rule.blob(batch[i][0], size) for i in chosen]))
            for i, values in zip(chosen, output[:, 0], strict=True):
                results[i] = self._prediction(values, batch[i][1], size)
        return [result for result in results if result is not None]

    def release_memory(self) -> None:
        """Forwards to the runtime."""
        self.runtime.release_memory()

    def _prediction(self, values: Depth, camera: PinholeCamera, size: tuple[int, int]) -> Prediction:
        full = self.rule.restored(values, *camera.size)
        if self.output == "relative_disparity":
            return Prediction(disparity=np.maximum(full, 0))
        if self.rule.kind == "depth_pro":
            return Prediction(depth=_metres_of_depth_pro(full, camera))
        if self.focal is not None:
            full *= self.focal.scale(camera, size)
        return Prediction(depth=np.maximum(full, np.float32(_NEAREST_M)))


def _metres_of_depth_pro(inverse: Depth, camera: PinholeCamera) -> Depth:
    """Depth Pro answers inverse depth for a focal length of the image's width; limits as in its own processor."""
    inverse = np.clip(inverse * np.float32(camera.width / camera.fx), 1e-4, 1e4)
    return np.divide(1, inverse, dtype=np.float32)


def load_transformer(checkpoint: Checkpoint, settings: ModelConfig, threads: int) -> TransformerDepthModel:
    """A row of the table, from `settings.checkpoint` or the hub. Raises ModelError."""
    check_licence(checkpoint, settings)
    place = Path(settings.checkpoint).expanduser() if settings.checkpoint else obtain(checkpoint.hub, checkpoint.name)
    files = local_files(place)
    committed = read_json(checkpoint.committed)
    config = read_json(files.config) if files.config else committed["config"]
    if config.get("model_type") != checkpoint.kind:
        raise ModelError(
            f"{place} holds a model of type {config.get('model_type')!r}, {checkpoint.name} is "
            f"{checkpoint.kind!r}: set model.name to that model, or name another folder"
        )
    _check_meaning(config, committed["config"], place, checkpoint.name)
    processor = read_json(files.processor) if files.processor else committed["preprocessor"]
    return _opened(
        _Parts(checkpoint.name, checkpoint.output, files, config, processor, checkpoint.focal, checkpoint.hub.revision),
        settings,
        threads,
    )


def _check_meaning(config: Mapping[str, Any], published: Mapping[str, Any], place: Path, name: str) -> None:
    """ModelError where a folder's numbers mean something else than those of the row: another range or backbone.

    Another kind of output is left to `_check_output`.
    """
    if _kind(config) != _kind(published):
        return
    for key in ("max_depth", "is_hybrid"):
        if key in config and key in published and config[key] != published[key]:
            raise ModelError(
                f"{place} is not {name}: its {CONFIG} says {key} {config[key]!r}, published is "
                f"{published[key]!r}: set model.name to the model of these weights, or to hf:{place}"
            )
    if _width(config) != _width(published):
        for path in sorted(CONFIGS.glob("*.json")):  # a sibling of another size may be under another licence
            its = read_json(path)["config"]
            if (_kind(its), _reach(its), _width(its)) == (_kind(config), _reach(config), _width(config)):
                raise ModelError(f"{place} is not {name}: it has the size of {path.stem}, set model.name to that")


def _kind(config: Mapping[str, Any]) -> tuple[Any, Any]:
    return config.get("model_type"), config.get("depth_estimation_type", "relative")


def _reach(config: Mapping[str, Any]) -> Any:
    return config.get("max_depth") or 1


def _width(config: Mapping[str, Any]) -> Any:
    return (config.get("backbone_config") or {}).get("hidden_size", config.get("hidden_size"))


def load_named(settings: ModelConfig, threads: int, table: Mapping[str, Checkpoint]) -> TransformerDepthModel:
    """The model `hf:<id or folder>` of `settings.name`, an id with @revision if wanted. Raises ModelError.

    `table` holds the rows by repository in lower case, as the hub compares: licence and focal length hold here too.
    """
    text = settings.name.removeprefix(HF)
    if settings.output == "auto":
        raise ModelError(
            f"{settings.name} does not say what it answers: set model.output to metric_depth or relative_disparity"
        )
    if settings.checkpoint:
        raise ModelError(
            f"{settings.name} names its own weights: leave model.checkpoint empty, got '{settings.checkpoint}'"
        )
    folder, source, row = Path(text).expanduser(), None, None
    if not (text and folder.exists()):
        source = None if text.startswith((".", "/", "~")) else parse_source(text)
        if source is None:
            raise ModelError(
                f"{settings.name} must be hf: and the folder of a transformers model or its id "
                "organisation/name[@revision] on the hub; there is no such folder"
            )
        row = table.get(source.repo.lower())
        if row is not None:
            check_licence(row, settings)
        folder = obtain(source, settings.name)
    files = local_files(folder)
    if files.config is None or files.processor is None:
        lacking = PROCESSOR if files.config else CONFIG
        raise ModelError(f"{folder} holds no {lacking}, which says how the network is fed: copy the whole model")
    return _opened(
        _Parts(
            settings.name,
            settings.output,
            files,
            read_json(files.config),
            read_json(files.processor),
            row.focal if row else None,
            source.revision if source else "",
        ),
        settings,
        threads,
    )


def check_licence(checkpoint: Checkpoint, settings: ModelConfig) -> None:
    """ModelError for weights that forbid commercial use, unless `model.accept_noncommercial`."""
    if checkpoint.noncommercial and not settings.accept_noncommercial:
        raise ModelError(
            f"the weights of {checkpoint.name} ({checkpoint.hub.repo}) are under {checkpoint.licence}, "
            "which forbids commercial use: set model.accept_noncommercial to true where that is right, "
            "or choose another model"
        )


@dataclass(frozen=True)
class _Parts:
    """What a model is made of, whichever way it was named."""

    name: str
    output: Any
    files: WeightFiles
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    focal: Focal | None
    revision: str


def _opened(parts: _Parts, settings: ModelConfig, threads: int) -> TransformerDepthModel:
    if settings.uncertainty == "mc_dropout":
        raise ModelError(
            f"model.uncertainty mc_dropout needs a network with dropout, {parts.name} has none: choose "
            "unetpp_resnext50, or set model.uncertainty to flip"
        )
    _check_output(parts)
    for path in parts.files.weights:
        if path.suffix == ".safetensors":
            check_safetensors(path)
    published = read_rule(parts.processor, str(parts.files.processor or parts.name))
    rule = with_short_side(published, settings.input_size, _multiple(parts.config), parts.name)
    network = _network(parts, rule)
    return TransformerDepthModel(
        parts.name, parts.output, rule, parts.focal, network, open_runtime(network, settings, threads)
    )


def _network(parts: _Parts, rule: InputRule) -> Network:
    def build() -> Any:
        from .transformer_network import load_network

        return load_network(parts.config, parts.files, parts.name)

    identity = "\n".join(
        (json.dumps(parts.config, sort_keys=True), fingerprint(parts.files), parts.revision, _library_version())
    )
    return Network(
        parts.name,
        hashlib.sha256(identity.encode()).hexdigest(),
        build,
        parts.files.place,
        preprocess=lambda rgb: _as_batch(rule, rgb),
    )


def _as_batch(rule: InputRule, rgb: Rgb) -> NDArray[np.float32]:
    return rule.blob(rgb, rule.network_size(rgb.shape[1], rgb.shape[0]))[None]


def _check_output(parts: _Parts) -> None:
    """What a configuration says of its own output must be what is asked for."""
    kind = parts.config.get("model_type")
    relative: bool | None = None
    if kind in ("depth_anything", "prompt_depth_anything"):
        relative = parts.config.get("depth_estimation_type", "relative") == "relative"
    elif kind in ("glpn", "zoedepth", "depth_pro"):
        relative = False
    says = {True: "relative_disparity", False: "metric_depth", None: parts.output}[relative]
    if says != parts.output:
        raise ModelError(
            f"{parts.files.place} answers {says} by its {CONFIG}, {parts.name} is asked for "
            f"{parts.output}: name the weights or model.output that fit"
        )


def _multiple(config: Mapping[str, Any]) -> int:
    """What the network needs of each side of its input."""
    kind = config.get("model_type")
    if kind in ("glpn", "zoedepth", "depth_pro"):
        return 1  # their processors say it
    backbone = config.get("backbone_config") or {}
    patch = backbone.get("patch_size") or config.get("patch_size") or 16
    return int(patch) * (2 if kind == "dpt" else 1)  # DPT's neck halves the grid of patches once


def _library_version() -> str:
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return "no transformers"
