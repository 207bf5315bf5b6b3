"""OpenVINO on the CPU."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from .base import Batch, Feeds, Network, build_module, example_batch, last_line
from .cache import cached, versions
from .calibration import calibration_batches, files_key, images_of
from .telemetry import openvino_library, sending_nothing

_SHAPES = 4  # compiled at a time, the last ones used; cameras of more shapes than that compile again
_IR = "model.xml"


class OpenVinoRuntime:
    """A network on OpenVINO's CPU, compiled once per input shape; `precision` f32, bf16 or int8.

    A ready ONNX copy is read as it is. Otherwise the torch module is converted once per shape, kept in the cache, and
    later starts import no torch. int8: quantised by NNCF on the images of `calibration`, kept likewise.
    """

    def __init__(self, network: Network, precision: str = "f32", threads: int = 0, calibration: str = "") -> None:
        self._network, self._precision, self._calibration = network, precision, calibration
        self._core, self._settings = openvino_core(precision, threads)
        self._compiled: dict[tuple[int, ...], Any] = {}
        self.device = f"openvino CPU {precision}"
        if network.onnx is not None and precision != "int8":
            self._read(network.onnx)
        elif (example := example_batch(network)) is not None:
            self._request(example.shape)

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, channels, rows', columns')."""
        request = self._request(batch.shape)
        request.infer([batch], share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    def release_memory(self) -> None:
        """Forgets the compiled shapes; the next run compiles again."""
        self._compiled.clear()

    def _request(self, shape: tuple[int, ...]) -> Any:
        request = self._compiled.pop(shape, None) or self._compile(shape)
        self._compiled[shape] = request
        if len(self._compiled) > _SHAPES:
            self._compiled.pop(next(iter(self._compiled)))
        return request

    def _compile(self, shape: tuple[int, ...]) -> Any:
        path = self._file(shape)
        model = self._read(path)
        try:
            model.reshape(list(shape))
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            raise ModelError(
                f"{path} cannot take a batch of shape {shape} ({last_line(error)}): "
                "export it with free batch and image size"
            ) from error

    def _file(self, shape: tuple[int, ...]) -> Path:
        """The model that is compiled for `shape`: the ready copy, or an entry of the cache."""
        if self._precision == "int8":
            return self._quantised(shape)
        return self._network.onnx or self._converted(shape)

    def _converted(self, shape: tuple[int, ...]) -> Path:
        def build(folder: Path) -> None:
            openvino_library().save_model(convert(self._network, shape), folder / _IR, compress_to_fp16=False)

        key = {
            "what": "openvino",
            "identity": self._network.identity,
            "shape": str(shape),
            "versions": versions("openvino", "torch", "transformers"),
        }
        return cached(f"{self._network.name}-openvino-f32", key, build) / _IR

    def _quantised(self, shape: tuple[int, ...]) -> Path:
        images = images_of(self._calibration)

        def build(folder: Path) -> None:
            model = self._read(self._network.onnx or self._converted(shape))
            model.reshape(list(shape))
            batches = calibration_batches(images, self._network, shape)
            openvino_library().save_model(quantise(model, batches), folder / _IR, compress_to_fp16=False)

        key = {
            "what": "openvino int8",
            "identity": self._network.identity,
            "shape": str(shape),
            "images": files_key(images),
            "preset": "mixed",
            "versions": versions("openvino", "nncf", "torch", "transformers"),
        }
        return cached(f"{self._network.name}-openvino-int8", key, build) / _IR

    def _read(self, path: Path) -> Any:
        if not path.is_file():
            raise ModelError(
                f"{path} is missing: export the checkpoint to ONNX beside its card, or set model.runtime to torch"
            )
        try:
            model = self._core.read_model(path)
        except (RuntimeError, UnicodeDecodeError) as error:  # of OpenVINO for a file that is no model, and its message
            raise ModelError(
                f"{path} is not a complete ONNX model ({last_line(error)}): export the checkpoint "
                "again, or keep its .safetensors beside it under the name it had"
            ) from error
        channels, colours = self._network.channels, self._network.input_channels
        if not (_is_one_image(model.inputs, colours) and _is_one_image(model.outputs, channels)):
            raise ModelError(
                f"{path} must take one batch of images (N, {colours}, rows, columns) and give one "
                f"(N, {channels}, rows, columns), it takes {_shapes(model.inputs)} and gives "
                f"{_shapes(model.outputs)}: name the card of that network"
            )
        return model


def openvino_core(precision: str, threads: int) -> tuple[Any, dict[str, Any]]:
    """OpenVINO's core and the settings to compile with. ModelError where the CPU cannot compute in `precision`."""
    core = openvino_library().Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ModelError(
            "model.precision bf16 needs a CPU with bfloat16 instructions, this one has none: set model.precision to f32"
        )
    return core, {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }


def convert(network: Network, shape: tuple[int, ...]) -> Any:
    """An openvino.Model of the network's torch module for batches of `shape`. Raises ModelError."""
    module = build_module(network, f"converting {network.name} for OpenVINO")
    openvino = openvino_library()
    import torch

    frontend = openvino.frontend
    try:
        with warnings.catch_warnings(), torch.no_grad(), sending_nothing(), _root_logger_kept():
            warnings.simplefilter("ignore")  # tracing fixes the shape, on purpose
            return openvino.convert_model(module, example_input=torch.zeros(shape), input=[list(shape)])
    except (
        RuntimeError,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
        frontend.NotImplementedFailure,
        frontend.GeneralFailure,
    ) as error:
        raise ModelError(
            f"OpenVINO cannot convert {network.name} for batches of shape {shape} ({last_line(error)}): "
            "set model.runtime to torch"
        ) from error


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """OpenVINO's converter raises the level of Python's root logger where it fails, and other messages are lost."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def quantise(model: Any, batches: Sequence[Batch | Feeds]) -> Any:
    """NNCF's post-training quantisation of an openvino.Model on the batches, or on its inputs by name.

    Activations that can be negative (hard-swish, GELU) keep a zero point of their own: symmetric ranges waste half.
    """
    transformer = any(operation.get_type_name() == "Softmax" for operation in model.get_ops())
    with sending_nothing():
        import nncf

        return nncf.quantize(
            model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        )


def _is_one_image(ports: Any, channels: int) -> bool:
    """Whether OpenVINO's inputs or outputs are a single (N, channels, rows, columns)."""
    if len(ports) != 1:
        return False
    shape = ports[0].get_partial_shape()
    return bool(shape.rank.is_static and len(shape) == 4 and shape[1].is_static and shape[1].get_length() == channels)


def _shapes(ports: Any) -> str:
    return " and ".join(str(port.get_partial_shape()) for port in ports) or "nothing"
