"""Measures a card's weights on unseen frames and writes the figures into the card, beside two baselines.

`python -m training.report_card mono_depth_recon/models/embedded/unetpp_mobile.json --data FOLDER`. The sets are the
test frames of freiburg1_rpy_part (same scene, unseen frames), freiburg3_cabinet (unseen scene), synthetic rooms
of seeds that no training uses and, for a recipe that learns from NYU Depth V2, the official test part of that. The
baselines use the training frames' depth and ignore the image: "constant"
is its median, "mean depth map" its mean at each pixel.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mono_depth_recon.arrays import Depth
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.datasets.dataset import Part
from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv, NyuCsvSettings
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.errors import MonoDepthError
from mono_depth_recon.evaluation.baselines import CONSTANT, MEAN_MAP, baselines
from mono_depth_recon.frames import Prediction, Sample
from mono_depth_recon.metrics.depth_map import ALIGNMENTS, depth_metrics
from mono_depth_recon.metrics.protocols import PROTOCOLS, FrameScorer
from mono_depth_recon.models.canonical import load_canonical
from mono_depth_recon.paths import user_cache

from .command import change_card
from .frame_store import Frames
from .settings import Settings, load_settings
from .sources import room_store, tum_store

CABINET = "tum/rgbd_dataset_freiburg3_cabinet_keyframes"
TEST_POSITIONS = (121, 140)  # of freiburg1_rpy_part
TEST_ROOMS, TEST_ROOM_SEED, TEST_ROOM_FRAMES = 16, 90_000, 8

MEANS = ("abs_rel", "rmse", "delta1", "silog")
PAPER_MEANS = ("ssim", "mse", "psnr", "r2")

_BASELINES = {CONSTANT: "constant", MEAN_MAP: "mean depth map"}

Predict = Callable[[Sample], Depth]


@dataclass(frozen=True)
class TestSet:
    """Frames that were not trained on, and the training frames that the baselines use."""

    name: str
    frames: Sequence[Sample]
    known: Frames


def report(card: Path, settings: Settings, data: Path, cache: Path) -> list[dict[str, Any]]:
    """The figures of all sets, means over frames: AbsRel, RMSE (m), delta1 and SILog by method and alignment, and under
    "paper" SSIM, MSE, PSNR and R2 by method, truth and prediction each min-max scaled to [0, 1].
    """
    model = load_canonical(card, ModelConfig(), settings.threads)
    figures = []
    for test in test_sets(settings, data, cache):
        methods: dict[str, Predict] = {model.name: lambda s: _known(model.predict([(s.rgb, s.camera)])[0].depth)}
        methods |= {_BASELINES[each.label]: each.depth for each in baselines(test.known)}
        entry: dict[str, Any] = {"set": test.name, "frames": len(test.frames), "rows": [], "paper": []}
        for name, predict in methods.items():
            pairs = [(predict(sample), _known(sample.depth)) for sample in tqdm(test.frames, f"{test.name}: {name}")]
            entry["rows"] += [{"method": name, **row} for row in score(pairs)]
            entry["paper"].append({"method": name, **paper_score(pairs)})
        figures.append(entry)
    return figures


def test_sets(settings: Settings, data: Path, cache: Path) -> list[TestSet]:
    """The three sets of the card, rectified."""
    desk = TumFolder(data / settings.tum.folder, rectified=True)
    first, last = TEST_POSITIONS
    chosen = [desk[i] for i, position in enumerate(desk.positions) if first <= position <= last]
    cabinet = TumFolder(data / CABINET, rectified=True)
    tum_known = tum_store(settings.tum, data, settings.tum.train, cache)
    rooms = dataclasses.replace(settings.rooms, width=640, height=480, frames_per_room=TEST_ROOM_FRAMES)
    unseen = room_store(rooms, TEST_ROOM_SEED, TEST_ROOMS, cache, settings.threads)
    room_known = room_store(settings.rooms, settings.rooms.first_seed, settings.rooms.rooms, cache, settings.threads)
    sets = [
        TestSet(f"freiburg1_rpy_part, positions {first} to {last} (same scene, unseen frames)", chosen, tum_known),
        TestSet("freiburg3_cabinet (unseen scene)", list(cabinet), tum_known),
        TestSet(
            f"{TEST_ROOMS} unseen synthetic rooms (640x480, horizontal field of view "
            f"{rooms.hfov_deg[0]:g} to {rooms.hfov_deg[1]:g} degrees)",
            [unseen[i] for i in range(len(unseen))],
            room_known,
        ),
    ]
    return [*sets, *_nyu_set(settings, data)]


def _nyu_set(settings: Settings, data: Path) -> list[TestSet]:
    """The official test part of a recipe's first source of NYU Depth V2, for one that has it.

    Without the border that the depth camera did not see, nearly the crop of Eigen et al. (NIPS 2014).
    """
    source = next((each for each in settings.data["sources"] if each["kind"] == NyuCsvSettings.kind), None)
    if source is None:
        return []
    frames = NyuCsv("nyu", data / source["path"], mask_border=True)
    parts = {split: Part(frames, split, chosen) for split, chosen in frames.official().items()}
    return [TestSet("NYU Depth V2, official test part inside the border", parts["test"], parts["train"])]


def score(pairs: Sequence[tuple[Depth, Depth]]) -> list[dict[str, Any]]:
    """One row per alignment of predictions with their truth: means over the frames."""
    rows = []
    for alignment in ALIGNMENTS:
        results = [depth_metrics(depth, truth, alignment=alignment) for depth, truth in pairs]
        means = {key: round(float(np.mean([getattr(result, key) for result in results])), 4) for key in MEANS}
        rows.append({"alignment": alignment, **means})
    return rows


def paper_score(pairs: Sequence[tuple[Depth, Depth]]) -> dict[str, float]:
    """Means over the frames of the paper's figures. Raises DataError for a frame without any pixel to compare."""
    found = [FrameScorer(Prediction(depth), truth).score(PROTOCOLS["paper"]).figures for depth, truth in pairs]
    return {key: round(float(np.mean([each[key] for each in found])), 4) for key in PAPER_MEANS}


