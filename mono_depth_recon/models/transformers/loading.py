"""Loads a model of transformers, from a row of the table or `hf:<id or folder>`, on its runtime."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ...config import ModelConfig
from ...errors import ModelError
from ...paths import expanded
from ..base import Output
from ..hub import CONFIG, HF, PROCESSOR, WeightFiles, fingerprint, local_files, obtain, parse_source, read_json
from ..runtimes import Network, open_runtime
from ..safetensors_file import check_safetensors
from . import checkpoint as checkpoints
from .checkpoint import Checkpoint, check_licence
from .families import family_of, read_rule
from .family import Family
from .input_rule import InputRule
from .model import Parts, TransformerDepthModel, as_batch
from .prompted import PromptedDepthModel, example_input


def load_checkpoint(checkpoint: Checkpoint, settings: ModelConfig, threads: int) -> TransformerDepthModel:
    """A row of the table, from `settings.checkpoint` or the hub. Raises ModelError."""
    check_licence(checkpoint, settings)
    place = expanded(settings.checkpoint) if settings.checkpoint else obtain(checkpoint.hub, checkpoint.name)
    files = local_files(place)
    committed = read_json(checkpoint.committed)
    config = read_json(files.config) if files.config else committed["config"]
    if config.get("model_type") != checkpoint.family.model_type:
        raise ModelError(
            f"{place} holds a model of type {config.get('model_type')!r}, {checkpoint.name} is "
            f"{checkpoint.family.model_type!r}: set model.name to that model, or name another folder"
        )
    _check_meaning(checkpoint, config, committed["config"], place)
    parts = Parts(
        checkpoint.name,
        checkpoint.output,
        checkpoint.family,
        files,
        config,
        read_json(files.processor) if files.processor else committed["preprocessor"],
        checkpoint.focal if settings.focal_scaling else None,
        checkpoint.hub.revision,
    )
    return _opened(parts, settings, threads)


def load_named(settings: ModelConfig, threads: int, table: Mapping[str, Checkpoint]) -> TransformerDepthModel:
    """The model `hf:<id or folder>` of `settings.name`, an id optionally with @revision. Raises ModelError.

    `table` holds the rows by repository in lower case, as the hub compares: licence and focal length hold here too.
    """
    if settings.output == "auto":
        raise ModelError(
            f"{settings.name} does not state what it predicts: set model.output to metric_depth or relative_disparity"
        )
    if settings.checkpoint:
        raise ModelError(
            f"{settings.name} names its own weights: leave model.checkpoint empty, got '{settings.checkpoint}'"
        )
    files, row, revision = _named_files(settings, table)
    if files.config is None or files.processor is None:
        lacking = PROCESSOR if files.config else CONFIG
        raise ModelError(
            f"{files.place} holds no {lacking}, which describes the input of the network: copy the whole model"
        )
    config = read_json(files.config)
    parts = Parts(
        settings.name,
        cast(Output, settings.output),
        family_of(config),
        files,
        config,
        read_json(files.processor),
        row.focal if row and settings.focal_scaling else None,
        revision,
    )
    return _opened(parts, settings, threads)


def _named_files(settings: ModelConfig, table: Mapping[str, Checkpoint]) -> tuple[WeightFiles, Checkpoint | None, str]:
    """The files that a name hf:... stands for, the row of the table of the same repository, and the revision."""
    text = settings.name.removeprefix(HF)
    folder = expanded(text)
    if text and folder.exists():
        return local_files(folder), None, ""
    source = None if text.startswith((".", "/", "~")) else parse_source(text)
    if source is None:
        raise ModelError(
            f"{settings.name} must be hf: and the folder of a transformers model or its id "
            "organisation/name[@revision] on the hub; there is no such folder"
        )
    row = table.get(source.repo.lower())
    if row is not None:
        check_licence(row, settings)
    return local_files(obtain(source, settings.name)), row, source.revision


def _check_meaning(
    checkpoint: Checkpoint, config: Mapping[str, Any], published: Mapping[str, Any], place: Path
) -> None:
    """ModelError where a folder's numbers mean something else than those of the row: another range or backbone.

    Another kind of output is left to `_check_output`.
    """
    family, name = checkpoint.family, checkpoint.name
    if family.output(config) != family.output(published):
        return
    for key in family.meaning:
        if key in config and key in published and config[key] != published[key]:
            raise ModelError(
                f"{place} is not {name}: its {CONFIG} says {key} {config[key]!r}, published is "
                f"{published[key]!r}: set model.name to the model of these weights, or to hf:{place}"
            )
    if _width(config) != _width(published) and (sibling := _sibling(family, config)):
        raise ModelError(f"{place} is not {name}: it has the size of {sibling}, set model.name to that")


def _sibling(family: Family, config: Mapping[str, Any]) -> str:
    """The published model of this configuration's size, which may be under another licence; '' where there is none."""
    for path in sorted(checkpoints.CONFIGS.glob("*.json")):
        its = read_json(path)["config"]
        if its.get("model_type") == family.model_type and _size(family, its) == _size(family, config):
            return path.stem
    return ""


def _size(family: Family, config: Mapping[str, Any]) -> tuple[Any, ...]:
    return family.output(config), config.get("max_depth") or 1, _width(config)


def _width(config: Mapping[str, Any]) -> Any:
    backbone, own = config.get("backbone_config"), config.get("hidden_size")
    return backbone.get("hidden_size", own) if isinstance(backbone, Mapping) else own


def _opened(parts: Parts, settings: ModelConfig, threads: int) -> TransformerDepthModel:
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
    rule = published.with_short_side(settings.input_size, parts.family.multiple(parts.config), parts.name)
    network = _network(parts, rule)
    kind = PromptedDepthModel if parts.family.prompted else TransformerDepthModel
    return kind(parts, rule, network, open_runtime(network, settings, threads))


def _check_output(parts: Parts) -> None:
    """ModelError where the configuration declares another kind of output than the row or model.output."""
    found = parts.family.output(parts.config) or parts.output
    if found != parts.output:
        raise ModelError(
            f"{parts.files.place} predicts {found} by its {CONFIG}, {parts.name} is asked for "
            f"{parts.output}: name the weights or model.output that fit"
        )


def _network(parts: Parts, rule: InputRule) -> Network:
    def build() -> Any:
        from .network import load_network

        return load_network(parts.family, parts.config, parts.files, parts.name)

    channels = parts.family.channels(parts.config)
    identity = "\n".join(
        (
            json.dumps(parts.config, sort_keys=True),
            fingerprint(parts.files),
            parts.revision,
            _library_version(),
            *channels[1:],
        )
    )
    return Network(
        parts.name,
        hashlib.sha256(identity.encode()).hexdigest(),
        build,
        parts.files.place,
        preprocess=lambda rgb: (example_input if parts.family.prompted else as_batch)(rule, rgb),
        channels=len(channels),
        input_channels=4 if parts.family.prompted else 3,
    )


def _library_version() -> str:
    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return "no transformers"
