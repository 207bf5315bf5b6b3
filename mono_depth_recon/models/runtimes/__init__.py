"""The runtimes that execute a network: `open_runtime`, or `open_graph` for an ONNX file."""

from .base import Batch, Feeds, Graph, GraphFile, Network, Runtime, relative_difference
from .fastest import BOUNDS
from .graphs import open_graph
from .image_way import ImageWay, Size
from .images import maps_of
from .onnx_runtime import difference_of_onnx, export_onnx
from .opening import open_runtime

__all__ = [
    "BOUNDS",
    "Batch",
    "Feeds",
    "Graph",
    "GraphFile",
    "ImageWay",
    "Network",
    "Runtime",
    "Size",
    "difference_of_onnx",
    "export_onnx",
    "maps_of",
    "open_graph",
    "open_runtime",
    "relative_difference",
]
