"""Depth models behind one interface: the table `MODELS`, `load_model`, and the runtimes that execute them."""

from .base import DepthModel, ModelSpec, Output
from .loading import load_model
from .table import MODELS, declared_output

__all__ = ["MODELS", "DepthModel", "ModelSpec", "Output", "declared_output", "load_model"]
