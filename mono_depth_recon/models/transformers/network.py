"""A network of the library transformers with the weights of one checkpoint, loaded strictly.

Importing this module loads torch. Code from a checkpoint is never run: only architectures that the library has.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ModelError
from ..finite import refused_weights
from ..hub import WeightFiles
from ..safetensors_file import read_safetensors
from ..torch_file import DAMAGE, load_torch_file
from .family import Family


class FamilyNetwork(nn.Module):
    """transformers' `model` as runtimes take it: (N, 3, rows, columns) -> (N, channels, rows', columns')."""

    def __init__(self, family: Family, model: nn.Module) -> None:
        super().__init__()
        self.family, self.model = family, model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """What the family's `channels` lists, in the network's own units."""
        return self.family.forward(self.model, pixel_values)


def new_module(family: Family, config: Mapping[str, Any], where: str) -> nn.Module:
    """transformers' module of a config.json, freshly initialised.

    ModelError where transformers is missing, or has no depth model of that configuration; `where` names it.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            "the model needs the library transformers, which is not installed: pip install 'mono_depth_recon[torch]'"
        ) from error
    build = family.architecture()
    if build is None:
        raise ModelError(
            f"{where}: transformers {transformers.__version__} has no architecture '{family.model_type}': install a "
            "newer transformers; code from a checkpoint is never run"
        )
    try:
        with _quiet():
            model: nn.Module = build(config)
    except _refusals() as error:  # what transformers raises for entries that it cannot build
        raise ModelError(f"{where}: transformers cannot build a depth model from it: {_first_line(error)}") from error
    return model


def build_skeleton(family: Family, config: Mapping[str, Any], where: str) -> nn.Module:
    """`new_module` on the meta device: names and shapes without memory. Raises ModelError."""
    with torch.device("meta"):
        return new_module(family, config, where)


def load_network(family: Family, config: Mapping[str, Any], files: WeightFiles, name: str) -> FamilyNetwork:
    """The network of `config` with the weights of `files`, float32, in eval mode. Raises ModelError."""
    skeleton: Any = build_skeleton(family, config, str(files.config or files.place))
    with _quiet():
        model, report = type(skeleton).from_pretrained(
            None,
            config=skeleton.config,
            state_dict=read_weights(files.weights),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # `_check` refuses them, in one line
    _check(report, files, name, len(skeleton.state_dict()))
    model = model.float().eval()
    model._loss_function = None  # tracing reads it, and transformers then warns that no loss is set
    family.prepare(model)
    return FamilyNetwork(family, model)


def read_weights(paths: tuple[Path, ...]) -> dict[str, Tensor]:
    """All tensors of safetensors files, or of torch files that hold nothing but tensors.

    Raises ModelError, also where one is not finite.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        read = read_safetensors(path) if path.suffix == ".safetensors" else _read_torch_file(path)
        for name, tensor in read.items():
            if not torch.isfinite(tensor).all():
                raise refused_weights(path, name, "NaN" if torch.isnan(tensor).any() else "infinity")
        tensors |= read
    return tensors


def _read_torch_file(path: Path) -> dict[str, Tensor]:
    try:
        tree = load_torch_file(path)
    except pickle.UnpicklingError as error:
        if path.read_bytes()[:1] not in (b"\x80", b"P"):  # neither a pickle nor a zip archive
            raise ModelError(
                f"weights {path} must be a torch file, got {path.stat().st_size} bytes of something else: "
                "copy the file again"
            ) from error
        raise ModelError(
            f"weights {path} are refused: the pickle wants more than tensors, and could run code. "
            "Convert them to safetensors where you trust them"
        ) from error
    except DAMAGE as error:
        raise ModelError(
            f"weights {path} must be a whole torch file, got {path.stat().st_size} bytes "
            f"({_first_line(error)}): copy the file again"
        ) from error
    except OSError as error:
        raise ModelError(
            f"weights {path} cannot be read ({error.strerror or error}): copy the whole file again"
        ) from error
    if not isinstance(tree, Mapping) or not all(isinstance(value, Tensor) for value in tree.values()):
        raise ModelError(f"weights {path} must hold tensors by name, got {type(tree).__name__}: save a state_dict")
    return dict(tree)


def _check(report: Mapping[str, Any], files: WeightFiles, name: str, expected: int) -> None:
    missing, unknown = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    wrong = sorted(key for key, *_ in report["mismatched_keys"])
    if not (missing or unknown or wrong):
        return
    example = (wrong or missing or unknown)[0]
    raise ModelError(
        f"weights {files.place} are not those of {name}: of {expected} tensors {len(missing)} are "
        f"missing and {len(wrong)} have another shape, {len(unknown)} are unknown, such as '{example}': "
        "name the folder of that model"
    )


def _refusals() -> tuple[type[Exception], ...]:
    from huggingface_hub import errors

    strict = getattr(errors, "StrictDataclassError", None)  # newer versions check the types of entries
    return (ValueError, TypeError, LookupError, AttributeError, RuntimeError) + ((strict,) if strict else ())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and its report of keys, which `_check` puts into one line."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
