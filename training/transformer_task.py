"""Depth models of the library transformers in training: how samples are made, their loss, and how they are saved."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.errors import ModelError
from mono_depth_recon.frames import Sample
from mono_depth_recon.models import load_model
from mono_depth_recon.models.hub import CONFIG, PROCESSOR, local_files, read_json
from mono_depth_recon.models.table import CHECKPOINTS
from mono_depth_recon.models.transformers.model import TransformerDepthModel

from .batches import Prepared, log_target
from .losses import metric_loss, relative_loss
from .settings import FinetuneSettings

_NEAREST = 1e-3


class TransformerPreparation:
    """Images as the model's published rule makes them; ZoeDepth's reflected margin is left out."""

    def __init__(self, model: TransformerDepthModel) -> None:
        self._rule, self._focal, self._family = replace(model.rule, pad=False), model.focal, model.family
        self._relative = model.output == "relative_disparity"

    def __call__(self, sample: Sample) -> Prepared:
        """Image (3, rows, columns) and target of the same size, depth by nearest neighbour."""
        size = self._rule.network_size(*sample.camera.size)
        scale = self._scale(sample.camera, size)
        target = cv2.resize(log_target(sample, scale)[0], size, interpolation=cv2.INTER_NEAREST_EXACT)
        return Prepared(self._rule.blob(sample.rgb, size), target[None].astype(np.float32), scale)

    def _scale(self, camera: PinholeCamera, size: tuple[int, int]) -> float:
        """Metres of the camera per unit of the network, as `TransformerDepthModel` makes metres."""
        if self._relative:
            return 1.0
        return self._family.metres_per_unit(camera, size, self._focal)


class TransformerTask:
    """A model of the table or a folder, with its published or earlier weights."""

    def __init__(self, settings: FinetuneSettings) -> None:
        model = _loaded(settings)
        if model.family.prompted:
            raise ModelError(
                f"{model.name} is given depth beside the image and is not trained here: name another model"
            )
        self.network = model.network.build().train()
        model.family.prepare_training(self.network.model)
        self.relative = model.output == "relative_disparity"
        self.prepare = TransformerPreparation(model)
        self._family = model.family
        self._loss, self._place = settings.loss, model.network.weights
        self._row = CHECKPOINTS.get(settings.model.name)

    def values(self, network: nn.Module, images: Tensor) -> Tensor:
        """Depth in metres of the model's own camera, or disparity, on the grid of the images."""
        values: Tensor = network(images)[:, :1].float()
        if values.shape[-2:] != images.shape[-2:]:
            values = nn.functional.interpolate(values, images.shape[-2:], mode="bilinear", align_corners=False)
        return values.clamp(min=_NEAREST).reciprocal() if self._family.inverse else values

    def loss(self, values: Tensor, targets: Tensor, images: Tensor | None = None) -> Tensor:
        """That of the settings; of relative models the scale- and shift-invariant one."""
        if self.relative:
            return relative_loss(values, targets, self._loss)
        return metric_loss(values, values.clamp(min=_NEAREST).log(), targets, self._loss)

    def depth(self, values: Tensor) -> Tensor:
        """Metres of the model's own camera, or disparity."""
        return values

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the backbone, and of neck and head."""
        model = self.network.model
        pretrained: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, value in model.named_parameters():
            (pretrained if self._family.is_pretrained(model, name) else others).append(value)
        return pretrained, others

    def save(self, folder: Path) -> None:
        """Writes the network as a folder that `model.checkpoint` takes, in place of one that is there."""
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        with torch.no_grad():
            self.network.model.save_pretrained(partial)
        (partial / PROCESSOR).write_text(json.dumps(self._processor(), indent=2), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)

    def _processor(self) -> object:
        files = local_files(self._place)
        if files.processor is not None:
            return read_json(files.processor)
        assert self._row is not None, f"hf: models have their own {CONFIG} and {PROCESSOR}"
        return read_json(self._row.committed)["preprocessor"]


def _loaded(settings: FinetuneSettings) -> TransformerDepthModel:
    chosen = settings.model
    config = ModelConfig(
        name=chosen.name,
        checkpoint=chosen.checkpoint,
        output=chosen.output,
        input_size=chosen.short_side,
        accept_noncommercial=chosen.accept_noncommercial,
        runtime="torch",
        precision="f32",
        device="cpu",
    )
    model = load_model(config, settings.threads)
    if not isinstance(model, TransformerDepthModel):
        raise ModelError(
            f"model.name must be a transformers model ({', '.join(CHECKPOINTS)}, hf:FOLDER), got "
            f"'{chosen.name}': training.train_unetpp trains the others"
        )
    return model
