"""Small networks of the true architectures: the committed configurations, narrow and shallow, with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.models import load_model
from mono_depth_recon.models.table import CHECKPOINTS
from mono_depth_recon.models.transformers.checkpoint import Checkpoint

Tree = dict[str, Any]


def committed(name: str) -> Tree:
    """The committed file of a row: configuration, input rule, source."""
    tree: Tree = json.loads(CHECKPOINTS[name].committed.read_text(encoding="utf-8"))
    return tree


def write_shrunken(name: str, folder: Path, seed: int = 0) -> Path:
    """Writes a small checkpoint of the row `name`, as transformers' save_pretrained does, and returns its folder."""
    import torch

    model = build_shrunken(CHECKPOINTS[name], seed)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor_of(name)), encoding="utf-8")
    return folder


def settings_of(name: str, folder: Path, **others: Any) -> ModelConfig:
    """The model `name` with the weights of `folder`, on torch in float32."""
    return replace(
        ModelConfig(name=name, checkpoint=str(folder), runtime="torch", precision="f32", accept_noncommercial=True),
        **others,
    )


def refused(settings: ModelConfig) -> str:
    """The one-line message of the ModelError raised by loading or the first prediction."""
    with pytest.raises(ModelError) as raised:
        load_model(settings, 1).predict([(np.zeros((48, 64, 3), np.uint8), PinholeCamera.from_hfov(64, 48, 60))])
    assert "\n" not in str(raised.value)
    return str(raised.value)


def processor_of(name: str) -> Tree:
    """The published input rule; Depth Pro's at the size of its small network."""
    rule: Tree = committed(name)["preprocessor"]
    if name == "depth_pro":
        rule["size"] = {"height": 256, "width": 256}
    return rule


def build_shrunken(row: Checkpoint, seed: int = 0) -> Any:
    """transformers' own module in eval mode, with weights that make its output vary over the image."""
    import torch

    build = row.family.architecture()
    assert build is not None
    torch.manual_seed(seed)
    model = build(_SHRINK[row.family.model_type](committed(row.name)["config"])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.xavier_uniform_(parameter)
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.bias is not None:
                layer.bias.fill_(1.0 if layer.out_channels == 1 else 0.1)  # a last ReLU must not output zero everywhere
        if getattr(model, "fov_model", None) is not None:
            model.fov_model.head.layers[-1].bias.fill_(55.0)  # degrees
    return model


def _vit(tree: Tree, layers: int = 4) -> Tree:
    return tree | {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
        "intermediate_size": 64,
        "out_indices": list(range(1, layers + 1)),
        "out_features": [f"stage{i}" for i in range(1, layers + 1)],
    }


def _dpt(tree: Tree) -> Tree:
    backbone = tree["backbone_config"] | {
        "hidden_sizes": [32, 64, 128, 256],
        "depths": [1, 1, 1],
        "embedding_size": 16,
        "num_groups": 8,
    }
    return tree | {
        "backbone_config": backbone,
        "backbone_featmap_shape": [1, 128, 24, 24],
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "intermediate_size": 64,
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [32, 64, 24, 32],
        "fusion_hidden_size": 16,
    }


def _depth_anything(tree: Tree) -> Tree:
    return tree | {
        "backbone_config": _vit(tree["backbone_config"]),
        "fusion_hidden_size": 16,
        "neck_hidden_sizes": [8, 8, 16, 16],
        "reassemble_hidden_size": 32,
        "head_hidden_size": 8,
    }


def _glpn(tree: Tree) -> Tree:
    return tree | {
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 2, 1],
        "num_attention_heads": [1, 2, 2, 4],
        "decoder_hidden_size": 8,
    }


def _zoedepth(tree: Tree) -> Tree:
    bins = [entry | {"n_bins": 8} for entry in tree["bin_configurations"]]
    return tree | {
        "backbone_config": _vit(tree["backbone_config"]),
        "bin_configurations": bins,
        "bin_embedding_dim": 16,
        "bottleneck_features": 16,
        "fusion_hidden_size": 16,
        "neck_hidden_sizes": [8, 8, 16, 16],
        "num_attractors": [4, 2, 2, 1],
    }


def _depth_pro(tree: Tree) -> Tree:
    small = {
        f"{part}_model_config": _vit(tree[f"{part}_model_config"], 3)
        | {"image_size": 64, "out_indices": [3], "out_features": ["stage3"]}
        for part in ("image", "patch", "fov")
    }
    return (
        tree
        | small
        | {
            "patch_size": 64,
            "intermediate_hook_ids": [2, 1],
            "intermediate_feature_dims": [8, 8],
            "scaled_images_feature_dims": [16, 16, 8],
            "fusion_hidden_size": 16,
            "merge_padding_value": 1,
        }
    )


_SHRINK = {
    "dpt": _dpt,
    "depth_anything": _depth_anything,
    "prompt_depth_anything": _depth_anything,
    "glpn": _glpn,
    "zoedepth": _zoedepth,
    "depth_pro": _depth_pro,
}
