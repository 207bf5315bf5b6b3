"""The table of models: a checkpoint of a transformers family is a row of CHECKPOINTS, any other model a row of MODELS.

Each row of MODELS names its loader; those of CHECKPOINTS are added with the loaders of their families, and one for each
card of `onnx_cards`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import cast

from ..config import ModelConfig
from ..errors import ModelError
from ..paths import expanded
from .base import DepthModel, ModelSpec, Output
from .canonical import load_canonical, load_unetpp_resnext50, write_random_resnext50
from .hub import HF, HubSource, cached_folder
from .onnx_files.card import load_onnx_card
from .onnx_files.loading import CARDS, ONNX, declared_onnx_output, hub_of, load_onnx_row
from .transformers.checkpoint import Checkpoint, write_random_weights
from .transformers.families import FAMILIES
from .transformers.family import Focal
from .transformers.loading import load_checkpoint

EMBEDDED = Path(__file__).parent / "embedded"
_LITE, _MOBILE = (EMBEDDED / f"{name}.json" for name in ("unetpp_lite", "unetpp_mobile"))

_CANONICAL = "that of its card: metres are scaled by the camera's own over it"
_NONCOMMERCIAL = "CC-BY-NC-4.0"
# Horizontal and vertical mean of the training cameras: NYU Depth V2's Kinect, Hypersim, Virtual KITTI 2.
_NYU, _NYU_WHOLE = Focal(519.2, None), Focal(519.2, 480)
_HYPERSIM, _VKITTI = Focal(886.8, 768), Focal(725.0, 375)


def _load_embedded(card: Path, settings: ModelConfig, threads: int) -> DepthModel:
    return load_canonical(expanded(settings.checkpoint) if settings.checkpoint else card, settings, threads)


def _embedded(card: Path, size_mb: float) -> ModelSpec:
    """The row of a card in the package."""
    return ModelSpec(
        card.stem,
        "metric_depth",
        "Apache-2.0 (trained partly on NYU Depth V2 and CC BY 4.0 data, see its card)",
        "embedded",
        functools.partial(_load_embedded, card),
        _CANONICAL,
        lambda folder: card,
        size_mb,
    )


def _depth_anything(size: str, revision: str, size_mb: float) -> Checkpoint:
    free = size == "small"
    return Checkpoint(
        f"depth_anything_v2_{size}",
        HubSource(f"depth-anything/Depth-Anything-V2-{size.capitalize()}-hf", revision, size_mb),
        FAMILIES["depth_anything"],
        "relative_disparity",
        "Apache-2.0" if free else _NONCOMMERCIAL,
        not free,
    )


def _depth_anything_metric(place: str, size: str, revision: str, size_mb: float) -> Checkpoint:
    free = size == "small"
    name = f"depth-anything/Depth-Anything-V2-Metric-{place.capitalize()}-{size.capitalize()}-hf"
    licence = f"{'Apache-2.0' if free else _NONCOMMERCIAL} (assumed, its card has no tag)"
    return Checkpoint(
        f"depth_anything_v2_metric_{place}_{size}",
        HubSource(name, revision, size_mb),
        FAMILIES["depth_anything"],
        "metric_depth",
        licence,
        not free,
        _HYPERSIM if place == "indoor" else _VKITTI,
    )


# A revision that is no full commit is one that no public listing showed in full: `HubSource.text` says so, and
# hub_configs/ what else is not verified.
CHECKPOINTS: dict[str, Checkpoint] = {
    row.name: row
    for row in (
        Checkpoint(
            "midas_dpt_hybrid",
            HubSource("Intel/dpt-hybrid-midas", "11eaf7a1cf4bd70740697dbc216f98980c0aeb03", 490),
            FAMILIES["dpt"],
            "relative_disparity",
            "Apache-2.0",
        ),
        _depth_anything("small", "5426e4f0f36572d16453bbda7a8389317b1bef99", 99.2),
        _depth_anything("base", "b1958afc87fb45a9e3746cb387596094de553ed8", 390),
        _depth_anything("large", "7581137eff8d4e94f6e796d3baea0e9fa79b22d2", 1340),
        _depth_anything_metric("indoor", "small", "4d5187ef4957085a714f15b6ae43230a8b813c03", 99.2),
        _depth_anything_metric("indoor", "base", "c6d9784", 390),
        _depth_anything_metric("indoor", "large", "main", 1340),
        _depth_anything_metric("outdoor", "small", "2fd93bd764b15eea94dcf7763bba7ddc25007d0f", 99.2),
        _depth_anything_metric("outdoor", "base", "5b575fded0346068343a6d96d0ce3ab6dbc9fb49", 390),
        _depth_anything_metric("outdoor", "large", "f79cc1bbf3f54d8d5737789127a6e88f49c13bd7", 1340),
        Checkpoint(
            "glpn_nyu",
            HubSource("vinvino02/glpn-nyu", "cb8ce03174424af9a3315da175ead88667f0578c", 245),
            FAMILIES["glpn"],
            "metric_depth",
            "Apache-2.0",
            focal=_NYU,
        ),
        Checkpoint(
            "zoedepth_nyu",
            HubSource("Intel/zoedepth-nyu", "52ae69caf7896c927909b3ceab4249c235e16dc1", 1380),
            FAMILIES["zoedepth"],
            "metric_depth",
            "MIT",
            focal=_NYU_WHOLE,
        ),
        Checkpoint(
            "prompt_depth_anything_small",
            HubSource("depth-anything/prompt-depth-anything-vits-hf", "main", 100.3),
            FAMILIES["prompt_depth_anything"],
            "metric_depth",
            "Apache-2.0 (assumed, that of its repository)",
        ),
        Checkpoint(
            "depth_pro",
            HubSource("apple/DepthPro-hf", "de816c8", 1904),
            FAMILIES["depth_pro"],
            "metric_depth",
            "Apple AMLR (research only)",
            True,
        ),
    )
}


def hub_spec(row: Checkpoint) -> ModelSpec:
    """The row of MODELS that stands for a row of CHECKPOINTS."""
    return ModelSpec(
        row.name,
        row.output,
        row.licence,
        row.hub.text,
        functools.partial(load_checkpoint, row),
        row.focal_text,
        functools.partial(write_random_weights, row),
        row.hub.size_mb,
        row.hub,
        row.noncommercial,
    )


def onnx_spec(card_path: Path) -> ModelSpec:
    """The row of MODELS that stands for a card of an ONNX file."""
    card = load_onnx_card(card_path)
    hub = hub_of(card)
    return ModelSpec(
        card.name,
        card.predicts,
        card.licence,
        hub.text if hub else card.source.url,
        functools.partial(load_onnx_row, card_path),
        card.focal_text,
        functools.partial(_no_random_weights, card.name),
        card.source.size_mb,
        hub,
        card.noncommercial,
        "" if hub else card.source.command,
    )


def _no_random_weights(name: str, folder: Path) -> Path:
    raise ModelError(f"{name} is an ONNX file, whose network is not known without it: name it by model.checkpoint")


MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        _embedded(_LITE, 10.9),
        _embedded(_MOBILE, 7.9),
        ModelSpec(
            "unetpp_resnext50",
            "metric_depth",
            "Apache-2.0 (that of your weights)",
            "to be trained",
            load_unetpp_resnext50,
            _CANONICAL,
            functools.partial(write_random_resnext50, _MOBILE),
        ),
        *(hub_spec(row) for row in CHECKPOINTS.values()),
        *(onnx_spec(path) for path in sorted(CARDS.glob("*.json"))),
    )
}


def is_prompted(name: str) -> bool:
    """Whether the row of this name is given reference depth beside the image."""
    return name in CHECKPOINTS and CHECKPOINTS[name].family.prompted


def is_onnx_file(name: str) -> bool:
    """Whether the model of this name is an ONNX file with a card, so that torch cannot run it."""
    return name.startswith(ONNX) or (CARDS / f"{name}.json").is_file()


def weights_state(spec: ModelSpec) -> str:
    """Where the weights of a row are: 'in the package', 'cached', 'not cached', 'to be exported' or 'to be trained'."""
    if spec.hub is not None:
        return "cached" if cached_folder(spec.hub) else "not cached"
    if spec.command:
        return "to be exported"
    return "in the package" if spec.source == "embedded" else spec.source


def declared_output(settings: ModelConfig) -> Output | None:
    """What the model predicts according to table, card and settings, before loading; None where none states it.

    Raises ModelError for an ONNX file whose card cannot be read.
    """
    if settings.name in MODELS:
        return MODELS[settings.name].output
    if settings.name.startswith(ONNX):
        return declared_onnx_output(settings.name)
    named = settings.name.startswith(HF) and settings.output != "auto"
    return cast(Output, settings.output) if named else None
