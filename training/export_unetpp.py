"""Makes a card's files from a checkpoint: `python -m training.export_unetpp runs/unetpp/best.ckpt --output FOLDER`.

`model.checkpoint` takes the card (.json) that comes out. Kernels are rounded to float16 once; the ONNX file is the
graph alone and reads the weights from the safetensors file beside it. The figures of the card are written afterwards by
`training.report_card`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mono_depth_recon.atomic import writable_folder
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models.card import sha256_of
from mono_depth_recon.models.runtimes.onnx_runtime import write_onnx
from mono_depth_recon.models.unetpp import CanonicalDepth, round_weights, write_weights

from .checkpoints import read_checkpoint, start_from
from .command import exit_code
from .network import build_network, card_text
from .origin import Origin, rights
from .settings import Settings, load_settings, plain, settings_of

_START = {"none": "random weights (no ImageNet)", "imagenet": "ImageNet weights of the encoder"}
_CURVE = ("epoch", "train_loss", "val_loss", "val_abs_rel")


def export(checkpoint: Path, settings: Settings, output: Path, start: str, with_onnx: bool = True) -> Path:
    """Writes NAME.safetensors, NAME.onnx if asked and NAME.json (no figures yet) into `output`, each whole or not.

    Returns the card's path. Raises ModelError for a checkpoint of another network.
    """
    module = build_network(settings.network)
    start_from(module, checkpoint)
    round_weights(module.eval())
    writable_folder(output)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        stem = Path(folder) / settings.network.name
        write_weights(module, stem.with_suffix(".safetensors"))
        if with_onnx:
            shape = (2, 3, settings.network.input_height, settings.network.input_width)
            print("writing the ONNX copy, which takes some minutes", file=sys.stderr)
            onnx, weights = stem.with_suffix(".onnx"), stem.with_suffix(".safetensors")
            write_onnx(module, shape, onnx, settings.network.name, _free_dimensions(), weights)
        content = read_checkpoint(checkpoint)
        origin = Origin.of_content(content)
        training = training_text(settings, module, start or origin.text) | {"curve": _curve(content)}
        text = {
            **card_text(settings.network),
            "weights_sha256": sha256_of(stem.with_suffix(".safetensors")),
            "training": training,
            "figures": [],
            **rights(plain(settings), origin),
        }
        stem.with_suffix(".json").write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
        for made in sorted(Path(folder).iterdir()):
            made.chmod(0o644)
            os.replace(made, output / made.name)
    return output / f"{settings.network.name}.json"


def training_text(settings: Settings, module: CanonicalDepth, start: str) -> dict[str, Any]:
    """What the weights were trained on, for the card; `start` describes the weights that training started from."""
    sources = settings.data.get("sources", [])
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "sources": [_source_text(source) for source in sources if source.get("split") != "validation"],
        "validation": [_source_text(source, "validation") for source in sources if source.get("split") != "train"],
        "loss": settings.loss.kind,
        "epochs": settings.epochs,
        "start": start
        or _START.get(settings.network.encoder_weights, f"encoder with weights '{settings.network.encoder_weights}'"),
        "script": "training/train_unetpp.py",
    }


def _source_text(source: dict[str, Any], split: str = "train") -> str:
    if source["kind"] == "rooms":
        return (
            f"{source.get('rooms')} synthetic rooms (seeds from {source.get('first_seed', 0)}) x "
            f"{source.get('frames_per_room')} views, horizontal field of view {source.get('min_hfov_deg', 45):g} "
            f"to {source.get('max_hfov_deg', 95):g} degrees, weight {source.get('weight', 1):g}"
        )
    what = f"{source['kind']} {Path(source.get('path', '')).name}"
    if source.get("split") == "positions":
        return f"{what}: positions {str(source.get(split, '')).replace('-', ' to ')} of rgb.txt"
    return f"{what}: {split} part of split '{source.get('split', 'by default')}'"


def _curve(content: Mapping[str, Any]) -> list[dict[str, float]]:
    """Loss and AbsRel of the epochs up to the checkpoint; empty for a checkpoint that does not hold them."""
    return [{name: float(f"{row[name]:.4g}") for name in _CURVE} for row in content.get("rows", []) if _CURVE[0] in row]


def _free_dimensions() -> dict[int, Any]:
    """Batch and size of the ONNX file's image are free, sides multiples of 32."""
    batch, rows, columns = (torch.export.Dim(name, min=1, max=64) for name in ("batch", "rows32", "columns32"))
    return {0: batch, 2: 32 * rows, 3: 32 * columns}


def settings_for(checkpoint: Path, path: Path | None) -> Settings:
    """The settings that a checkpoint holds, or those of the YAML file `path`. Raises ConfigError or ModelError."""
    if path is not None:
        return load_settings(path)
    tree, beside = read_checkpoint(checkpoint).get("settings"), checkpoint.with_name("settings.yaml")
    if tree is not None:
        return settings_of(tree, checkpoint, Settings)
    if not beside.is_file():
        raise ModelError(
            f"{checkpoint} holds no settings and none lie beside it: take best.ckpt of a run, or name --settings"
        )
    return load_settings(beside)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="best.ckpt of a run (best.pt of an older one: give --settings)")
    parser.add_argument("--settings", type=Path, help="YAML of the run (default: what the checkpoint holds)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the files")
    parser.add_argument(
        "--start",
        default="",
        help="what the training started from, for the card (default: as network.encoder_weights says)",
    )
    parser.add_argument(
        "--onnx",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="an ONNX copy for machines without torch (default: yes)",
    )
    arguments = parser.parse_args(argv)
    return exit_code(
        lambda: export(
            arguments.checkpoint,
            settings_for(arguments.checkpoint, arguments.settings),
            arguments.output,
            arguments.start,
            arguments.onnx,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
