"""Functions that tests run on a data set in other processes, which cannot import modules of tests."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import cv2
import numpy as np

from mono_depth_recon.datasets.dataset import Dataset


def read_last(source: Dataset, answers: Connection) -> None:
    sample = source[len(source) - 1]
    answers.send((float(np.nansum(np.asarray(sample.depth))), int(sample.rgb.sum())))


def read_fork_and_read(source: Dataset, answers: Connection) -> None:
    cv2.setNumThreads(0)  # a fork has no copies of OpenCV's threads and would wait for them forever
    read_last(source, answers)
    forked = multiprocessing.get_context("fork").Process(target=read_last, args=(source, answers))
    forked.start()
    forked.join()
    read_last(source, answers)
