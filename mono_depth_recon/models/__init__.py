"""Depth models behind one interface: the table `MODELS`, `load_model`, and the runtimes that execute them.

Reading order: `base` is the interface and what a row of the table holds; `table` has the rows; `loading` goes from a
name to a model. Below the table stand two loaders: `canonical` for the U-Net++ networks that a model card describes
(`card`, `unetpp`), and `transformers` for published checkpoints (`hub` finds their files). Above it `ensemble` and
`uncertainty` combine several predictions into one (`merging`), and `explain` looks into a network.
"""

from .base import DepthModel, ModelSpec, Output
from .loading import check_name, load_model
from .table import MODELS, declared_output

__all__ = ["MODELS", "DepthModel", "ModelSpec", "Output", "check_name", "declared_output", "load_model"]
