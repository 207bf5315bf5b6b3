"""Sessions of ONNX Runtime: on the CPU, on CUDA, or on TensorRT with its engines in the cache."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import ModelConfig
from ...errors import ModelError
from .base import last_line
from .cache import cached, versions
from .gpu import gpu_name, tensorrt_version
from .telemetry import onnxruntime_library

TENSORRT = "tensorrt"
_PROVIDER = {"onnxruntime": "CUDAExecutionProvider", TENSORRT: "TensorrtExecutionProvider"}
_ENGINES = "engines"
_STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE_LINE = re.compile(r"/\S+\.(?:h|cc):\d+ [^(]*\([^()]*\) ")  # file, line and signature of a function in C++
_log = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]


class OnnxSessions:
    """Opens ONNX files as `settings` ask: `model.runtime` onnxruntime (CUDA where `model.device` allows it and it is
    there, else the CPU) or tensorrt, which runs on a GPU or not at all.

    `identity` changes with the network, for TensorRT's engines; `name` is the network's, for messages. Raises
    ModelError where the installed library or the machine cannot.
    """

    def __init__(self, name: str, identity: str, settings: ModelConfig, threads: int) -> None:
        onnxruntime = onnxruntime_library()
        self._name, self._identity = name, identity
        self._tensorrt = settings.runtime == TENSORRT
        self._gpu = self._provider(settings, onnxruntime.get_available_providers())
        self._must_be_gpu = self._tensorrt or settings.device == "cuda"
        self.precision = settings.precision if settings.precision != "auto" else "f16" if self._gpu else "f32"
        if self.precision == "f16" and not self._gpu:
            raise ModelError("model.precision f16 on onnxruntime needs a GPU: set model.precision to f32")
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        # Errors, for why a GPU is not used; warnings are about nodes on the CPU on purpose. On the CPU nothing: what it
        # would log it also raises.
        self._options.log_severity_level = 3 if self._gpu else 4
        self.device = f"onnxruntime {'GPU' if self._gpu else 'CPU'} {self.precision}"

    @property
    def fixes_shapes(self) -> bool:
        """Whether a session takes one shape only: TensorRT builds an engine for it."""
        return self._tensorrt

    def open(self, path: Path, shapes: Shapes, advice: str) -> Any:
        """An onnxruntime.InferenceSession of the file. `shapes` are those of its inputs, for TensorRT's engine.

        ModelError, with `advice`, where ONNX Runtime refuses the file.
        """
        if not self._tensorrt:
            return self._session(path, [self._gpu] if self._gpu else [], advice)
        folder = self._engines(shapes)
        before, start = set(folder.iterdir()), time.perf_counter()
        session = self._session(
            path, [(self._gpu, self._engine_options(folder, shapes)), _PROVIDER["onnxruntime"]], advice
        )
        if set(folder.glob("*.engine")) - before:
            seconds = time.perf_counter() - start
            _log.warning("TensorRT built the engine of %s in %.0f s; it is kept in %s", self._name, seconds, folder)
        return session

    def _provider(self, settings: ModelConfig, available: list[str]) -> str:
        """The GPU's provider, empty for the CPU."""
        provider = _PROVIDER[settings.runtime if self._tensorrt else "onnxruntime"]
        if self._tensorrt and settings.device == "cpu":
            raise ModelError(
                "model.runtime tensorrt runs on a GPU: set model.device to auto, or model.runtime to onnxruntime"
            )
        if settings.device == "cpu":
            return ""
        if provider in available:
            return provider
        if self._tensorrt or settings.device == "cuda":
            asked = "model.runtime tensorrt" if self._tensorrt else "model.device cuda"
            instead = "model.runtime to openvino or onnxruntime" if self._tensorrt else "model.device to cpu"
            raise ModelError(
                f"{asked}: this ONNX Runtime has no {provider.removesuffix('ExecutionProvider')} provider: "
                f"pip install onnxruntime-gpu in place of onnxruntime, or set {instead}"
            )
        return ""

    def _engines(self, shapes: Shapes) -> Path:
        """The folder of the engines for these shapes: one per network, machine, precision and library versions.

        An engine of another version of TensorRT or another GPU is in another folder, so it is never read.
        """
        key = {
            "what": "tensorrt",
            "identity": self._identity,
            "shapes": str(sorted(shapes.items())),
            "precision": self.precision,
            "gpu": gpu_name(),
            "versions": versions("onnxruntime-gpu", "tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
            "libnvinfer": tensorrt_version(),
        }
        folder = cached(f"{self._name}-tensorrt-{self.precision}", key, lambda _: None) / _ENGINES
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ModelError(
                f"cannot keep TensorRT's engine in {folder} ({error.strerror}): free some space"
            ) from error
        return folder

    def _engine_options(self, folder: Path, shapes: Shapes) -> dict[str, str]:
        profile = ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items() if shape)
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
            "trt_fp16_enable": str(int(self.precision == "f16")),
            **{f"trt_profile_{end}_shapes": profile for end in ("min", "opt", "max")},
        }

    def _session(self, path: Path, gpu: list[Any], advice: str) -> Any:
        try:
            session = onnxruntime_library().InferenceSession(
                path, self._options, providers=[*gpu, "CPUExecutionProvider"], enable_fallback=0
            )
        except refusals() as error:
            if self._tensorrt and "deserializ" in str(error).lower():
                raise ModelError(
                    f"TensorRT cannot read an engine in {gpu[0][1]['trt_engine_cache_path']} ({last_line(error)}): "
                    "delete that folder, and the engine is built again"
                ) from error
            raise ModelError(f"ONNX Runtime cannot read {path} ({_cause(error, path)}): {advice}") from error
        used = session.get_providers()[0].removesuffix("ExecutionProvider")
        if self._tensorrt and used != "Tensorrt":
            raise ModelError(
                "model.runtime tensorrt: ONNX Runtime cannot load its TensorRT provider (its log says why): "
                "install the TensorRT libraries that it names, or set model.runtime to onnxruntime"
            )
        if self._must_be_gpu and used == "CPU":
            raise ModelError(
                "model.device cuda: ONNX Runtime cannot load its CUDA provider (its log says why): "
                "install the CUDA libraries that it names, or set model.device to cpu"
            )
        self.device = f"{'onnxruntime TensorRT' if self._tensorrt else f'onnxruntime {used}'} {self.precision}"
        return session


def _cause(error: Exception, path: Path) -> str:
    """What ONNX Runtime says, without its number, the path, and the place in its source."""
    text = last_line(error).replace(f"Load model from {path} failed:", "")
    return _SOURCE_LINE.sub("", _STATUS.sub("", text)).rstrip(".")


def refusals() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a file that is no model, or one that it cannot run."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (
        *(errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf, errors.NoModel),
        *(errors.NoSuchFile, errors.NotImplemented, errors.RuntimeException, errors.EPFail),
        UnicodeDecodeError,  # of the binding, for a message that repeats bytes of the file
    )
