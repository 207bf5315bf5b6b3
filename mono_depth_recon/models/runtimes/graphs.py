"""ONNX files by the names of their inputs and outputs, on OpenVINO or ONNX Runtime; neither needs torch."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import ModelConfig
from ...errors import ModelError
from .base import Feeds, Graph, GraphFile, installed, last_line, require
from .cache import cached, versions
from .calibration import calibration_feeds, files_key, images_of
from .gpu import driver_sees_gpu
from .onnx_sessions import TENSORRT, OnnxSessions, refusals
from .openvino_runtime import openvino_core, quantise
from .telemetry import onnxruntime_library, openvino_library

_IR = "model.xml"
_NEWEST_OPSET = 28  # of onnx 1.23; OpenVINO takes operators of newer ones for older ones, without a word
_SHAPES = 4  # compiled at a time, the last ones used
_EXPORT = "export it again with an opset that this version knows, or update the runtime"
_PRECISIONS = {
    "openvino": ("auto", "f32", "bf16", "int8"),
    "onnxruntime": ("auto", "f32"),
    TENSORRT: ("auto", "f32", "f16"),
}
_log = logging.getLogger(__name__)


def open_graph(file: GraphFile, settings: ModelConfig, threads: int) -> Graph:
    """The file on the runtime that `settings` ask for, prepared for images of 640x480.

    `auto`: ONNX Runtime on a GPU where it has CUDA and there is a GPU, else OpenVINO, else ONNX Runtime on the CPU; one
    that cannot run the file is left out with a warning. Raises ModelError.
    """
    if settings.runtime != "auto":
        return _opened(settings.runtime, file, settings, threads)
    failed: ModelError | None = None
    candidates = _candidates(settings)
    for name in candidates:
        try:
            return _opened(name, file, settings, threads)
        except ModelError as error:
            failed = failed or error
            if len(candidates) > 1:
                _log.warning("model.runtime auto leaves out %s: %s", name, error)
    if failed is not None:
        raise failed
    raise ModelError(
        f"{file.name} is an ONNX file, which needs OpenVINO or ONNX Runtime, neither is installed: "
        "pip install 'mono_depth_recon[onnxruntime]'"
    )


def _candidates(settings: ModelConfig) -> list[str]:
    """The runtimes that are installed and can compute as asked, the preferred one first; that one where none can."""
    order = ["openvino", "onnxruntime"]
    if settings.device == "cuda" or (settings.device == "auto" and driver_sees_gpu() and _has_cuda()):
        order.reverse()
    if settings.device == "cuda":
        order.remove("openvino")
    there = [name for name in order if installed(name)]
    return [name for name in there if settings.precision in _PRECISIONS[name]] or there[:1]


def _has_cuda() -> bool:
    if not installed("onnxruntime"):
        return False
    return "CUDAExecutionProvider" in onnxruntime_library().get_available_providers()


def _opened(name: str, file: GraphFile, settings: ModelConfig, threads: int) -> Graph:
    if name == "torch":
        raise ModelError(
            f"{file.name} is an ONNX file, which model.runtime torch cannot run: set it to openvino or onnxruntime"
        )
    if settings.precision not in _PRECISIONS[name]:
        able = [other for other, precisions in _PRECISIONS.items() if settings.precision in precisions]
        instead = f"set model.runtime to {' or '.join(able)}, or " if able else ""
        raise ModelError(
            f"model.precision {settings.precision} is not possible for an ONNX file on {name}: {instead}set "
            "model.precision to auto"
        )
    if name == "openvino" and settings.device == "cuda":
        raise ModelError(
            "model.runtime openvino runs on the CPU: set model.device to cpu, or model.runtime to onnxruntime"
        )
    require("onnxruntime" if name == TENSORRT else name, f"model.runtime {name}")
    if settings.precision == "int8":
        require("nncf", "model.precision int8")
    make: Callable[..., Graph] = OpenVinoGraph if name == "openvino" else OnnxGraph
    graph = make(file, dataclasses.replace(settings, runtime=name), threads)
    feeds = dict(file.prepare(np.full((480, 640, 3), 127, np.uint8), 1))
    graph.run(feeds.pop(file.image), feeds)
    return graph


class OpenVinoGraph:
    """On OpenVINO's CPU, compiled once per shape of the images; outputs that nobody wants are not computed.

    int8: quantised by NNCF on the images of `model.calibration`, once per shape, and kept in the cache.
    """

    def __init__(self, file: GraphFile, settings: ModelConfig, threads: int) -> None:
        precision = "f32" if settings.precision == "auto" else settings.precision
        self._file, self._precision, self._calibration = file, precision, settings.calibration
        self._core, self._settings = openvino_core(precision, threads)
        self._compiled: dict[tuple[int, ...], Any] = {}
        self.device = f"openvino CPU {precision}"
        if file.opset > _NEWEST_OPSET:
            raise ModelError(
                f"OpenVINO cannot read {file.path}: it is of opset {file.opset}, operators are known up to opset "
                f"{_NEWEST_OPSET}: {_EXPORT}"
            )
        try:
            self._model = self._core.read_model(file.path)
        except (RuntimeError, UnicodeDecodeError) as error:  # of OpenVINO, and of its message
            raise ModelError(f"OpenVINO cannot read {file.path} ({last_line(error)}): {_EXPORT}") from error
        for result in self._model.get_results():
            if not any(name in file.outputs for name in result.output(0).get_names()):
                self._model.remove_result(result)

    def run(self, image: NDArray[Any], others: Feeds) -> dict[str, NDArray[Any]]:
        """The wanted outputs by name."""
        feeds = {self._file.image: image, **others}
        try:
            request = self._request(feeds)
            request.infer(feeds, share_inputs=True)
            return {name: np.array(request.get_tensor(name).data) for name in self._file.outputs}
        except RuntimeError as error:
            raise _cannot_take(self._file, image, self.device, error) from error

    def release_memory(self) -> None:
        """Forgets the compiled shapes; the next run compiles again."""
        self._compiled.clear()

    def _request(self, feeds: Feeds) -> Any:
        shape = feeds[self._file.image].shape
        request = self._compiled.pop(shape, None) or self._compile(feeds)
        self._compiled[shape] = request
        if len(self._compiled) > _SHAPES:
            self._compiled.pop(next(iter(self._compiled)))
        return request

    def _compile(self, feeds: Feeds) -> Any:
        model = self._reshaped(feeds) if self._precision != "int8" else self._core.read_model(self._quantised(feeds))
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()

    def _reshaped(self, feeds: Feeds) -> Any:
        model = self._model.clone()
        model.reshape({name: list(value.shape) for name, value in feeds.items()})
        return model

    def _quantised(self, feeds: Feeds) -> Path:
        """The network in int8 for the shapes of `feeds`."""
        images = images_of(self._calibration)

        def build(folder: Path) -> None:
            examples = calibration_feeds(images, self._file, feeds[self._file.image].shape)
            openvino_library().save_model(
                quantise(self._reshaped(feeds), examples), folder / _IR, compress_to_fp16=False
            )

        key = {
            "what": "openvino int8 of an ONNX file",
            "identity": self._file.identity,
            "rule": self._file.rule,
            "outputs": str(self._file.outputs),
            "shapes": str({name: value.shape for name, value in feeds.items()}),
            "images": files_key(images),
            "preset": "mixed",
            "versions": versions("openvino", "nncf"),
        }
        return cached(f"{self._file.name}-openvino-int8", key, build) / _IR


class OnnxGraph:
    """On ONNX Runtime: the CPU, CUDA, or TensorRT with one engine per shape of the images.

    On CUDA the file computes in the precision that it is written in.
    """

    def __init__(self, file: GraphFile, settings: ModelConfig, threads: int) -> None:
        if settings.runtime != TENSORRT:
            settings = dataclasses.replace(settings, precision="f32")
        self._file = file
        self._opener = OnnxSessions(file.name, file.identity, settings, threads)
        self._sessions: dict[tuple[int, ...], Any] = {}

    @property
    def device(self) -> str:
        """Runtime, device and precision."""
        return self._opener.device

    def run(self, image: NDArray[Any], others: Feeds) -> dict[str, NDArray[Any]]:
        """The wanted outputs by name."""
        feeds = {self._file.image: image, **others}
        session = self._session(feeds)
        try:
            found = session.run(list(self._file.outputs), feeds)
        except refusals() as error:
            raise _cannot_take(self._file, image, self.device, error) from error
        return {name: np.asarray(value) for name, value in zip(self._file.outputs, found, strict=True)}

    def release_memory(self) -> None:
        """Forgets the sessions; the next run opens the file again."""
        self._sessions.clear()

    def _session(self, feeds: Feeds) -> Any:
        key = feeds[self._file.image].shape if self._opener.fixes_shapes else ()
        session = self._sessions.pop(key, None)
        if session is None:
            shapes = {name: value.shape for name, value in feeds.items()}
            session = self._opener.open(self._file.path, shapes, _EXPORT)
        self._sessions[key] = session
        if len(self._sessions) > _SHAPES:
            self._sessions.pop(next(iter(self._sessions)))
        return session


def _cannot_take(file: GraphFile, image: NDArray[Any], device: str, error: Exception) -> ModelError:
    return ModelError(
        f"{file.path} cannot take images of shape {image.shape} on {device} ({last_line(error)}): give its card the "
        "size that the file was exported with, or set model.runtime to another one"
    )
