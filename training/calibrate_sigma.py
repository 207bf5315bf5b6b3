"""Measures how well sigma predicts the error on unseen synthetic rooms, and fits sigma to the spread.

`python -m training.calibrate_sigma mono_depth_recon/models/embedded/unetpp_mobile.json --kind flip`. The fit
(`SigmaFit`): for each floor the temperature that keeps 68.3 % of the errors on the fit rooms within sigma, and of the
floors the one of the greatest likelihood (Laplace: errors of depth have long tails). The figures come from other
rooms. Both sets have seeds that neither training nor the card's other figures use. `--frames RECORDING:FIRST:LAST`
are real frames that validate: the first half counts in the fit as much as the rooms, the second has figures of its own.
The card gets the fit and the figures under "sigma"; the fit is applied when the card is loaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mono_depth_recon.arrays import Depth
from mono_depth_recon.config import ModelConfig, read_json
from mono_depth_recon.datasets.opening import OpenOptions
from mono_depth_recon.errors import ConfigError
from mono_depth_recon.evaluation.baselines import training_samples
from mono_depth_recon.evaluation.plan import PartOfRecording
from mono_depth_recon.frames import Sample
from mono_depth_recon.metrics.sigma import SigmaCalibration, sigma_calibration, sigma_errors
from mono_depth_recon.models.canonical import load_canonical
from mono_depth_recon.models.card import SigmaFit
from mono_depth_recon.models.uncertainty import FlipModel, McDropoutModel
from mono_depth_recon.paths import user_cache

from .command import change_card, exit_code
from .settings import RoomSettings, load_settings
from .sources import room_store

KINDS = ("flip", "mc_dropout")
FIT_SEED, REPORT_SEED = 70_000, 80_000  # training counts from 1200, validation from 51000, test rooms from 90000
FRAMES_PER_ROOM = 6
ONE_SIGMA = math.erf(math.sqrt(0.5))  # of a normal distribution
FLOORS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # shares of depth that are tried
PIXELS_PER_FRAME = 5000  # that the fit looks at
FIGURES = ("coverage_1", "coverage_2", "spearman", "ause")

Values = NDArray[np.float32]
Bare = FlipModel | McDropoutModel


def fit_sigma(error: Values, spread: Values, depth: Values) -> SigmaFit:
    """The fit of errors, spreads and depths (N,) in metres. A spread that is zero somewhere needs a floor."""
    fits = [
        SigmaFit(fit_temperature(error, SigmaFit(1.0, floor).sigma(spread, depth)), floor)
        for floor in FLOORS
        if floor or (spread > 0).all()
    ]
    return min(fits, key=lambda fit: _negative_log_likelihood(error, fit.sigma(spread, depth)))


def fit_temperature(error: Values, sigma: Values) -> float:
    """The factor for sigma (N,) > 0 that `ONE_SIGMA` of the errors (N,) stay within."""
    return float(np.quantile(error / sigma, ONE_SIGMA))


def _negative_log_likelihood(error: Values, sigma: Values) -> float:
    scale = sigma / math.sqrt(2)
    return float(np.mean(np.log(2 * scale) + error / scale))


def calibrate(
    model: Bare, fit: Sequence[Sequence[Sample]], reports: Mapping[str, Sequence[Sample]]
) -> tuple[SigmaFit, dict[str, dict[str, Any]]]:
    """The fit to sets of frames, each of which counts the same, and the figures of the sets of `reports` by name."""
    found = fit_sigma(*_balanced([_values(model, frames) for frames in fit]))
    found = SigmaFit(round(found.temperature, 3), found.floor)
    return found, {name: _figures(model, found, frames) for name, frames in reports.items()}


def _values(model: Bare, frames: Sequence[Sample]) -> Values:
    return np.concatenate([_compared(model, sample) for sample in tqdm(frames, "fit")], axis=1)


def _balanced(sets: Sequence[Values]) -> Values:
    """(3, N): as many pixels of each set, drawn at random from the larger ones."""
    least, rng = min(each.shape[1] for each in sets), np.random.default_rng(0)
    return np.concatenate([each[:, rng.permutation(each.shape[1])[:least]] for each in sets], axis=1)


def _figures(model: Bare, found: SigmaFit, report: Sequence[Sample]) -> dict[str, Any]:
    """Means over the frames with the fit and, as "bare_spread", without it."""
    rows: dict[str, list[SigmaCalibration]] = {"spread": [], "sigma": []}
    for sample in tqdm(report, "report"):
        depth, spread, truth = _asked(model, sample)
        rows["spread"].append(sigma_calibration(depth, spread, truth))
        rows["sigma"].append(sigma_calibration(depth, found.sigma(spread, depth), truth))
    means = {
        name: {key: round(float(np.mean([getattr(row, key) for row in frames])), 4) for key in FIGURES}
        for name, frames in rows.items()
    }
    return {**means["sigma"], "bare_spread": means["spread"], "frames": len(report)}


def _asked(model: Bare, sample: Sample) -> tuple[Depth, Depth, Depth]:
    prediction = model.predict([(sample.rgb, sample.camera)])[0]
    assert prediction.depth is not None, "the networks of cards are metric"
    assert prediction.sigma is not None, "the model is wrapped to estimate sigma"
    assert sample.depth is not None, "rooms have depth"
    return prediction.depth, prediction.sigma, sample.depth


def _compared(model: Bare, sample: Sample) -> Values:
    """(3, N): error, spread and depth of a frame's pixels, evenly thinned out."""
    depth, spread, truth = _asked(model, sample)
    thin = max(1, math.isqrt(depth.size // PIXELS_PER_FRAME))
    depth, spread, truth = (values[::thin, ::thin] for values in (depth, spread, truth))
    error, spreads = sigma_errors(depth, spread, truth)
    _, depths = sigma_errors(depth, depth, truth)
    return np.stack([error, spreads, depths]).astype(np.float32)


def bare_model(card: Path, kind: str, samples: int, threads: int) -> Bare:
    """The card's network, whose sigma is the bare spread of `kind`, whatever fit the card may hold."""
    settings = ModelConfig(uncertainty=kind, samples=samples)
    model = load_canonical(card, settings, threads)
    bare = FlipModel(model) if kind == "flip" else McDropoutModel(model, samples)
    bare.fit = SigmaFit()
    return bare


def room_samples(
    settings: RoomSettings, seed: int, rooms: int, cache: Path, processes: int, views: int = FRAMES_PER_ROOM
) -> list[Sample]:
    """Some views of each of `rooms` rooms at 640x480 with seeds from `seed` on."""
    chosen = dataclasses.replace(settings, width=640, height=480, frames_per_room=views)
    frames = room_store(chosen, seed, rooms, cache, processes)
    return [frames[i] for i in range(len(frames))]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path, help="the card (.json), its weights beside it")
    parser.add_argument("--kind", choices=KINDS, default="flip", help="uncertainty to calibrate (default: flip)")
    parser.add_argument("--samples", type=int, default=8, help="of mc_dropout (default: 8)")
    parser.add_argument("--frames", help="RECORDING:FIRST:LAST, real frames that validate, never test frames")
    parser.add_argument("--rooms", type=int, default=16, help="rooms of each set (default: 16)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(__file__).parent / "configs" / "unetpp_mobile.yaml",
        help="settings of the rooms and threads (default: those of the embedded model)",
    )
    parser.add_argument("--cache", type=Path, help="folder for prepared frames (default: in the user's cache folder)")
    parser.add_argument("--dry", action="store_true", help="print the figures and leave the card as it is")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; expected failures end in one line."""
    arguments = parse(argv)
    return exit_code(lambda: run(arguments))


def run(arguments: argparse.Namespace) -> str:
    """What the command line asks for; the card's entry. Raises MonoDepthError."""
    if arguments.rooms < 1:
        raise ConfigError(f"--rooms must be at least 1, got {arguments.rooms}")
    settings = load_settings(arguments.config)
    real = training_samples(PartOfRecording.parse(arguments.frames), OpenOptions()) if arguments.frames else []
    if len(real) == 1:
        raise ConfigError(f"--frames needs two frames or more, got {arguments.frames}: half are fitted, half reported")
    model = bare_model(arguments.card, arguments.kind, arguments.samples, settings.threads)
    fit, report = (
        room_samples(settings.rooms, seed, arguments.rooms, arguments.cache or user_cache(), settings.threads)
        for seed in (FIT_SEED, REPORT_SEED)
    )
    sets, reports = [fit], {"rooms": report}
    if real:
        sets.append(real[: len(real) // 2])
        reports["frames"] = real[len(real) // 2 :]
    found, figures = calibrate(model, sets, reports)
    entry = {"temperature": found.temperature, "floor": found.floor, **figures["rooms"]}
    if "frames" in figures:
        entry["real"] = {**figures["frames"], "fitted_to": f"{len(sets[1])} real frames too, the first half"}
    entry["rooms"] = (
        f"{arguments.rooms} to fit (seeds from {FIT_SEED}), {arguments.rooms} to report (seeds from "
        f"{REPORT_SEED}), {FRAMES_PER_ROOM} views each, 640x480"
    )
    if arguments.kind == "mc_dropout":
        entry["samples"] = arguments.samples
    if not arguments.dry:
        known = read_json(arguments.card, "model card").get("sigma", {})
        change_card(arguments.card, sigma={**known, arguments.kind: entry})
    return json.dumps(entry, indent=2)


if __name__ == "__main__":
    sys.exit(main())
