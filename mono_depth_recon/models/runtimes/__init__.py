"""The runtimes that execute a network: `open_runtime(network, settings, threads) -> Runtime`."""

from .base import Batch, Network, Runtime, relative_difference
from .fastest import BOUNDS
from .opening import open_runtime

__all__ = ["BOUNDS", "Batch", "Network", "Runtime", "open_runtime", "relative_difference"]
