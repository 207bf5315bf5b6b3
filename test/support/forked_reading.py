"""Reading in a process of the fork server, which has no threads, and in its fork."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import cv2
import numpy as np

from mono_depth_recon.datasets.frame_source import FrameSource


def _read_last(source: FrameSource, answers: Connection) -> None:
    sample = source[len(source) - 1]
    answers.send((float(np.nansum(np.asarray(sample.depth))), int(sample.rgb.sum())))


def read_fork_and_read(source: FrameSource, answers: Connection) -> None:
    """Reads, forks, reads there, and reads again; each answer is a pair of sums."""
    cv2.setNumThreads(0)  # a fork takes no threads along, and waits for ever for those that OpenCV had
    _read_last(source, answers)
    forked = multiprocessing.get_context("fork").Process(target=_read_last, args=(source, answers))
    forked.start()
    forked.join()
    _read_last(source, answers)
