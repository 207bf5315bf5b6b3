"""ONNX Runtime on the CPU, CUDA or TensorRT, and the ONNX files that it runs."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...errors import ModelError
from .base import (
    Batch,
    Network,
    build_module,
    example_batch,
    installed,
    last_line,
    relative_difference,
    require,
)
from .cache import cached, versions
from .onnx_sessions import OnnxSessions, refusals
from .shared_weights import share_weights
from .torch_runtime import TorchRuntime

OPSET = 18
_SHAPES = 4  # sessions at a time, the last ones used
_ONE_FILE_BYTES = 1_900_000_000  # ONNX files end at 2 GB; weights of more lie beside them
INPUT, OUTPUT = "image", "depth"  # of the files that are written here


class OnnxRuntime:
    """A network on ONNX Runtime; f32 on the CPU, f32 or f16 on CUDA or, with `runtime` tensorrt, on TensorRT.

    A ready ONNX copy is read as it is. Otherwise the torch module is exported once per shape and kept in the cache.
    """

    def __init__(
        self,
        network: Network,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        runtime: str = "onnxruntime",
    ) -> None:
        settings = ModelConfig(runtime=runtime, device=device, precision=precision)
        self._network = network
        self._opener = OnnxSessions(network.name, network.identity, settings, threads)
        # TensorRT makes its float16 itself
        self._precision = "f32" if self._opener.fixes_shapes else self._opener.precision
        self._sessions: dict[tuple[int, ...], Any] = {}
        example = example_batch(network)
        copy = network.onnx if self._precision == "f32" else None
        self._ready = self._opened(copy, ()) if copy and not self._opener.fixes_shapes else None
        if example is not None:
            self._session(example.shape)

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self._opener.device

    @device.setter
    def device(self, text: str) -> None:
        self._opener.device = text

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, channels, rows', columns')."""
        session = self._session(batch.shape)
        try:
            output = session.run(None, {session.get_inputs()[0].name: batch})[0]
        except refusals() as error:
            raise ModelError(
                f"{self._network.name} cannot take a batch of shape {batch.shape} on {self.device} "
                f"({last_line(error)}): set model.runtime to torch"
            ) from error
        return np.asarray(output, np.float32)

    def release_memory(self) -> None:
        """Forgets the sessions of exported shapes; the next run opens them again."""
        self._sessions.clear()

    def _session(self, shape: tuple[int, ...]) -> Any:
        if self._ready is not None:
            return self._ready
        session = self._sessions.pop(shape, None) or self._opened(self._file(shape), shape)
        self._sessions[shape] = session
        if len(self._sessions) > _SHAPES:
            self._sessions.pop(next(iter(self._sessions)))
        return session

    def _file(self, shape: tuple[int, ...]) -> Path:
        copy = self._network.onnx if self._precision == "f32" else None
        return copy or self._exported(shape)

    def _exported(self, shape: tuple[int, ...]) -> Path:
        key = {
            "what": "onnx",
            "identity": self._network.identity,
            "shape": str(shape),
            "precision": self._precision,
            "versions": versions("onnxruntime", "torch", "onnxscript", "transformers"),
            "opset": str(OPSET),
        }
        folder = cached(
            f"{self._network.name}-onnx-{self._precision}",
            key,
            lambda folder: export_onnx(self._network, shape, folder / "model.onnx", self._precision),
        )
        return folder / "model.onnx"

    def _opened(self, path: Path, shape: tuple[int, ...]) -> Any:
        return self._opener.open(
            path,
            {INPUT: shape},
            "export the checkpoint again, or keep its .safetensors beside it under the name it had",
        )


def export_onnx(network: Network, shape: tuple[int, ...], path: Path, precision: str = "f32") -> None:
    """Writes the torch module as ONNX for batches of `shape`: input `image`, output `depth`, both float32.

    `precision` f16 computes in between in float16. Raises ModelError.
    """
    module = build_module(network, f"exporting {network.name} to ONNX")
    write_onnx(_half(module) if precision == "f16" else module, shape, path, network.name)


def write_onnx(
    module: Any,
    shape: tuple[int, ...],
    path: Path,
    name: str,
    free: Mapping[int, Any] | None = None,
    weights: Path | None = None,
) -> None:
    """Writes a torch module in eval mode as ONNX: input `image` of `shape`, output `depth`.

    `free` are the dimensions of the image that the file leaves open, as torch.export's. `weights` is a safetensors file
    of the module in the same folder: the ONNX file then holds the graph alone and reads them there. Otherwise weights
    over 2 GB lie beside the file, as `<name>.data`. Nothing in the files identifies the machine that wrote them. Raises
    ModelError, which calls the module `name`.
    """
    for library in ("torch", "onnx", "onnxscript"):
        require(library, f"exporting {name} to ONNX")
    import torch

    size = sum(parameter.nbytes for parameter in module.parameters())
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's notes on its own code
            program = torch.onnx.export(
                module,
                (torch.zeros(shape),),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: dict(free)} if free else None,
                optimize=weights is None,  # which would fold batch norms into kernels that no file has
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(
            f"torch cannot export {name} to ONNX ({last_line(error)}): set model.runtime to torch"
        ) from error
    _forget_sources(program.model)
    if weights is not None:
        share_weights(program.model, weights)
    program.save(path, external_data=size > _ONE_FILE_BYTES)


def difference_of_onnx(network: Network, path: Path, batch: Batch) -> float | None:
    """`relative_difference` of an ONNX file of the network from float32 torch; None where ONNX Runtime is missing."""
    if not installed("onnxruntime"):
        return None
    got = OnnxRuntime(dataclasses.replace(network, onnx=path, preprocess=None), "cpu", "f32").run(batch)
    settings = ModelConfig(runtime="torch", device="cpu", precision="f32")
    return relative_difference(got, TorchRuntime(network, settings).run(batch))


def _half(module: Any) -> Any:
    import torch

    class Half(torch.nn.Module):
        """The module in float16 between a float32 input and a float32 output."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module.half()

        def forward(self, image: Any) -> Any:
            """(N, 3, rows, columns) -> (N, channels, rows', columns')."""
            return self.module(image.half()).float()

    return Half().eval()


def _forget_sources(model: Any) -> None:
    """The exporter notes stack traces with the paths of the machine that exported."""
    graph = model.graph
    for part in (model, graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        part.metadata_props.clear()
    for node in graph:
        node.doc_string = None
