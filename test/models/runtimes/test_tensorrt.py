"""model.runtime tensorrt as far as a CPU shows it: what ONNX Runtime is asked for, the engines' cache, the messages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_onnx import assert_close, card_of, write_card, write_linear
from shrunken import refused

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models import load_model
from mono_depth_recon.models.runtimes import gpu, onnx_sessions

TENSORRT, CUDA, CPU = (f"{name}ExecutionProvider" for name in ("Tensorrt", "CUDA", "CPU"))


class Asked:
    """The providers of each session, and what their sessions report."""

    def __init__(self) -> None:
        self.providers: list[Any] = []
        self.reported = [TENSORRT, CUDA, CPU]
        self.error: Exception | None = None

    @property
    def options(self) -> dict[str, str]:
        """TensorRT's options of the last session."""
        name, options = self.providers[-1][0]
        assert (name, self.providers[-1][1:]) == (TENSORRT, [CUDA, CPU])
        return dict(options)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Asked]:
    """An ONNX Runtime that says it has TensorRT: its sessions leave an engine in their cache, and run on the CPU."""
    import onnxruntime

    notes, real = Asked(), onnxruntime.InferenceSession

    class Session:
        def __init__(self, path: Path, options: Any, providers: list[Any], enable_fallback: int) -> None:
            assert not enable_fallback  # ONNX Runtime would go on without the provider that was asked for
            notes.providers.append(providers)
            if notes.error is not None:
                raise notes.error
            self._real = real(path, options, providers=[CPU])
            for name, given in (each for each in providers if isinstance(each, tuple)):
                assert name == TENSORRT
                (Path(given["trt_engine_cache_path"]) / "network.engine").write_bytes(b"engine")

        def get_providers(self) -> list[str]:
            return notes.reported

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield notes


@pytest.fixture
def made(tmp_path: Path) -> ModelConfig:
    write_linear(tmp_path / "made.onnx", 4, 1)
    write_card(tmp_path / "made.json", card_of())
    return ModelConfig(name=f"onnx:{tmp_path / 'made.onnx'}", runtime="tensorrt")


def grey(width: int, height: int) -> tuple[Any, PinholeCamera]:
    return np.full((height, width, 3), 102, np.uint8), PinholeCamera.from_hfov(width, height, 60)


