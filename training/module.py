"""The training itself, as a LightningModule: steps, averaged weights, figures of every epoch, state to resume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from mono_depth_recon.datasets.mixture.tolerant import BadSampleLedger
from mono_depth_recon.errors import ConfigError, DataError

from .averaging import MovingAverage
from .batches import Batch, Task
from .figures import Means, frame_figures, in_metres
from .late import LateNumbers
from .loading import Schedule
from .settings import RunSettings, plain

Row = dict[str, float]
_FREE = ("threads", "loader.", "data.root", "validation.panels")  # may change when a run resumes
_NAMED = 8  # files in a message
_FIGURES_EVERY = 5  # batches: figures are made on the CPU


class DepthTraining(L.LightningModule):
    """One run of a task. `rows` are the figures of the epochs so far, `best_weights` what validates and is kept.

    `origin` goes into the checkpoints (`Origin.state`): what the weights started from.
    """

    def __init__(
        self,
        settings: RunSettings,
        task: Task,
        schedule: Schedule,
        ledger: BadSampleLedger,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.task, self.schedule, self.ledger = settings, task, schedule, ledger
        self.origin = origin or {}
        self.network = task.network
        self.rows: list[Row] = []
        self._means = Means()
        self._late = LateNumbers()
        backbone, _ = task.parts()
        if not settings.optimizer.backbone_lr:
            for parameter in backbone:
                parameter.requires_grad_(False)
        decay = settings.optimizer.ema_decay
        self.averaged = MovingAverage(self.network, decay) if decay else None

    @property
    def best_weights(self) -> nn.Module:
        """The averaged network where there is one, else the network."""
        return self.network if self.averaged is None else self.averaged.module

    def configure_optimizers(self) -> Any:
        """AdamW, its rate set before every step."""
        chosen = self.settings.optimizer
        shares = (chosen.backbone_lr, 1.0)
        groups = [
            {"params": [p for p in part if p.requires_grad], "lr": chosen.lr * share}
            for part, share in zip(self.task.parts(), shares, strict=True)
            if share
        ]
        fused = self.settings.precision != "mixed" or not chosen.clip_norm  # it unscales gradients, too late to clip
        optimizer = torch.optim.AdamW(groups, weight_decay=chosen.weight_decay, fused=fused)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer), "interval": "step"}}

    def _scheduler(self, optimizer: torch.optim.Optimizer) -> LRScheduler:
        if self.settings.optimizer.schedule == "onecycle":
            return OneCycleLR(
                optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=self.schedule.total_steps
            )
        return LambdaLR(optimizer, lambda step: rate_share(self.settings, self.schedule, step))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch. DataError, naming its files, where it is not finite: on a GPU one step later."""
        torch.manual_seed(
            (self.settings.seed * 1_000_003 + self.global_step) * self.trainer.world_size + self.global_rank
        )  # of dropout: a resumed run drops the same
        self.ledger.add(len(batch), batch.bad)
        values = self.task.values(self.network, batch.images)
        loss = self.task.loss(values, batch.targets, batch.images)
        shown = []
        if batch_idx % _FIGURES_EVERY == 0:
            shown = [self.task.depth(values[:1].detach()), batch.targets[:1], batch.scales[:1]]
        self._late.give([loss.detach(), *shown], partial(self._account, self.global_step, batch.origins))
        self.log("loss", loss.detach(), prog_bar=True, batch_size=len(batch))
        return loss

    def _account(self, step: int, origins: Sequence[str], loss: Tensor, *shown: Tensor) -> None:
        """Counts the loss of a step and the figures of what is shown of it."""
        if not math.isfinite(number := loss.item()):
            raise DataError(
                f"the loss of step {step} is {number}: look at {_few(origins)}; if these "
                "are right, lower optimizer.lr or set optimizer.clip_norm"
            )
        self._means.add("train_loss", number, len(origins))
        if shown:
            self._add("train_", *shown)

    def on_validation_epoch_start(self) -> None:
        """The last step counts before its weights are used."""
        self._late.flush()

    def on_train_batch_end(self, *_: Any) -> None:
        """Moves the averaged weights on."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Adds loss, figures and bad samples of a validation batch."""
        self.ledger.add(len(batch), batch.bad)
        values = self.task.values(self.best_weights, batch.images)
        self._means.add("val_loss", float(self.task.loss(values, batch.targets)), len(batch))
        self._add("val_", self.task.depth(values), batch.targets, batch.scales, batch.sources)

    def _add(self, prefix: str, depths: Tensor, targets: Tensor, scales: Tensor, sources: Sequence[str] = ()) -> None:
        """Counts the figures of images, where they have them also by their source."""
        names = sources or [""] * len(depths)
        for depth, target, scale, source in zip(depths, targets, scales.tolist(), names, strict=True):
            try:
                figures = frame_figures(*in_metres(depth, target, scale, self.task.relative))
            except DataError:  # of a relative model: constant, or a frame with hardly any truth
                continue
            for name, value in figures.items():
                self._means.add(prefix + name, value)
            if source and figures:
                self._means.add(f"{source}_abs_rel", figures["abs_rel"])

    def on_train_epoch_end(self) -> None:
        """Adds the row of the epoch: the columns of the paper's Figure 11 first."""
        self._late.flush()
        means = dict(self._means.take())
        by_source = {name: value for name, value in means.items() if not name.startswith(("train_", "val_"))}
        if not by_source:
            raise DataError("no validation frame has depth that counts: look at the split of the data")
        row = {"epoch": self.current_epoch + 1.0, "step": float(self.global_step)}
        for name in ("loss", "ssim", "mse", "abs_rel", "delta1"):
            row |= {f"{split}_{name}": means.get(f"{split}_{name}", math.nan) for split in ("train", "val")}
        row["val_abs_rel"] = sum(by_source.values()) / len(by_source)  # every source counts the same
        rate = self.trainer.optimizers[0].param_groups[-1]["lr"]
        self.rows.append({**row, **by_source, "lr": float(rate), "bad": float(self.ledger.count)})
        self.log_dict(
            {name: value for name, value in self.rows[-1].items() if name not in ("epoch", "step")}, rank_zero_only=True
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a resumed run checks and continues from."""
        checkpoint |= {
            "settings": plain(self.settings),
            "rows": self.rows,
            "ledger": self.ledger.state(),
            "origin": dict(self.origin),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes up a run."""
        self.rows = list(checkpoint["rows"])
        self.ledger.load(checkpoint["ledger"])
        self.origin = checkpoint.get("origin", {})


def check_same(
    saved: Mapping[str, Any],
    given: Mapping[str, Any],
    holder: str = "the checkpoint belongs to",
    advice: str = "resume with those of its settings.yaml, or start a new run from its weights with --init",
) -> None:
    """ConfigError, naming what differs, unless both settings train the same run."""
    old, new = _flat(saved), _flat(given)
    differing = [
        key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and not key.startswith(_FREE)
    ]
    if differing:
        changed = ", ".join(f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in differing[:3])
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ConfigError(f"{holder} a run of other settings: {changed}{more}; {advice}")


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, (Mapping, list, tuple)):
        return {prefix.removesuffix("."): tree}
    children = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    flat: dict[str, Any] = {}
    for key, value in children:
        flat |= _flat(value, f"{prefix}{key}.")
    return flat


def rate_share(settings: RunSettings, schedule: Schedule, step: int) -> float:
    """Share of the learning rate at a step (from 0) of "warmup_cosine".

    Linear warm-up, then constant up to the last stage, which is a half cosine down to zero.
    """
    warm = settings.optimizer.warmup_steps
    rate = min(1.0, (step + 1) / warm) if warm else 1.0
    last = schedule.last_stage_steps
    done = max(0, step - (schedule.total_steps - last))
    return rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done / last)))


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
