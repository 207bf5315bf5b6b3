"""What a process of its own reads of a source of frames: here, because such a process must be able to import it."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np


def read_last(source: Any, answers: Connection) -> None:
    """Sends the sums of the last frame."""
    sample = source[len(source) - 1]
    answers.send((float(np.nansum(np.asarray(sample.depth))), int(sample.rgb.sum())))


def read_fork_and_read(source: Any, answers: Connection) -> None:
    """Sends them three times: read here, by a fork, and here again."""
    cv2.setNumThreads(0)  # a fork takes no threads along, and waits for ever for those that OpenCV had
    read_last(source, answers)
    forked = multiprocessing.get_context("fork").Process(target=read_last, args=(source, answers))
    forked.start()
    forked.join()
    read_last(source, answers)
