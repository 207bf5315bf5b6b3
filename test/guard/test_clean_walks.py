"""Clean walks raise no alarm, and a jump of 10 % in them is flagged within two frames: recorded frames and rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mono_depth_recon.arrays import Depth, Rgb
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import Config, GuardConfig, with_values
from mono_depth_recon.datasets.opening import open_dataset
from mono_depth_recon.datasets.rooms.room import RoomSequence
from mono_depth_recon.frames import Judgement, Sample
from mono_depth_recon.guard.guard import Guard
from mono_depth_recon.pipeline import DepthReconstructor, Wanted

JUMPS = (1.1, 0.9, 1 / 1.1)
DRIFT = ("scale jumped", "scale flickers", "structure")
ROOMS, LENGTH, FIRST_SEED = 19, 110, 7000
HAND_HELD = "rgbd_dataset_freiburg1_rpy_part"


class Seen(NamedTuple):
    rgb: Rgb
    depth: Depth
    camera: PinholeCamera
    stamp: float


def judged(frames: Sequence[Seen], jump_at: int = -1, factor: float = 1.0) -> list[Judgement]:
    """The frames judged, with the depth from frame `jump_at` on multiplied by `factor`."""
    guard = Guard()
    factors = [np.float32(factor if 0 <= jump_at <= i else 1) for i in range(len(frames))]
    return [
        guard.judge(frame.rgb, frame.depth * by, frame.camera, frame.stamp, GuardConfig())[0]
        for frame, by in zip(frames, factors, strict=True)
    ]


def alarms(results: Sequence[Judgement]) -> list[str]:
    return [result.reason for result in results if any(kind in result.kind for kind in DRIFT)]


def flagged(frames: Sequence[Seen], every: int, history: int) -> list[bool]:
    """Whether a jump at every n-th frame is flagged at that frame or the next, each jump in turn."""
    found = []
    for number, i in enumerate(range(history, len(frames) - 1, every)):
        part = frames[i - history : i + 2]
        if part[-1].stamp - part[history - 1].stamp < 1:  # not across a gap of the recording
            results = judged(part, history, JUMPS[number % len(JUMPS)])
            found.append(any("scale jumped" in result.kind for result in results[-2:]))
    return found


def measured(sample: Sample) -> Seen:
    """The rectified frame with the depth of the depth camera."""
    assert sample.depth is not None
    if sample.camera.is_rectified:
        return Seen(sample.rgb, sample.depth, sample.camera, sample.stamp)
    raw = sample.camera
    return Seen(raw.rectify(sample.rgb), raw.rectify_depth(sample.depth), raw.rectified, sample.stamp)


def test_recorded_frames_of_a_hand_held_camera(tum_folder: Callable[[str], Path]) -> None:
    samples = open_dataset(str(tum_folder(HAND_HELD)))
    frames = [measured(samples[i]) for i in range(24)]
    results = judged(frames)
    assert all(result.compared and result.level == "OK" for result in results[1:]), [r.reason for r in results]
    assert all(flagged(frames, every=7, history=3))


def walks() -> Iterator[list[Seen]]:
    for seed in range(FIRST_SEED, FIRST_SEED + ROOMS):
        sequence = RoomSequence(seed, PinholeCamera.from_hfov(320, 240, 62), length=LENGTH)
        yield [measured(sequence.read(i)) for i in range(LENGTH)]


@pytest.mark.soak
def test_two_thousand_clean_frames_raise_no_alarm_and_every_jump_is_flagged() -> None:
    found, clean, changes, jumps = [], 0, [], []
    for frames in walks():
        results = judged(frames)
        found += alarms(results)
        clean += len(results)
        changes += [abs(result.figures["scale_change"]) for result in results if result.compared]
        jumps += flagged(frames, every=5, history=3)
    figures = f"{len(found)} alarms; {sum(jumps)} of {len(jumps)} jumps flagged"
    change = f"scale changes by {100 * np.median(changes):.2f} %, at most {100 * max(changes):.2f} %"
    print(f"\n{clean} frames of rooms, {len(changes)} compared, {change}, {figures}")
    assert clean >= 2000 and len(changes) > 0.95 * clean and not found
    assert len(jumps) > 300 and all(jumps)


@pytest.mark.soak
@pytest.mark.parametrize("model", ["unetpp_lite", "unetpp_mobile"])
def test_predictions_along_a_recorded_walk(tum_folder: Callable[[str], Path], model: str) -> None:
    """The models' own scale changes by 1 % from frame to frame: no alarm, and nearly all jumps are flagged."""
    running = DepthReconstructor.from_config(with_values(Config(), {"model.name": model, "model.runtime": "openvino"}))
    samples, frames = open_dataset(str(tum_folder(HAND_HELD))), []
    for i in range(len(samples)):
        made = running.process(samples[i].rgb, samples[i].camera, Wanted(points=False))
        assert made.depth is not None
        frames.append(Seen(made.rgb, made.depth, made.camera, samples[i].stamp))
    results = judged(frames)
    changes = np.abs([result.figures["scale_change"] for result in results if result.compared])
    jumps = flagged(frames, every=1, history=12)
    change = f"scale changes by {100 * np.median(changes):.1f} %, at most {100 * changes.max():.1f} %"
    figures = f"{len(alarms(results))} alarms; {sum(jumps)} of {len(jumps)} jumps flagged"
    print(f"\n{model}: {len(results)} frames, {len(changes)} compared, {change}, {figures}")
    assert not alarms(results)
    assert np.mean(jumps) > 0.9


@pytest.mark.soak
@pytest.mark.parametrize("seed", [901, 902])
def test_the_measured_change_is_that_of_the_models_scale(seed: int) -> None:
    """In rooms, where the truth is known: what is flagged in predictions are real jumps of the model."""
    running = DepthReconstructor.from_config(with_values(Config(), {"model.runtime": "openvino"}))
    sequence, guard = RoomSequence(seed, PinholeCamera.from_hfov(320, 240, 62), length=LENGTH), Guard()
    scales, measurements = [], []
    for i in range(LENGTH):
        sample = measured(sequence.read(i))
        predicted = running.model.predict([(sample.rgb, sample.camera)])[0].depth
        assert predicted is not None
        result = guard.judge(sample.rgb, predicted, sample.camera, sample.stamp, GuardConfig())[0]
        scales.append(float(np.median(np.log(predicted / sample.depth))))
        measurements.append(result.figures["scale_change"])
    true, found = np.diff(scales), np.array(measurements[1:])
    print(f"\nroom {seed}: correlation {np.corrcoef(true, found)[0, 1]:.2f}")
    assert np.median(np.abs(found - true)) < 0.02 and np.corrcoef(true, found)[0, 1] > 0.85
    assert np.sign(true[np.abs(found) > 0.08]).tolist() == np.sign(found[np.abs(found) > 0.08]).tolist()
