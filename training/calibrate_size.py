"""Measures how a card's metres change with the size of the network's input, and writes the exponent that undoes it.

`python -m training.calibrate_size CARD RECORDING:FIRST:LAST`: frames of known depth that validate, never test frames;
positions count in the training part of a data set with an official split. At each short side the factor is the median
over the frames of median(truth) / median(prediction); its logarithm is fitted by a straight line through the card's
own size (`ModelCard.focal_scale`). The card gets `output.size_exponent`, and in words `output.size_rule`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mono_depth_recon.arrays import Depth
from mono_depth_recon.config import ModelConfig, read_json
from mono_depth_recon.datasets.opening import OpenOptions
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.evaluation.baselines import training_samples
from mono_depth_recon.evaluation.plan import PartOfRecording
from mono_depth_recon.frames import Sample
from mono_depth_recon.metrics.depth_map import depth_metrics
from mono_depth_recon.models.canonical import load_canonical

from .command import change_card, exit_code

SIDES = (160, 192, 224, 256, 288, 320)
_RULE = (
    "at another model.input_size times (root of the input's area over that of the usual one) ** size_exponent, by "
    "training.calibrate_size"
)


@dataclass(frozen=True)
class AtSize:
    """The frames at one short side; `size` is relative to the own one, `depths` (H, W) are metres without exponent."""

    side: int
    size: float
    factor: float
    depths: Sequence[Depth]

    def abs_rel(self, frames: Sequence[Sample], exponent: float) -> float:
        """Mean AbsRel of the frames with an exponent."""
        pairs = zip(self.depths, frames, strict=True)
        scale = np.float32(self.size**exponent)
        return float(np.mean([depth_metrics(depth * scale, _truth(frame)).abs_rel for depth, frame in pairs]))


def measured(card: Path, frames: Sequence[Sample], side: int) -> AtSize:
    """The frames at a short side (0: the card's own). Raises ModelError."""
    model = load_canonical(card, ModelConfig(input_size=side), 0)
    model.card = replace(model.card, size_exponent=0.0)
    depths = [_known(model.predict([(f.rgb, f.camera)])[0].depth) for f in tqdm(frames, f"short side {side or 'own'}")]
    ratios = [
        np.nanmedian(_truth(frame)) / np.median(depth[np.isfinite(_truth(frame))])
        for depth, frame in zip(depths, frames, strict=True)
    ]
    camera = frames[0].camera
    own, got = (math.prod(model.card.input_size(*camera.size, each)) for each in (0, side))
    return AtSize(side, math.sqrt(got / own), float(np.median(ratios)), depths)


def fitted(own: AtSize, others: Sequence[AtSize]) -> float:
    """The exponent by least squares. DataError where no size differs from the card's own."""
    x = np.log([each.size for each in others])
    if not x.any():
        raise DataError("no short side gives another size than the card's own: name others with --sides")
    return round(float(x @ np.log([each.factor / own.factor for each in others]) / (x @ x)), 2)


def run(arguments: argparse.Namespace) -> str:
    """What the command line asks for; the table. Raises MonoDepthError."""
    wrong = next((side for side in arguments.sides if side < 1), None)
    if wrong is not None:
        raise ConfigError(f"--sides are short sides in pixels, at least 1, got {wrong}")
    part = PartOfRecording.parse(arguments.frames)
    frames = training_samples(part, OpenOptions())
    own, *others = (measured(arguments.card, frames, side) for side in (0, *arguments.sides))
    exponent = fitted(own, others)
    if not arguments.dry:
        output = read_json(arguments.card, "model card")["output"]
        where = f"{len(frames)} frames of {part.path.name}, positions {part.first} to {part.last}"
        change_card(arguments.card, output={**output, "size_exponent": exponent, "size_rule": f"{_RULE} on {where}"})
    lines = [
        f"size_exponent {exponent:g}, from {len(frames)} frames",
        "| short side | AbsRel without it | with it |",
        "| --- | --- | --- |",
    ]
    for each in (own, *others):
        numbers = (f"{each.abs_rel(frames, power):.3f}" for power in (0.0, exponent))
        lines.append(f"| {each.side or 'own'} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def _truth(frame: Sample) -> Depth:
    return _known(frame.depth)


def _known(depth: Depth | None) -> Depth:
    assert depth is not None, "metric models predict depth and the frames have true depth"
    return depth


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path, help="the card (.json), its weights beside it")
    parser.add_argument("frames", help="RECORDING:FIRST:LAST")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help=f"short sides (default: {SIDES})")
    parser.add_argument("--dry", action="store_true", help="print the figures and leave the card as it is")
    return exit_code(lambda: run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
