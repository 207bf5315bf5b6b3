"""Checkpoints of a run: last.ckpt and best.ckpt, each whole or as it was before."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO

from mono_depth_recon.atomic import write_atomically
from mono_depth_recon.errors import ConfigError, ModelError
from mono_depth_recon.models.torch_file import DAMAGE, load_torch_file

from .module import DepthTraining, check_same
from .settings import RunSettings, plain

LAST, BEST = "last.ckpt", "best.ckpt"
SCORE = "val_abs_rel"  # what the best one has the least of


class AtomicFiles(CheckpointIO):
    """Replaces a checkpoint only when the new one is on the disk. DataError where the disk is full."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), [np.frombuffer(buffer.getbuffer(), np.uint8)])

    def load_checkpoint(self, path: Any, map_location: Any = None, **_: Any) -> dict[str, Any]:
        """Reads a checkpoint."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Removes a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. ModelError where it is missing, truncated or something else."""
    try:
        content = load_torch_file(path)
    except OSError as error:
        raise ModelError(f"checkpoint {path} cannot be read ({error.strerror}): name a .ckpt file of a run") from error
    except DAMAGE as error:
        raise ModelError(
            f"checkpoint {path} is truncated or not a checkpoint: take {BEST} or {LAST} of a run"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"checkpoint {path} holds {type(content).__name__}: take {BEST} or {LAST} of a run")
    return content


def check_resumable(path: Path, settings: RunSettings) -> None:
    """ConfigError where a checkpoint is not of a run with these settings, ModelError where it cannot be read."""
    saved = read_checkpoint(path).get("settings")
    if saved is None:
        raise ConfigError("the checkpoint was not written by this tool: name last.ckpt of a run, or start with --init")
    check_same(saved, plain(settings))


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """The network's weights, averaged ones where they exist, of a checkpoint or a card (.json). ModelError."""
    if path.suffix == ".json":
        from mono_depth_recon.models.unetpp import load_unetpp

        return load_unetpp(path).state_dict()
    content = read_checkpoint(path)
    if "weights" in content:  # best.pt of runs before Lightning
        return _tensors(content["weights"], path)
    stored = content.get("state_dict", {})
    if isinstance(stored, Mapping):
        for prefix in ("averaged.module.", "network."):
            found = {name.removeprefix(prefix): stored[name] for name in stored if str(name).startswith(prefix)}
            if found:
                return _tensors(found, path)
    raise ModelError(f"checkpoint {path} holds no network: take {BEST} or {LAST} of a run")


def _tensors(found: object, path: Path) -> dict[str, torch.Tensor]:
    """`found` as tensors by name. ModelError where it is something else."""
    if isinstance(found, Mapping) and all(isinstance(value, torch.Tensor) for value in found.values()):
        return {str(name): value for name, value in found.items()}
    raise ModelError(f"checkpoint {path} must hold tensors by name, got {type(found).__name__}: take {BEST} of a run")


def start_from_part(network: torch.nn.Module, path: Path) -> str:
    """Gives a network those weights of a checkpoint or card whose names and shapes it has; a line that counts them.

    ModelError where no tensor fits.
    """
    weights, own = weights_of(path), network.state_dict()
    fitting = {name: weights[name] for name in own if name in weights and weights[name].shape == own[name].shape}
    if not fitting:
        raise ModelError(f"{path} holds another network: none of its {len(weights)} tensors fits one of {len(own)}")
    network.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} of {len(own)} tensors start from {path}, the others at random"


def start_from(network: torch.nn.Module, path: Path) -> None:
    """Gives a network the weights of a checkpoint or card. ModelError where they are those of another network."""
    weights, own = weights_of(path), network.state_dict()
    names = weights.keys() | own.keys()
    wrong = sorted(
        name for name in names if name not in weights or name not in own or weights[name].shape != own[name].shape
    )
    if wrong:
        described = "its section architecture" if path.suffix == ".json" else "the settings.yaml beside it"
        raise ModelError(
            f"{path} holds another network: {len(wrong)} of {len(names)} tensors do not fit, such as "
            f"'{wrong[0]}'; set network.* as in {described}, or take "
            "the tensors that fit with --init-part"
        )
    network.load_state_dict(weights)


class Keeper(Checkpoint):
    """Writes last.ckpt after every epoch and best.ckpt after the best one of the last resolution; stops stale runs."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self.best, self.waited = math.inf, 0

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Compares and writes; every process takes part."""
        assert isinstance(module, DepthTraining), "runs train nothing else"
        stages, patience = module.settings.stages, module.settings.validation.patience
        stage, score = module.settings.stage_at(trainer.current_epoch), module.rows[-1][SCORE]
        if (stage.width, stage.height) == (stages[-1].width, stages[-1].height):
            self.waited = 0 if score < self.best else self.waited + 1
            if score < self.best:
                self.best = score
                trainer.save_checkpoint(self._output / BEST, weights_only=True)
        trainer.save_checkpoint(self._output / LAST)
        self._stop(trainer, patience)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """A run that ended for lack of improvement is not resumed."""
        assert isinstance(module, DepthTraining), "runs train nothing else"
        self._stop(trainer, module.settings.validation.patience)

    def _stop(self, trainer: L.Trainer, patience: int) -> None:
        if patience and self.waited >= patience:
            trainer.should_stop = True
            if trainer.is_global_zero:
                print(
                    f"\nstopped: {self.waited} epochs without a better AbsRel than {self.best:.4f} "
                    "(validation.patience)",
                    file=sys.stderr,
                )

    def state_dict(self) -> dict[str, Any]:
        """The state from which a resumed run continues."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a run."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]
