"""Makes a card's files from a checkpoint: `python -m training.export_unetpp runs/unetpp/best.pt --output FOLDER`.

Kernels are rounded to float16 once; the safetensors file and the ONNX copy hold the same rounded numbers.
The figures of the card are written afterwards by `training.report_card`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch

from mono_depth_recon.errors import MonoDepthError
from mono_depth_recon.models.unetpp import CanonicalDepth, round_weights, write_weights

from .network import build_network, card_text
from .settings import Settings, load_settings

OPSET = 18
LICENCE = ("Apache-2.0 for the code; the weights are partly derived from images of the TUM RGB-D benchmark "
           "(CC BY 4.0): keep the attribution")
ATTRIBUTION = ["TUM RGB-D benchmark: J. Sturm, N. Engelhard, F. Endres, W. Burgard, D. Cremers, "
               "A Benchmark for the Evaluation of RGB-D SLAM Systems, IROS 2012; CC BY 4.0",
               "architecture: U-Net++ (Zhou et al. 2018) by segmentation_models_pytorch (MIT), "
               "encoder MobileNetV3-small by timm (Apache-2.0)"]


def export(checkpoint: Path, settings: Settings, output: Path, start: str) -> None:
    """Writes NAME.safetensors, NAME.onnx and NAME.json (no figures yet) into `output`, each whole or not at all."""
    module = build_network(settings.network)
    module.load_state_dict(torch.load(checkpoint, weights_only=True)["weights"])
    round_weights(module.eval())
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        stem = Path(folder) / settings.network.name
        write_weights(module, stem.with_suffix(".safetensors"))
        write_onnx(module, stem.with_suffix(".onnx"), settings.network.input_height, settings.network.input_width)
        text = {**card_text(settings.network), "training": training_text(settings, module, start), "figures": [],
                "attribution": ATTRIBUTION, "licence": LICENCE}
        stem.with_suffix(".json").write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
        for suffix in (".safetensors", ".onnx", ".json"):
            stem.with_suffix(suffix).chmod(0o644)
            os.replace(stem.with_suffix(suffix), output / stem.with_suffix(suffix).name)


def training_text(settings: Settings, module: CanonicalDepth, start: str) -> dict[str, Any]:
    """What the weights were trained on, for the card; `start` says in words where they began."""
    rooms, tum = settings.rooms, settings.tum
    sources = []
    if settings.rooms_share > 0:
        sources.append(f"{rooms.rooms} synthetic rooms (seeds from {rooms.first_seed}) x {rooms.frames_per_room} "
                       f"views, horizontal field of view {rooms.hfov_deg[0]:g} to {rooms.hfov_deg[1]:g} degrees")
    if settings.rooms_share < 1:
        sources.append(f"TUM RGB-D {Path(tum.folder).name}: positions {tum.train[0]} to {tum.train[1]} of rgb.txt")
    return {"parameters": sum(p.numel() for p in module.parameters()), "sources": sources,
            "rooms_share": settings.rooms_share,
            "validation": "checkpoint chosen on rooms of other seeds and on "
                          f"positions {tum.validation[0]} to {tum.validation[1]} of rgb.txt",
            "start": start, "script": "training/train_unetpp.py"}


def write_onnx(module: CanonicalDepth, path: Path, height: int, width: int) -> None:
    """ONNX of the module in float32: input `image`, output `depth`, batch and size free (sides multiples of 32)."""
    batch, rows, columns = (torch.export.Dim(name, min=1, max=64) for name in ("batch", "rows32", "columns32"))
    program = torch.onnx.export(module, (torch.rand(2, 3, height, width),), dynamo=True, opset_version=OPSET,
                                verbose=False, input_names=["image"], output_names=["depth"],
                                dynamic_shapes={"image": {0: batch, 2: 32 * rows, 3: 32 * columns}})
    assert program is not None, "the dynamo exporter returns a program"
    onnx.save(_without_notes(program.model_proto), path)


def _without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The exporter notes stack traces with the paths of the machine that exported: they do not belong into the file."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="best.pt of a run")
    parser.add_argument("--settings", type=Path, help="settings.yaml of the run (default: beside the checkpoint)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the three files")
    parser.add_argument("--start", default="random weights (no ImageNet)",
                        help="what the training started from, for the card")
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings(arguments.settings or arguments.checkpoint.with_name("settings.yaml"))
        export(arguments.checkpoint, settings, arguments.output, arguments.start)
    except (MonoDepthError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
