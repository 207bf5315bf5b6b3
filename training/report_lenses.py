"""Measures a card's metres through lenses of several fields of view, and writes the figures into the card.

`python -m training.report_lenses CARD RECORDING:FIRST:LAST`: synthetic rooms that nothing else uses, rendered at each
horizontal field of view, and the middle of validation frames of known depth, cut to each that is narrower than theirs:
a view through a longer lens. AbsRel in metres, mean over frames. The card gets "lenses".
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mono_depth_recon.config import ModelConfig
from mono_depth_recon.datasets.opening import OpenOptions
from mono_depth_recon.evaluation.baselines import training_samples
from mono_depth_recon.evaluation.plan import PartOfRecording
from mono_depth_recon.frames import Sample
from mono_depth_recon.metrics.depth_map import depth_metrics
from mono_depth_recon.models.canonical import CanonicalDepthModel, load_canonical
from mono_depth_recon.paths import user_cache

from .calibrate_sigma import room_samples
from .command import change_card, exit_code
from .settings import RoomSettings, load_settings

FIELDS_DEG = (38.0, 50.0, 65.0, 80.0, 95.0)
SEED, ROOMS, FRAMES_PER_ROOM = 85_000, 8, 4  # seeds apart from those of training and of the other figures

Row = dict[str, float]


def narrowed(sample: Sample, hfov_deg: float) -> Sample | None:
    """The middle of a sample with a horizontal field of view, in its own aspect; None where it has no wider one."""
    camera = sample.camera
    width = round(2 * camera.fx * math.tan(math.radians(hfov_deg) / 2))
    if width > camera.width:
        return None
    height = round(camera.height * width / camera.width)
    x, y = (camera.width - width) // 2, (camera.height - height) // 2
    rows, columns = slice(y, y + height), slice(x, x + width)
    depth = None if sample.depth is None else np.ascontiguousarray(sample.depth[rows, columns])
    rgb = np.ascontiguousarray(sample.rgb[rows, columns])
    return replace(sample, rgb=rgb, depth=depth, camera=camera.cropped(x, y, width, height))


def abs_rel(model: CanonicalDepthModel, frames: Sequence[Sample]) -> float:
    """Mean AbsRel in metres of frames of known depth; NaN for none."""
    found = []
    for frame in frames:
        predicted = model.predict([(frame.rgb, frame.camera)])[0].depth
        assert predicted is not None and frame.depth is not None, "metric models predict depth, the frames have it"
        found.append(depth_metrics(predicted, frame.depth).abs_rel)
    return float(np.mean(found)) if found else math.nan


def report(card: Path, part: PartOfRecording, rooms: RoomSettings, cache: Path, processes: int) -> list[Row]:
    """A row for each field of view, and one of the whole frames (`hfov_deg` the mean of theirs). MonoDepthError."""
    model = load_canonical(card, ModelConfig(), processes)
    frames = training_samples(part, OpenOptions())
    own = float(np.mean([2 * math.degrees(math.atan(f.camera.width / f.camera.fx / 2)) for f in frames]))
    rows = [{"hfov_deg": round(own, 1), "rooms": math.nan, "frames": abs_rel(model, frames)}]
    for field in tqdm(FIELDS_DEG, "lenses"):
        cut = [narrow for frame in frames if (narrow := narrowed(frame, field))]
        lens = replace(rooms, hfov_deg=[field] * 2)
        views = room_samples(lens, SEED, ROOMS, cache, processes, FRAMES_PER_ROOM)
        rows.append({"hfov_deg": field, "rooms": abs_rel(model, views), "frames": abs_rel(model, cut)})
    return sorted(rows, key=lambda row: row["hfov_deg"])


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| horizontal field of view | AbsRel, synthetic rooms | AbsRel, frames |", "| --- | --- | --- |"]
    for row in rows:
        cells = ("" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in ("rooms", "frames"))
        lines.append(f"| {row['hfov_deg']:g}° | {' | '.join(cells)} |")
    return "\n".join(lines)


def run(arguments: argparse.Namespace) -> str:
    """What the command line asks for; the table. Raises MonoDepthError."""
    settings = load_settings(arguments.config)
    part = PartOfRecording.parse(arguments.frames)
    rows = report(arguments.card, part, settings.rooms, arguments.cache or user_cache(), settings.threads)
    if not arguments.dry:
        known = [{name: round(value, 4) for name, value in row.items() if not math.isnan(value)} for row in rows]
        change_card(arguments.card, lenses=known)
    return table(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path, help="the card (.json), its weights beside it")
    parser.add_argument("frames", help="RECORDING:FIRST:LAST, frames that validate, never test frames")
    default = Path(__file__).parent / "configs" / "unetpp_lite.yaml"
    parser.add_argument("--config", type=Path, default=default, help="settings of the rooms and threads")
    parser.add_argument("--cache", type=Path, help="folder for prepared frames (default: in the user's cache folder)")
    parser.add_argument("--dry", action="store_true", help="print the figures and leave the card as it is")
    return exit_code(lambda: run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
