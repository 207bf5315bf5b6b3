"""The runtimes that execute a network: `open_runtime(network, settings, threads) -> Runtime`."""

from .base import Batch, Network, Runtime
from .opening import open_runtime

__all__ = ["Batch", "Network", "Runtime", "open_runtime"]
