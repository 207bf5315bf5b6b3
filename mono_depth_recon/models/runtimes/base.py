"""What a runtime executes, and the interface of all runtimes."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...arrays import Rgb
from ...errors import ModelError

Batch = NDArray[np.float32]

_EXTRAS = {
    "openvino": "openvino",
    "torch": "torch",
    "onnxruntime": "onnxruntime",
    "nncf": "int8",
    "onnx": "onnxruntime",
    "onnxscript": "onnxruntime",
}


@dataclass(frozen=True)
class Network:
    """A network as runtimes take it: (N, 3, rows, columns) float32 -> (N, channels, rows', columns') float32.

    The first of `channels` holds depth, or what stands for it; most networks have no other. `input_channels` is 3, or
    more for a network that is given something beside the colours.

    `build` makes the torch module (float32, eval, a new one each time: a runtime may change its precision); runtimes
    that need none take `onnx`, a ready copy with free batch and image size, where there is one. `identity` changes
    with weights, architecture and published revision: cached conversions are kept under it, so that it must be known
    without building the module. `weights`: file or folder, for messages. `stochastic`: the module draws random numbers
    (dropout) each time it runs, so that only torch can run it. `foldable`: batch norms may be folded into convolutions;
    the module is known to run on torch's meta device and to keep no tensor beside its parameters and buffers.

    `preprocess` is the model's own way from one image, (height, width, 3) uint8, to a batch of one. Runtimes call it on
    a made-up 640x480 picture to know the size that they convert and measure at when they open, and on the images of
    `model.calibration` for int8. Without it a network is converted when its first batch comes, `auto` cannot compare
    runtimes and takes torch (or the ready copy), and int8 is refused.
    """

    name: str
    identity: str
    build: Callable[[], Any]
    weights: Path
    onnx: Path | None = None
    stochastic: bool = False
    preprocess: Callable[[Rgb], Batch] | None = None
    channels: int = 1
    input_channels: int = 3
    foldable: bool = False


class Runtime(Protocol):
    """Executes a network; shapes may change from call to call. Not safe for use by two threads at once."""

    device: str  # runtime, device and precision as shown to the user: "openvino CPU f32"

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, channels, rows', columns'), a fresh float32 array. Raises ModelError."""

    def release_memory(self) -> None:
        """Releases working memory until the next run."""


Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class GraphFile:
    """An ONNX file whose inputs and outputs are taken by name; the file has been checked against them.

    `image` is the input that takes pictures, (N, 3, rows, columns) or with `nhwc` (N, rows, columns, 3), `outputs` what
    is wanted of it; `identity` changes with the file. `prepare(rgb, N)` makes all inputs of N times an image (height,
    width, 3) uint8, as `rule` says, a text that changes with it. `opset` is that of ONNX's own operators.
    """

    name: str
    identity: str
    path: Path
    image: str
    outputs: tuple[str, ...]
    prepare: Callable[[Rgb, int], Feeds]
    rule: str = ""
    nhwc: bool = False
    opset: int = 0


class Graph(Protocol):
    """Executes a GraphFile; shapes may change from call to call. Not safe for use by two threads at once."""

    @property
    def device(self) -> str:
        """Runtime, device and precision as shown to the user: 'openvino CPU f32'."""

    def run(self, image: NDArray[Any], others: Feeds) -> dict[str, NDArray[Any]]:
        """The wanted outputs by name, arrays of their own, for a batch of images and the other inputs by name.

        Raises ModelError.
        """

    def release_memory(self) -> None:
        """Releases working memory until the next run."""


def example_batch(network: Network) -> Batch | None:
    """What `network.preprocess` makes of a smooth, slightly noisy 640x480 picture; None without `preprocess`."""
    if network.preprocess is None:
        return None
    v, u = np.mgrid[:480, :640]
    waves = 110 + 80 * np.sin(u / 90) * np.cos(v / 70)
    noise = np.random.default_rng(0).normal(0, 6, (480, 640, 3))
    picture = (waves[..., None] * (1.0, 0.9, 0.8) + noise).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(network.preprocess(picture), np.float32)


def relative_difference(got: Batch, expected: Batch) -> float:
    """Largest absolute difference over the mean magnitude of `expected`: zeros in `expected` do no harm."""
    return float(np.abs(got - expected).max() / max(float(np.abs(expected).mean()), 1e-12))


def installed(library: str) -> bool:
    """Whether the library is there; it is not imported."""
    return importlib.util.find_spec(library) is not None


def require(library: str, what: str) -> None:
    """ModelError that names the extra to install where the library is missing; `what` needs it, for the message."""
    if not installed(library):
        raise ModelError(
            f"{what} needs the library {library}, which is not installed: "
            f"pip install 'mono_depth_recon[{_EXTRAS[library]}]'"
        )


def build_module(network: Network, what: str) -> Any:
    """The network's torch module in eval mode; `what` needs it, for the message where torch is missing."""
    require("torch", what)
    return network.build().eval()


def last_line(error: Exception) -> str:
    """The last line of a library's message, which names the cause."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def cpu_name() -> str:
    """The processor's name, for display and for caches that machines share."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
