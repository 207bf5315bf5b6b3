"""The runtimes that execute a network: `open_runtime(network, settings, threads) -> Runtime`."""

from .base import Batch, Network, Runtime, relative_difference
from .fastest import BOUNDS
from .onnx_runtime import difference_of_onnx, export_onnx
from .opening import open_runtime

__all__ = [
    "BOUNDS",
    "Batch",
    "Network",
    "Runtime",
    "difference_of_onnx",
    "export_onnx",
    "open_runtime",
    "relative_difference",
]