def test_options_and_engines_in_the_cache(
    asked: Asked, made: ModelConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    model = load_model(made, 1)
    assert model.device == "onnxruntime TensorRT f16"
    folder = Path(asked.options["trt_engine_cache_path"])
    assert folder.is_relative_to(tmp_path / "cache" / "mono_depth_recon" / "runtimes")
    assert asked.options == {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "1",
        **{f"trt_profile_{end}_shapes": "image:1x3x48x64" for end in ("min", "opt", "max")},
    }
    assert caplog.text.count("is built once for this machine; it can take minutes") == 1
    assert f"TensorRT built the engine of {made.name} in 0 s; it is kept in {folder}" in caplog.text
    assert_close(model.predict([grey(64, 48)])[0].depth, np.full((48, 64), 2.6), rtol=1e-5)
    assert len(asked.providers) == 1  # the shape that it was opened for
    model.predict([grey(48, 64)])
    assert asked.options["trt_profile_opt_shapes"] == "image:1x3x48x32"
    assert Path(asked.options["trt_engine_cache_path"]) != folder
    model.predict([grey(64, 48), grey(64, 48)])
    assert asked.options["trt_profile_opt_shapes"] == "image:2x3x48x64"
    assert len(asked.providers) == 3
    caplog.clear()
    load_model(made, 1)
    assert asked.options["trt_engine_cache_path"] == str(folder)
    assert "built" not in caplog.text


def test_an_engine_of_other_versions_is_not_read(
    asked: Asked, made: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another TensorRT, ONNX Runtime, GPU, precision or file has a folder of its own."""
    load_model(made)
    folders = {asked.options["trt_engine_cache_path"]}
    monkeypatch.setattr(onnx_sessions, "tensorrt_version", lambda: "101300")
    load_model(made)
    folders.add(asked.options["trt_engine_cache_path"])
    monkeypatch.setattr(onnx_sessions, "gpu_name", lambda: "Orin")
    load_model(made)
    folders.add(asked.options["trt_engine_cache_path"])
    monkeypatch.setattr(onnx_sessions, "versions", lambda *_: "onnxruntime-gpu 9")
    load_model(made)
    folders.add(asked.options["trt_engine_cache_path"])
    load_model(ModelConfig(name=made.name, runtime="tensorrt", precision="f32"))
    assert asked.options["trt_fp16_enable"] == "0"
    folders.add(asked.options["trt_engine_cache_path"])
    write_linear(Path(made.name.removeprefix("onnx:")), 4, 2)
    load_model(made)
    folders.add(asked.options["trt_engine_cache_path"])
    assert len(folders) == 6


def test_an_engine_that_cannot_be_read_is_one_line(asked: Asked, made: ModelConfig) -> None:
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    load_model(made)
    folder = asked.options["trt_engine_cache_path"]
    asked.error = errors.EPFail("TensorRT EP\nfailed to deserialize the engine: version 10.9, expected 10.13")
    message = refused(made)
    assert f"TensorRT cannot read an engine in {folder} (failed to deserialize" in message
    assert "delete that folder, and the engine is built again" in message


def test_libraries_that_do_not_load(asked: Asked, made: ModelConfig) -> None:
    asked.reported = [CUDA, CPU]
    assert "ONNX Runtime cannot load its TensorRT provider (its log says why): install the TensorRT" in refused(made)
    asked.reported = [CPU]
    cuda = ModelConfig(name=made.name, runtime="onnxruntime", device="cuda")
    assert "ONNX Runtime cannot load its CUDA provider" in refused(cuda)


def test_onnxruntime_on_a_gpu_is_cuda_alone(asked: Asked, made: ModelConfig) -> None:
    asked.reported = [CUDA, CPU]
    model = load_model(ModelConfig(name=made.name, runtime="onnxruntime", device="cuda"))
    assert asked.providers[-1] == [CUDA, CPU]
    assert model.device == "onnxruntime CUDA f32"  # a file computes in the precision that it is written in
    load_model(ModelConfig(name=made.name, runtime="onnxruntime", device="cpu"))
    assert asked.providers[-1] == [CPU]


def test_auto_takes_cuda_where_there_is_a_gpu(asked: Asked, made: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from mono_depth_recon.models.runtimes import graphs

    monkeypatch.setattr(graphs, "driver_sees_gpu", lambda: True)
    asked.reported = [CUDA, CPU]
    assert load_model(ModelConfig(name=made.name)).device == "onnxruntime CUDA f32"
    assert load_model(ModelConfig(name=made.name, device="cpu")).device == "openvino CPU f32"
    monkeypatch.setattr(graphs, "driver_sees_gpu", lambda: False)
    assert load_model(ModelConfig(name=made.name)).device == "openvino CPU f32"


def test_the_embedded_model_runs_its_ready_copy(asked: Asked) -> None:
    model = load_model(ModelConfig(runtime="tensorrt"))
    assert model.device == "onnxruntime TensorRT f16"
    assert asked.options["trt_profile_opt_shapes"] == "image:1x3x192x256"
    expected = load_model(ModelConfig(runtime="openvino")).predict([grey(320, 240)])[0].depth
    assert_close(model.predict([grey(320, 240)])[0].depth, expected, rtol=1e-3)


def test_a_machine_without_gpu_or_tensorrt() -> None:
    assert "this ONNX Runtime has no Tensorrt provider: pip install onnxruntime-gpu" in refused(
        ModelConfig(runtime="tensorrt")
    )
    assert isinstance(gpu.driver_sees_gpu(), bool)
    if not gpu.driver_sees_gpu():
        assert gpu.gpu_name() == "none"
    assert gpu.tensorrt_version()
