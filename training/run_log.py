"""The records of a run: settings and commit, log.csv, curves.png, panels of validation depth, speed.csv."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, Checkpoint

from mono_depth_recon.arrays import Depth, Rgb
from mono_depth_recon.atomic import writable_folder, write_atomically
from mono_depth_recon.benchmark.machine import commit
from mono_depth_recon.errors import DataError
from mono_depth_recon.pictures.panels import Panel, colorize_depth, compose, depth_limits, depth_panel, write_png

from .batches import Loaded, collate
from .figures import in_metres
from .loading import FrameLoading, validation_views
from .module import DepthTraining
from .settings import RunSettings, plain

_CURVES = (("loss", "Loss"), ("ssim", "SSIM"), ("mse", "MSE of depth / 10 m"))  # the paper's Figure 12
_WORST = 0.5  # relative error at the bright end of the colours


def describe_run(settings: RunSettings, output: Path, start: str = "") -> None:
    """Writes the effective settings and the commit of the code beside the run, and what its weights started from."""
    writable_folder(output)
    write_atomically(output / "settings.yaml", [yaml.safe_dump(plain(settings), sort_keys=False).encode()])
    write_atomically(output / "commit.txt", [f"{commit()}\n".encode()])
    if start:
        write_atomically(output / "start.txt", [f"{start}\n".encode()])


def write_csv(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """The whole log as CSV: a resumed run rewrites it without the rows that a kill had left beyond its checkpoint."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    write_atomically(path, [text.getvalue().encode()])


def write_curves(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Loss, SSIM and MSE of training and validation over the epochs, side by side, as the paper's Figure 12."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row["epoch"] for row in rows]
    for axes, (name, title) in zip(figure.subplots(1, len(_CURVES)), _CURVES, strict=True):
        for split, words, style in (("train", "training", "o-"), ("val", "validation", "s--")):
            axes.plot(epochs, [row[f"{split}_{name}"] for row in rows], style, markersize=4, label=words)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    write_atomically(path, [picture.getvalue()])


class RunLog(Checkpoint):
    """Writes log.csv, curves.png and the panels after every epoch, and shows panels in TensorBoard.

    Lightning calls callbacks of this kind when the row of the epoch is there.
    """

    def __init__(self, output: Path, loading: FrameLoading) -> None:
        self._output, self._loading = output, loading

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Rewrites the log."""
        assert isinstance(module, DepthTraining), "runs train nothing else"
        if trainer.is_global_zero:
            write_csv(self._output / "log.csv", module.rows)
            write_curves(self._output / "curves.png", module.rows)
            lines = module.ledger.lines()
            write_atomically(self._output / "bad_samples.txt", ["".join(f"{line}\n" for line in lines).encode()])

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Draws the panels of the epoch."""
        assert isinstance(module, DepthTraining), "runs train nothing else"
        if not trainer.is_global_zero or not module.settings.validation.panels:
            return
        picture = validation_panels(module, self._loading, trainer.current_epoch)
        folder = writable_folder(self._output / "panels")
        write_png(folder / f"epoch_{trainer.current_epoch + 1:04d}.png", picture)
        for logger in trainer.loggers:
            logger.experiment.add_image("validation", picture[::2, ::2], trainer.current_epoch + 1, dataformats="HWC")


def validation_panels(module: DepthTraining, loading: FrameLoading, epoch: int) -> Rgb:
    """Image, true depth, predicted depth and relative error of some validation frames, a row each."""
    stage = module.settings.stage_at(epoch)
    views = [view for view in validation_views(loading.frames.validation, module.settings, stage) if not view.turned]
    chosen = np.linspace(0, len(views) - 1, min(len(views), module.settings.validation.panels)).round()
    panels: list[Panel] = []
    for place in chosen.astype(int):
        view = views[place]
        drawn = loading.frames.validation[view.source][view.frame]
        sample = loading.validation.sample(drawn.sample, view)
        prepared = module.task.prepare(sample)
        batch = collate([Loaded(prepared, drawn.origin, view.source, ())]).to(module.device)
        with torch.no_grad():
            depth = module.task.depth(module.task.values(module.best_weights, batch.images))[0]
        try:
            made, truth = in_metres(depth, batch.targets[0], prepared.scale, module.task.relative)
        except DataError as error:
            panels += [Panel(sample.rgb, "Image", view.source), *[Panel(sample.rgb, "None", str(error))] * 3]
            continue
        panels += _row(sample.rgb, truth, made, view.source)
    size = f"{stage.width} x {stage.height}"
    return compose(panels, f"Validation after epoch {epoch + 1}", f"network input {size} pixels", columns=4)


def _row(rgb: Rgb, truth: Depth, made: Depth, source: str) -> list[Panel]:
    limits = depth_limits(truth)
    error = np.abs(made - truth) / truth
    mean = float(np.nanmean(error)) if np.isfinite(error).any() else float("nan")
    return [
        Panel(rgb, "Image", source),
        depth_panel(truth, caption="True depth", limits=limits),
        depth_panel(made, caption="Prediction", limits=limits),
        Panel(colorize_depth(error, 0.0, _WORST), "Error", f"mean {mean:.1%} of depth; yellow: {_WORST:.0%} and more"),
    ]


class Speed(Callback):
    """The share of the steps' time spent waiting for data: a row of speed.csv and a TensorBoard curve per epoch."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self.rows: list[dict[str, float]] = []
        self._mark = self._waited = self._worked = 0.0
        self._images = 0

    def state_dict(self) -> dict[str, Any]:
        """The state from which a resumed run continues."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a run."""
        self.rows = list(state_dict["rows"])

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begins the epoch's times."""
        self._mark, self._waited, self._worked, self._images = time.perf_counter(), 0.0, 0.0, 0

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """The batch is there."""
        self._mark, begun = time.perf_counter(), self._mark
        self._waited += self._mark - begun
        self._images += len(batch) * trainer.world_size

    def on_train_batch_end(self, *_: Any) -> None:
        """The step is done."""
        self._mark, begun = time.perf_counter(), self._mark
        self._worked += self._mark - begun

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Writes the row of the epoch."""
        seconds = self._waited + self._worked
        row = {"data_share": self._waited / seconds, "images_per_second": self._images / seconds}
        self.rows.append({"epoch": trainer.current_epoch + 1.0, **row})
        module.log_dict(row, rank_zero_only=True)
        if trainer.is_global_zero:
            write_csv(self._output / "speed.csv", self.rows)