def table(figures: Sequence[dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = ["| set | method | alignment | AbsRel | RMSE (m) | delta1 | SILog |", "| --- " * 7 + "|"]
    for part in figures:
        for row in part["rows"]:
            numbers = " | ".join(f"{row[key]:.3f}" for key in MEANS)
            lines.append(f"| {part['set']} | {row['method']} | {row['alignment']} | {numbers} |")
    lines += ["", "| set, as the paper scores | method | SSIM | MSE | PSNR (dB) | R2 |", "| --- " * 6 + "|"]
    for part in figures:
        for row in part["paper"]:
            numbers = " | ".join(f"{row[key]:.3f}" for key in PAPER_MEANS)
            lines.append(f"| {part['set']} | {row['method']} | {numbers} |")
    return "\n".join(lines)


def _known(depth: Depth | None) -> Depth:
    assert depth is not None, "metric models predict depth and the frames have reference depth"
    return depth


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("MONO_DEPTH_RECON_DATA")
    parser.add_argument("card", type=Path, help="the card (.json), its weights beside it")
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "configs" / "unetpp_mobile.yaml")
    parser.add_argument(
        "--data",
        type=Path,
        default=data,
        required=data is None,
        help="folder that holds tum/ (default: MONO_DEPTH_RECON_DATA)",
    )
    parser.add_argument("--cache", type=Path, help="folder for prepared frames (default: in the user's cache folder)")
    parser.add_argument("--dry", action="store_true", help="print the figures and leave the card as it is")
    arguments = parser.parse_args(argv)
    try:
        cache = arguments.cache or user_cache()
        figures = report(arguments.card, load_settings(arguments.config), arguments.data, cache)
    except MonoDepthError as error:
        print(error, file=sys.stderr)
        return 1
    if not arguments.dry:
        change_card(arguments.card, figures=figures)
    print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
