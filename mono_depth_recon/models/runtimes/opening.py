"""Choosing and opening a runtime."""

from __future__ import annotations

import importlib.util

from ...config import ModelConfig
from ...errors import ModelError
from .base import Network, Runtime
from .openvino_runtime import OpenVinoRuntime
from .torch_runtime import TorchRuntime

_PACKAGES = {"openvino": "openvino", "torch": "torch segmentation-models-pytorch"}


def open_runtime(network: Network, settings: ModelConfig, threads: int = 0) -> Runtime:
    """The runtime that `settings` ask for, with the network on it. `threads` 0 = all cores. Raises ModelError."""
    name = settings.runtime
    if name == "auto":
        name = _fastest(network)
    if not _installed(name):
        raise ModelError(f"model.runtime {name} needs a library that is not installed: pip install {_PACKAGES[name]}")
    if name == "openvino" and network.onnx is not None:
        return OpenVinoRuntime(network.onnx, threads)
    return TorchRuntime(network.build(), threads)


def _fastest(network: Network) -> str:
    """openvino, else torch: the first that is installed and whose file lies beside the card. Raises ModelError."""
    files = {"openvino": network.onnx, "torch": network.weights}
    present = [name for name, path in files.items() if path is not None and path.exists()]
    if not present:
        names = " or ".join(path.name for path in files.values() if path is not None)
        raise ModelError(f"{network.name} has no weights: put {names} into {network.weights.parent}")
    return next((name for name in present if _installed(name)), present[0])


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
