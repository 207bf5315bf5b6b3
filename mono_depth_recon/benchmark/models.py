"""Models x runtimes x precisions x sizes on this machine: each case in a fresh process, against float32 torch.

A case that fails becomes a row with the reason. Every case predicts the same image; its output is compared with that
of eager torch in float32 with the same weights and input size before its time is accepted.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import PinholeCamera
from ..config import Config, ModelConfig, with_values
from ..errors import DataError, MonoDepthError
from ..models import DepthModel, load_model
from ..models.base import View
from ..models.operations import Operation, longest_operations
from ..models.runtimes.image_way import ImageWay
from ..models.runtimes.images import image_runtime
from ..models.table import CHECKPOINTS, is_onnx_file
from ..models.uncertainty import sigma_kinds
from .machine import peak_bytes, python_environment
from .scene import room
from .whole_frames import frame_figures, network_alone_s

LIMIT_S = 1800
_REFERENCE: dict[str, Any] = {"runtime": "torch", "device": "cpu", "precision": "f32", "compile": False}


def _reference_of(name: str) -> dict[str, Any]:
    """The settings of a model's reference: float32 torch, ONNX Runtime for what torch cannot run."""
    return _REFERENCE | {"runtime": "onnxruntime" if is_onnx_file(name) else "torch"}


