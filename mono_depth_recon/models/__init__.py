"""Depth models behind one interface: the table `MODELS`, `load_model`, and the runtimes that execute them."""

from .base import DepthModel, ModelSpec
from .table import MODELS, load_model

__all__ = ["MODELS", "DepthModel", "ModelSpec", "load_model"]
