"""Loads a model by its name; every model is loaded here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from ..config import ModelConfig, nearest
from ..errors import ModelError
from .base import DepthModel, ModelSpec
from .ensemble import PREFIX, Ensemble, member_names
from .hub import HF
from .onnx_files.loading import ONNX, load_onnx_named
from .table import CHECKPOINTS, MODELS, is_prompted
from .transformers.loading import load_named
from .uncertainty import with_uncertainty


def load_model(settings: ModelConfig, threads: int = 0) -> DepthModel:
    """The model `settings.name`, ready to predict, with sigma where the settings ask for it. `threads` 0 = all cores.

    Names are those of `MODELS`, `hf:<id or folder>`, `onnx:<file or card>` and `ensemble:<a>+<b>[+...]`. Raises
    ModelError.
    """
    return with_uncertainty(_single_or_ensemble(settings, threads), settings)


def _single_or_ensemble(settings: ModelConfig, threads: int) -> DepthModel:
    name = settings.name
    if name.startswith(PREFIX):
        return load_ensemble(member_names(name), settings, threads)
    if name.startswith(HF):
        return load_named(settings, threads, {row.hub.repo.lower(): row for row in CHECKPOINTS.values()})
    if name.startswith(ONNX):
        return load_onnx_named(settings, threads)
    check_name(name)
    spec = MODELS[name]
    _check_output(spec, settings.output)
    return spec.load(settings, threads)


def check_name(name: str) -> None:
    """Raises ModelError for a name that no model can have; whether a file exists is not looked up."""
    if name.startswith(PREFIX):
        for member in member_names(name):
            check_name(member)
    elif not name.startswith((HF, ONNX)) and name not in MODELS:
        raise ModelError(
            f"unknown model '{name}'{nearest(name, list(MODELS))} (models: {', '.join(MODELS)}, "
            f"{HF}<id or folder>, {ONNX}<file or card>, {PREFIX}<a>+<b>)"
        )


def _check_output(spec: ModelSpec, asked: str) -> None:
    if asked not in ("auto", spec.output):
        raise ModelError(
            f"{spec.name} predicts {spec.output}, model.output asks for {asked}: leave it at auto; metres "
            "of a relative model come by scale.source"
        )


def load_ensemble(names: Sequence[str], settings: ModelConfig, threads: int = 0) -> Ensemble:
    """The models called `names`, each loaded with `settings` but for its name and checkpoint. Raises ModelError.

    `settings.output` applies to members hf:..., the table knows that of the others. `settings.checkpoint` holds one
    path per member, separated as in PATH (':'); an empty one takes the table's weights. Members that are equal in
    both are refused: their spread would be zero.
    """
    paths = settings.checkpoint.split(os.pathsep) if settings.checkpoint else [""] * len(names)
    if len(paths) != len(names):
        raise ModelError(
            f"model.checkpoint of an ensemble holds one path per member, separated by '{os.pathsep}' "
            f"(empty = the table's weights): expected {len(names)}, got {len(paths)}"
        )
    pairs = list(zip(names, paths, strict=True))
    if len(set(pairs)) < len(pairs):
        raise ModelError(
            f"the members of an ensemble must differ in name or weights, got {'+'.join(names)} with "
            f"checkpoints {', '.join(path or 'of the table' for path in paths)}"
        )
    if prompted := next(filter(is_prompted, names), ""):
        raise ModelError(f"{prompted} is given depth beside the image, which an ensemble does not have: leave it out")
    return Ensemble(
        [
            load_model(
                replace(
                    settings,
                    name=name,
                    checkpoint=path,
                    uncertainty="none",
                    output=settings.output if name.startswith(HF) else "auto",
                ),
                threads,
            )
            for name, path in pairs
        ]
    )