@dataclass(frozen=True)
class Result:
    """One case. `reason` is empty unless it failed; times in seconds, memory in bytes.

    `difference` is the largest |a - b| over the largest |b|, `mean_difference` the mean |a - b| over the mean |b|, b
    the output of float32 torch; `prepare`, `network` and `restore` are the stages: image to network input, runtime,
    depth back to the size of the image; where a GPU does all three in one run, `network` is that of the network alone
    and `prepare` the rest. Zero for a model without a single runtime (an ensemble, one with sigma).
    `pipeline`: of transformers' own pipeline, whose metres are not scaled by the camera. Of whole frames, `cloud` is
    the time from image to cloud, 0 without metres, and `batched` the images a second in batches. `operations` are the
    longest of a prediction, first of all.
    """

    settings: ModelConfig
    reason: str = ""
    pipeline: bool = False
    device: str = ""
    input_px: str = ""
    p50: float = 0.0
    p95: float = 0.0
    prepare: float = 0.0
    network: float = 0.0
    restore: float = 0.0
    host_bytes: int = 0
    gpu_bytes: int = 0
    sigma: str = ""
    difference: float | None = None
    mean_difference: float | None = None
    faster: float | None = None
    cloud: float = 0.0
    batched: float = 0.0
    operations: tuple[Operation, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is measured: every combination of the lists on top of `config`. `repeats` timed runs per case.

    `checkpoints` maps a model to its folder or card; others use config.model.checkpoint or the table's weights.
    `environment` is added to that of the processes. `pipeline`: transformers' own pipeline too, at the published size.
    `frames`: also whole frames, image to cloud, and batches, but for references, which are slow. `operations`: how many
    operations of a prediction by torch are listed.
    """

    models: Sequence[str]
    runtimes: Sequence[str] = ("auto",)
    precisions: Sequence[str] = ("auto",)
    sizes: Sequence[int] = (0,)
    config: Config = field(default_factory=Config)
    repeats: int = 20
    checkpoints: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pipeline: bool = False
    frames: bool = False
    operations: int = 0

    def pipelines(self, reference: ModelConfig) -> list[ModelConfig]:
        """What transformers' pipeline is measured with beside a reference."""
        if not self.pipeline or reference.input_size or reference.name not in CHECKPOINTS:
            return []
        device = self.config.model.device
        precisions = dict.fromkeys("f32" if precision == "auto" else precision for precision in self.precisions)
        return [dataclasses.replace(reference, precision=precision, device=device) for precision in precisions]

    def cases(self) -> list[ModelConfig]:
        """The cases; those of each model and size begin with their reference, eager torch in float32."""
        found = []
        for name, size in itertools.product(self.models, self.sizes):
            base = dataclasses.replace(
                self.config.model,
                name=name,
                input_size=size,
                checkpoint=self.checkpoints.get(name, self.config.model.checkpoint),
            )
            settings = _reference_of(name)
            reference = dataclasses.replace(base, **settings)
            found += [reference] + [
                case
                for runtime, precision in itertools.product(self.runtimes, self.precisions)
                if (case := dataclasses.replace(base, runtime=runtime, precision=precision)) != reference
                and ((runtime, precision) != (settings["runtime"], "f32") or base.device == "cuda")
            ]
        return found


def measure_models(plan: Plan, announce: Callable[[int, int, ModelConfig], None] = lambda *_: None) -> Iterator[Result]:
    """The result of every case as soon as it is measured; `announce(done, of, case)` before each."""
    cases = plan.cases()
    with tempfile.TemporaryDirectory() as folder:
        reference: tuple[Result, Path] | None = None
        for i, case in enumerate(cases):
            announce(i, len(cases), case)
            answer = Path(folder) / f"{i}.npy"
            if case.runtime != "torch" or case.precision == "auto" or case.compile:  # the first one converts or chooses
                _in_fresh_process(case, dataclasses.replace(plan, repeats=1, frames=False, operations=0), answer)
            result = _in_fresh_process(case, plan, answer)
            if _is_reference(case):
                reference = (result, answer) if not result.reason else None
            elif reference is not None and not result.reason:
                result = _against(result, answer, *reference)
            yield result
            if _is_reference(case) and reference is not None:
                beside = Path(folder) / "pipeline.npy"
                for other in plan.pipelines(case):
                    result = _in_fresh_process(other, plan, beside, pipeline=True)
                    result = dataclasses.replace(result, pipeline=True, sigma="")
                    yield result if result.reason else _against(result, beside, *reference)


def measure_case(config: Config, repeats: int) -> Result:
    """The one case that `config` describes, without a reference, in a fresh process after one that fills caches."""
    with tempfile.TemporaryDirectory() as folder:
        answer, plan = Path(folder) / "answer.npy", Plan([config.model.name], config=config, repeats=repeats)
        _in_fresh_process(config.model, dataclasses.replace(plan, repeats=1), answer)
        return _in_fresh_process(config.model, plan, answer)


def _is_reference(case: ModelConfig) -> bool:
    return case == dataclasses.replace(case, **_reference_of(case.name))


def _against(result: Result, answer: Path, reference: Result, expected: Path) -> Result:
    a, b = np.load(answer), np.load(expected)
    apart, size = np.abs(a - b), np.maximum(np.abs(b), np.finfo(np.float32).tiny)
    return dataclasses.replace(
        result,
        difference=float(apart.max() / size.max()),
        mean_difference=float(apart.mean() / size.mean()),
        faster=reference.p50 / result.p50,
    )


def _in_fresh_process(case: ModelConfig, plan: Plan, answer: Path, pipeline: bool = False) -> Result:
    """Runs `main` below; its last line is the result."""
    order = {
        "model": dataclasses.asdict(case),
        "threads": plan.config.cpu_threads,
        "repeats": plan.repeats,
        "answer": str(answer),
        "pipeline": pipeline,
        "frames": plan.frames and not (pipeline or _is_reference(case)),
        "operations": plan.operations if case.runtime in ("torch", "auto") else 0,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mono_depth_recon.benchmark.models"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**python_environment(), **plan.environment},
        )
    except subprocess.TimeoutExpired:
        return Result(case, f"took longer than {LIMIT_S} s")
    if done.returncode:
        last = (done.stderr.strip() or f"ended with {done.returncode} and printed nothing").splitlines()[-1]
        return Result(case, last)
    figures = json.loads(done.stdout.splitlines()[-1])
    figures["operations"] = tuple(Operation(*values) for values in figures.get("operations", ()))
    return Result(case, **figures)


def run_case(model: DepthModel, repeats: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The model's output for the benchmark's room at 640x480, and its times and memory (fields of `Result`)."""
    view = _view()
    answer = model.predict([view])[0].values
    if not np.isfinite(answer).all():
        raise DataError(f"{model.name} predicted values that are not finite")
    watch = _RuntimeWatch(model)
    seconds, stages = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict([view])
        end = time.perf_counter()
        seconds.append(end - start)
        stages.append((watch.begin - start, watch.end - watch.begin, end - watch.end) if watch.input_px else (0.0,) * 3)
    p50, p95 = (float(np.quantile(seconds, share)) for share in (0.5, 0.95))
    prepare, network, restore = (median(stage) for stage in zip(*stages, strict=True))
    if watch.takes_images:
        network = network_alone_s(model, view, repeats)
        prepare, restore = p50 - network, 0.0
    return answer, {
        "device": model.device,
        "sigma": " ".join(sigma_kinds(model)),
        "input_px": watch.input_px,
        "p50": p50,
        "p95": p95,
        "prepare": prepare,
        "network": network,
        "restore": restore,
        "host_bytes": peak_bytes(),
        "gpu_bytes": _gpu_bytes(),
    }


def _view() -> View:
    """The benchmark's room at 640x480."""
    camera = PinholeCamera.from_hfov(640, 480, 60)
    return room(camera)[1], camera


class _RuntimeWatch:
    """When the model's runtime last began and ended; empty for models of several runtimes (an ensemble)."""

    def __init__(self, model: DepthModel) -> None:
        self.begin, self.end, self.input_px, self.takes_images = 0.0, 0.0, "", False
        runtime = getattr(model, "runtime", None)
        if runtime is None:
            return
        if (device := image_runtime(runtime)) is not None:
            self._watch_images(device)
            return
        run = runtime.run

        def watched(batch: NDArray[np.float32], *others: Any) -> Any:
            rows, columns = batch.shape[1:3] if batch.shape[3] == 3 else batch.shape[2:]
            self.input_px = f"{columns}x{rows}"
            self.begin = time.perf_counter()
            output = run(batch, *others)
            self.end = time.perf_counter()
            return output

        runtime.run = watched

    def _watch_images(self, runtime: Any) -> None:
        run_images, self.takes_images = runtime.run_images, True

        def watched(images: NDArray[np.uint8], way: ImageWay) -> Any:
            self.input_px = "{}x{}".format(*way.network)
            return run_images(images, way)

        runtime.run_images = watched


def _gpu_bytes() -> int:
    torch = sys.modules.get("torch")
    return int(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else 0


def _published(settings: ModelConfig) -> DepthModel:
    from ..models.transformers.published_pipeline import PublishedPipeline

    return PublishedPipeline(CHECKPOINTS[settings.name], settings)


def main() -> int:
    """Measures one case, read from stdin as `_in_fresh_process` writes it."""
    order = json.load(sys.stdin)
    config = with_values(Config(), {f"model.{key}": value for key, value in order["model"].items()})
    try:
        model = _published(config.model) if order["pipeline"] else load_model(config.model, order["threads"])
        answer, figures = run_case(model, order["repeats"])
        if order["frames"]:
            figures |= frame_figures(model, config, order["repeats"])
        if order["operations"]:
            figures["operations"] = longest_operations(lambda: model.predict([_view()]), order["operations"])
    except MonoDepthError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    np.save(order["answer"], answer)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
