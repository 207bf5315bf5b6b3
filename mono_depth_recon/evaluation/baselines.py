"""Baselines that use the true depth of training frames and ignore the image: what a model must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import Depth
from ..datasets.dataset import Dataset
from ..datasets.opening import OpenOptions, open_dataset
from ..errors import DataError
from ..frames import Prediction, Sample
from .plan import PartOfRecording

CONSTANT, MEAN_MAP = "constant", "mean map"
_MOST_FRAMES = 400


class Frames(Protocol):
    """Samples by number."""

    def __len__(self) -> int:
        """The number of samples."""

    def __getitem__(self, i: int, /) -> Sample:
        """Sample i."""


class Baseline:
    """One depth map (H, W) in metres for every frame, resized (bilinear) to its image."""

    baseline, batch = True, 1

    def __init__(self, label: str, depth: Depth) -> None:
        self.label = label
        self._depth = depth

    def depth(self, sample: Sample) -> Depth:
        """(H, W) metres at the size of the frame."""
        import cv2

        if self._depth.size == 1:
            return np.full(sample.rgb.shape[:2], self._depth[0, 0], np.float32)
        return cv2.resize(self._depth, sample.camera.size, interpolation=cv2.INTER_LINEAR)

    def prepare(self) -> None:
        """Nothing to load."""

    def unload(self) -> None:
        """Nothing to release."""

    def predict_batch(self, samples: Sequence[Sample]) -> list[Prediction]:
        """One after the other."""
        return [self.predict(sample) for sample in samples]

    def predict(self, sample: Sample) -> Prediction:
        """The same for every frame."""
        return Prediction(depth=self.depth(sample))


def baselines(known: Frames) -> list[Baseline]:
    """`constant`, the median of the frames' true depth, and `mean map`, its mean at each pixel.

    Pixels without depth in every frame take the constant. Of more than 400 frames, 400 evenly spaced ones are used.
    DataError if no frame has depth.
    """
    chosen = [known[int(i)] for i in np.linspace(0, len(known) - 1, min(_MOST_FRAMES, len(known)))]
    stack = _of_one_size([sample.depth for sample in chosen if sample.depth is not None])
    seen = np.isfinite(stack).any(0)
    if not seen.any():
        raise DataError("the baselines need training frames with true depth, but none has any")
    constant = float(np.nanmedian(stack))
    mean = np.full(stack.shape[1:], constant, np.float32)
    mean[seen] = np.nanmean(stack[:, seen], axis=0)
    return [Baseline(CONSTANT, np.full((1, 1), constant, np.float32)), Baseline(MEAN_MAP, mean)]


def _of_one_size(depths: Sequence[Depth]) -> NDArray[np.float32]:
    """(N, H, W) at the size of the first map; other sizes (KITTI's differ by date) are resized (nearest)."""
    import cv2

    height, width = depths[0].shape if depths else (1, 1)
    resized = [cv2.resize(each, (width, height), interpolation=cv2.INTER_NEAREST) for each in depths]
    return np.stack(resized) if resized else np.full((1, 1, 1), np.nan, np.float32)


def baselines_of(frames: PartOfRecording, options: OpenOptions) -> list[Baseline]:
    """The baselines made from these frames. Raises DataError."""
    return baselines(training_samples(frames, options))


def training_samples(frames: PartOfRecording, options: OpenOptions) -> list[Sample]:
    """The frames, rectified, with true depth; positions count in the training part of an official split. DataError."""
    recording = _training_frames(frames, replace(options, rectified=True, need_depth=True))
    try:
        chosen = [i for i, position in enumerate(recording.positions) if frames.first <= position <= frames.last]
        if not chosen:
            raise DataError(
                f"{frames.path}: no frame stands at positions {frames.first} to {frames.last}, the last is "
                f"at {recording.positions[-1]}"
            )
        return [recording[i] for i in chosen]
    finally:
        recording.close()


def _training_frames(frames: PartOfRecording, options: OpenOptions) -> Dataset:
    whole = open_dataset(frames.path, replace(options, split="all"))
    return whole.part("train") if "train" in whole.splits else whole
