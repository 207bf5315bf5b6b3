"""A network of the library transformers with the weights of one checkpoint, loaded strictly.

Importing this module loads torch. Code from a checkpoint is never run: only architectures that the library has.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .hub import WeightFiles
from .safetensors_file import read_safetensors


class PredictedDepth(nn.Module):
    """`model`'s predicted_depth as runtimes take it: (N, 3, rows, columns) -> (N, 1, rows', columns')."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The unit is the model's: metres, relative inverse depth, or Depth Pro's canonical inverse depth."""
        depth: Tensor = self.model(pixel_values=pixel_values).predicted_depth
        return depth.unsqueeze(1)


def build_skeleton(config: Mapping[str, Any], where: str) -> nn.Module:
    """The architecture of a config.json on the meta device: names and shapes without memory.

    ModelError where transformers is missing, or has no depth model of that configuration; `where` names it.
    """
    try:
        import transformers
        from transformers import AutoModelForDepthEstimation
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError as error:
        raise ModelError(
            "the model needs the library transformers, which is not installed: pip install 'mono_depth_recon[torch]'"
        ) from error
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{where}: transformers {transformers.__version__} has no architecture '{kind}': install a "
            "newer transformers; code from a checkpoint is never run"
        )
    try:
        with torch.device("meta"), _quiet():
            model: nn.Module = AutoModelForDepthEstimation.from_config(CONFIG_MAPPING[kind].from_dict(dict(config)))
    except _refusals() as error:  # what transformers raises for entries that it cannot build
        raise ModelError(f"{where}: transformers cannot build a depth model from it: {_first_line(error)}") from error
    return model


def load_network(config: Mapping[str, Any], files: WeightFiles, name: str) -> PredictedDepth:
    """The network of `config` with the weights of `files`, float32, in eval mode. Raises ModelError."""
    skeleton: Any = build_skeleton(config, str(files.config or files.place))
    with _quiet():
        model, report = type(skeleton).from_pretrained(
            None,
            config=skeleton.config,
            state_dict=read_weights(files.weights),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # told below, in one line
    _check(report, files, name, len(skeleton.state_dict()))
    return PredictedDepth(_adapted(model.float().eval()))


def read_weights(paths: tuple[Path, ...]) -> dict[str, Tensor]:
    """All tensors of safetensors files, or of torch files that hold nothing but tensors. Raises ModelError."""
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors |= read_safetensors(path) if path.suffix == ".safetensors" else _read_torch_file(path)
    return tensors


def _read_torch_file(path: Path) -> dict[str, Tensor]:
    try:
        tree = torch.load(path, map_location="cpu", weights_only=True)
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
    except (RuntimeError, EOFError) as error:
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


def _adapted(model: Any) -> nn.Module:
    """Input sizes other than the published one, and nothing computed that nobody asks for."""
    kind = model.config.model_type
    if kind == "dpt" and model.config.is_hybrid:  # its position embeddings are interpolated, if asked
        embeddings = model.dpt.embeddings
        embeddings.forward = functools.partial(embeddings.forward, interpolate_pos_encoding=True)
    model._loss_function = None  # tracing looks at it, and transformers then warns that no loss is set
    if kind == "depth_pro":  # the camera's own focal length takes the place of the estimated one
        model.use_fov_model, model.fov_model = False, None
    return model


def _refusals() -> tuple[type[Exception], ...]:
    from huggingface_hub import errors

    strict = getattr(errors, "StrictDataclassError", None)  # newer versions check the types of entries
    return (ValueError, TypeError, KeyError, AttributeError, RuntimeError) + ((strict,) if strict else ())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and its report of keys, which `_check` says in one line."""
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
