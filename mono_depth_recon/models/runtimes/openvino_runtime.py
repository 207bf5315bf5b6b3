"""OpenVINO on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ModelError
from .base import Batch


class OpenVinoRuntime:
    """An ONNX file on OpenVINO's CPU, float32, compiled once per input shape."""

    device = "openvino CPU f32"

    def __init__(self, onnx_path: Path, threads: int = 0) -> None:
        import openvino

        self._path = onnx_path
        self._core = openvino.Core()
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._read()

    def _read(self) -> Any:
        if not self._path.is_file():
            raise ModelError(
                f"{self._path} is missing: export the checkpoint to ONNX beside its card, or set model.runtime to torch"
            )
        try:
            model = self._core.read_model(self._path)
        except RuntimeError as error:  # the only way in which OpenVINO says that a file is not a model
            raise ModelError(
                f"{self._path} is not a complete ONNX model ({_last_line(error)}): export the checkpoint again"
            ) from error
        if not (_is_one_image(model.inputs, 3) and _is_one_image(model.outputs, 1)):
            raise ModelError(
                f"{self._path} must take one batch of images (N, 3, rows, columns) and give one (N, 1, rows, columns), "
                f"it takes {_shapes(model.inputs)} and gives {_shapes(model.outputs)}: name the card of that network"
            )
        return model

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, 1, rows, columns)."""
        request = self._compiled.get(batch.shape)
        if request is None:
            request = self._compiled[batch.shape] = self._compile(batch.shape)
        request.infer([batch], share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    def _compile(self, shape: tuple[int, ...]) -> Any:
        model = self._read()
        try:
            model.reshape(list(shape))
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            raise ModelError(
                f"{self._path} cannot take a batch of shape {shape} ({_last_line(error)}): "
                "export it with free batch and image size"
            ) from error

    def release_memory(self) -> None:
        """Forgets the compiled shapes; the next run compiles again."""
        self._compiled.clear()


def _is_one_image(ports: Any, channels: int) -> bool:
    """Whether OpenVINO's inputs or outputs are a single (N, channels, rows, columns)."""
    if len(ports) != 1:
        return False
    shape = ports[0].get_partial_shape()
    return bool(shape.rank.is_static and len(shape) == 4 and shape[1].is_static and shape[1].get_length() == channels)


def _shapes(ports: Any) -> str:
    return " and ".join(str(port.get_partial_shape()) for port in ports) or "nothing"


def _last_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1]
