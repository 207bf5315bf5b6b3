"""Choosing and opening a runtime."""

from __future__ import annotations

import dataclasses
import logging

from ...config import ModelConfig
from ...errors import ModelError
from .base import Network, Runtime, installed, require
from .fastest import Way, fastest
from .gpu import driver_sees_gpu
from .onnx_sessions import TENSORRT

_log = logging.getLogger(__name__)
_PRECISIONS: dict[str, dict[str, tuple[str, ...]]] = {  # of each runtime, on a CPU and on a GPU
    "torch": {"cpu": ("f32", "f16", "bf16"), "cuda": ("f32", "f16", "bf16")},
    "openvino": {"cpu": ("f32", "bf16", "int8"), "cuda": ()},
    "onnxruntime": {"cpu": ("f32",), "cuda": ("f32", "f16")},
    TENSORRT: {"cpu": (), "cuda": ("f32", "f16")},
}


def open_runtime(network: Network, settings: ModelConfig, threads: int = 0) -> Runtime:
    """The runtime that `settings` ask for, with the network on it. `threads` 0 = all cores.

    `auto`: torch on a GPU where there is one; else a ready ONNX copy on OpenVINO, without torch; else what was
    measured once on this machine (`fastest`), as is the precision on a GPU. Raises ModelError.
    """
    network = _without_missing_copy(network)
    _check(network, settings)
    if settings.runtime != "auto":
        return open_named(settings.runtime, network, settings, threads)
    ready = _ready_copy_runner(network, settings)
    if ready:
        return open_named(ready, network, settings, threads)
    if settings.precision != "int8" and _on_gpu(settings):
        settings = dataclasses.replace(settings, device="cuda")
        if settings.precision == "auto" and _comparable(network):
            ways = [Way("torch", precision) for precision in ("f16", "bf16", "f32")]
            return fastest(network, settings, threads, ways, open_named)
        return open_named("torch", network, settings, threads)
    settings = dataclasses.replace(settings, device="cpu")
    names = _candidates(network, settings)
    if len(names) == 1:
        return open_named(names[0], network, settings, threads)
    precision = "f32" if settings.precision == "auto" else settings.precision
    return fastest(network, settings, threads, [Way(name, precision) for name in names], open_named)


def open_named(name: str, network: Network, settings: ModelConfig, threads: int) -> Runtime:
    """The runtime `name`, not `auto`. Raises ModelError."""
    require("onnxruntime" if name == TENSORRT else name, f"model.runtime {name}")
    if settings.precision == "int8":
        require("nncf", "model.precision int8")
    if name == "openvino":
        from .openvino_runtime import OpenVinoRuntime

        precision = "f32" if settings.precision == "auto" else settings.precision
        return OpenVinoRuntime(network, precision, threads, settings.calibration)
    if name in ("onnxruntime", TENSORRT):
        from .onnx_runtime import OnnxRuntime

        return OnnxRuntime(network, settings.device, settings.precision, threads, name)
    if _on_gpu(settings):
        from .cuda_runtime import CudaRuntime

        return CudaRuntime(network, settings)
    from .torch_runtime import TorchRuntime

    return TorchRuntime(network, settings, threads)


def _check(network: Network, settings: ModelConfig) -> None:
    """ModelError where the settings ask for what no runtime, or not this one, can do with the network."""
    runtime, precision = settings.runtime, settings.precision
    if network.stochastic and runtime not in ("auto", "torch"):
        raise ModelError(
            f"{network.name} draws random numbers (model.uncertainty mc_dropout), which {runtime} would "
            "freeze: set model.runtime to torch"
        )
    if runtime == "openvino" and settings.device == "cuda":
        raise ModelError("model.runtime openvino runs on the CPU: set model.device to cpu, or model.runtime to torch")
    able = [name for name in _PRECISIONS if precision == "auto" or precision in _precisions(name, settings.device)]
    if network.stochastic:
        able = [name for name in able if name == "torch"]
    if not able or runtime not in ("auto", *able):
        where = "" if settings.device == "auto" else f" on {settings.device}"
        instead = f"set model.runtime to {' or '.join(able)}, or " if able else ""
        raise ModelError(
            f"model.precision {precision}{where} is not possible on model.runtime {runtime}: {instead}"
            "set model.precision to auto"
        )


def _precisions(runtime: str, device: str) -> tuple[str, ...]:
    if runtime == TENSORRT:  # without a GPU it says so itself
        device = "cuda"
    devices = (("cpu", "cuda") if driver_sees_gpu() else ("cpu",)) if device == "auto" else (device,)
    return tuple(precision for each in devices for precision in _PRECISIONS[runtime][each])


def _without_missing_copy(network: Network) -> Network:
    """The network without an ONNX copy that is not there. ModelError where its weights are not there either."""
    if network.onnx is None or network.onnx.is_file():
        return network
    if not network.weights.exists():
        raise ModelError(
            f"{network.name} has no weights: put {network.onnx.name} or {network.weights.name} into "
            f"{network.weights.parent}"
        )
    return dataclasses.replace(network, onnx=None)


def _ready_copy_runner(network: Network, settings: ModelConfig) -> str | None:
    """The faster runtime that runs the ONNX copy as it is; None without copy or where the settings rule it out."""
    if network.onnx is None or settings.device == "cuda" or settings.precision not in ("auto", "f32"):
        return None
    return next((name for name in ("openvino", "onnxruntime") if installed(name)), None)


def _candidates(network: Network, settings: ModelConfig) -> list[str]:
    """The runtimes that can run the network on a CPU as the settings ask."""
    precision = "f32" if settings.precision == "auto" else settings.precision
    able = [name for name, devices in _PRECISIONS.items() if precision in devices["cpu"]]
    return able if _comparable(network) or "torch" not in able else ["torch"]


def _comparable(network: Network) -> bool:
    """Whether two runs of the network on a made-up picture can be compared."""
    return network.preprocess is not None and not network.stochastic


def _on_gpu(settings: ModelConfig) -> bool:
    """Whether torch is to run on a GPU. ModelError where the settings need one and there is none."""
    if settings.device == "cpu" or (settings.device == "auto" and not (installed("torch") and driver_sees_gpu())):
        return False
    require("torch", "model.device cuda")
    from .cuda_runtime import why_no_cuda

    reason = why_no_cuda()
    if not reason:
        return True
    advice = "install a driver and a torch with CUDA that fit each other, or set model.device to cpu"
    if settings.device == "cuda":
        raise ModelError(f"model.device cuda: torch can use no GPU here ({reason}): {advice}")
    _log.warning("there is a GPU, but torch cannot use it (%s), so the CPU is used: %s", reason, advice)
    return False
