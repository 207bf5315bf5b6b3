"""Torch on a CUDA GPU: pinned buffers, copies that do not block, CUDA graphs, one synchronisation per run.

Images go up as they are, once; resampling, network, the way back to the image's size and, for a whole frame, filters
and cloud are one graph; what is wanted of it comes down.
"""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...arrays import Depth, Points
from ...camera import PinholeCamera
from ...config import ModelConfig
from ...errors import ModelError
from ...frames import Finish, Finished, Scale
from .base import Batch, Network, build_module, example_batch
from .image_way import ImageWay, Metres
from .torch_runtime import forward_of

_SHAPES = 8  # with buffers and a graph at a time, the last ones used; two for a size where a scale comes between
_WARM_UPS = 3  # before a graph is recorded: libraries choose their kernels
_COLOURS = 3
_COMMON_MULTIPLE = 224  # of 14 and 32: every model's patches fill such an input
_GIB = 2.0**30


def why_no_cuda() -> str:
    """Why torch can use no GPU, in its own words where it has any; empty where it can. Imports torch."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is what `init` says
        if torch.cuda.is_available():
            return ""
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:  # built without CUDA; a driver that is too old, or is not there
        return str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")
    return "it finds none"


class CudaRuntime:
    """A torch module on the current CUDA device in f16 (`auto`), bf16 or f32. Its output is float32.

    f32 is torch's own: its convolutions use TF32 unless `torch.backends.cudnn.allow_tf32` says otherwise.
    """

    _on = "cuda"

    def __init__(self, network: Network, settings: ModelConfig) -> None:
        module = build_module(network, "model.runtime torch")
        import torch

        self._network, self._settings = network, settings
        self._precision = "f16" if settings.precision == "auto" else settings.precision
        self._stream = torch.cuda.Stream()
        self._slots: dict[Hashable, _Slot] = {}
        try:
            module = module.to("cuda", memory_format=torch.channels_last)
        except torch.cuda.OutOfMemoryError as error:
            raise ModelError(
                f"{network.name} does not fit into the GPU: {_missing(error)}; choose a smaller model, or "
                "set model.device to cpu"
            ) from error
        self._module = module
        example = example_batch(network)
        self._forward = forward_of(
            module, example if network.foldable else None, "cuda", self._precision, settings.compile
        )
        marks = [
            self._precision,
            *(["compiled"] if settings.compile else []),
            *(["graphs"] if settings.cuda_graphs else []),
        ]
        self.device = f"torch {torch.cuda.get_device_name()} {' '.join(marks)}"
        if example is not None:
            self.run(example)

    def run(self, batch: Batch) -> Batch:
        """(N, 3, rows, columns) -> (N, channels, rows', columns'). ModelError where the GPU's memory is too small."""
        shape = batch.shape
        return np.array(self._run([batch], shape, shape, lambda: _alone(self._forward)).results[0])

    def run_images(self, images: NDArray[np.uint8], way: ImageWay) -> Batch:
        """(N, H, W, 3) uint8 -> (N, channels, H, W). ModelError where the GPU's memory is too small."""
        key = images.shape, way.network
        slot = self._run([images], key, _network_shape(images, way), lambda: _alone(self._from_images(way)))
        return np.array(slot.results[0])

    def run_frame(
        self, images: NDArray[np.uint8], way: ImageWay, camera: PinholeCamera, finish: Finish, metres: Metres
    ) -> tuple[Depth, Finished]:
        """One image (1, H, W, 3) of `camera` -> depth (H, W) after `finish`, and the rest; see `run_images`."""
        from .device_frame import DeviceFrame, FrameInputs

        inputs = FrameInputs.of(camera, finish, metres)
        key = images.shape, way.network, finish.stride, inputs.unknown.shape
        least, depth, points = self._run(
            [images, *inputs],
            key,
            _network_shape(images, way),
            lambda: DeviceFrame(self._from_images(way), finish.stride),
            3 if finish.points else 2,
        ).results
        return np.array(depth), Finished(_cloud(points, finish), float(least[0]))

    def run_held(self, images: NDArray[np.uint8], way: ImageWay, metres: Metres, inverse: bool) -> tuple[Depth, object]:
        """One image (1, H, W, 3) -> its values (H, W), and what `run_scaled` takes: image and disparity."""
        from .device_frame import HeldFrame

        slot = self._run(
            [images, np.array(metres, np.float32)],
            ("held", images.shape, way.network, inverse),
            _network_shape(images, way),
            lambda: HeldFrame(self._from_images(way), inverse),
            keep=True,
        )
        return np.array(slot.results[0]), slot.kept

    def run_scaled(
        self, held: object, way: ImageWay, camera: PinholeCamera, finish: Finish, scale: Scale
    ) -> tuple[Depth, Finished]:
        """Depth (H, W) by `scale` of what `run_held` kept, after `finish`, and the rest."""
        from .device_frame import FrameInputs, ScaledFrame, ScaleInputs

        images, disparity = cast("tuple[Any, Any]", held)
        scaled = ScaleInputs.of(scale, finish.filter.max_range, disparity.shape)
        inputs = FrameInputs.of(camera, finish, scaled.knobs)
        depth, points = self._run(
            [images, disparity, *inputs, scaled.rows, scaled.across],
            ("scaled", images.shape, finish.stride, inputs.unknown.shape, scaled.rows.shape, scaled.across.shape),
            _network_shape(images, way),
            lambda: ScaledFrame(finish.stride),
            2 if finish.points else 1,
        ).results
        return np.array(depth), Finished(_cloud(points, finish), math.nan)

    def _from_images(self, way: ImageWay) -> Callable[[Any], Any]:
        from .device_images import DeviceImages

        return DeviceImages(way, self._forward, self._on)

    def _run(
        self,
        values: Sequence[Any],
        key: Hashable,
        network_shape: tuple[int, ...],
        forward: Callable[[], Callable[..., Sequence[Any]]],
        wanted: int = 1,
        keep: bool = False,
    ) -> _Slot:
        """What `forward()` makes of `values`, by buffers and a graph that are kept under `key`.

        The first `wanted` results come down; they hold until the next run, and with `keep` so does `kept`.
        """
        import torch

        try:
            slot = self._slots.pop(key, None) or self._opened(forward(), values)
            self._slots[key] = slot
            if len(self._slots) > _SHAPES:
                self._slots.pop(next(iter(self._slots)))
            slot.run(values, wanted, keep)
            return slot
        except torch.cuda.OutOfMemoryError as error:
            missing = _missing(error)
        self.release_memory()
        raise ModelError(
            f"{self._network.name} on batches of shape {network_shape} in {self._precision} does not fit "
            f"into the GPU: {missing}; {self._smaller(network_shape)}"
        )

    def release_memory(self) -> None:
        """Forgets buffers and graphs; the next run makes them again."""
        import torch

        self._slots.clear()
        torch.cuda.empty_cache()

    def _opened(self, forward: Callable[..., Sequence[Any]], like: Sequence[Any]) -> _Slot:
        import torch

        self._stream.wait_stream(torch.cuda.current_stream())
        return _Slot(forward, like, self._stream, self._settings.cuda_graphs)

    def _smaller(self, shape: tuple[int, ...]) -> str:
        """What to choose: f16 and a smaller input are tried here, for the error message."""
        side = min(shape[2:]) // 2 // _COMMON_MULTIPLE * _COMMON_MULTIPLE or _COMMON_MULTIPLE
        if shape[1] != _COLOURS:
            return "choose a smaller model, or set model.device to cpu"
        if self._precision == "f32" and _fits(self._module, shape):
            return "model.precision f16 fits"
        if side < min(shape[2:]) and _fits(self._module, (shape[0], 3, side, side)):
            return f"model.precision f16 with model.input_size {side} fits"
        return "choose a smaller model, or set model.device to cpu"


class _Slot:
    """Buffers for values of the shapes and types of `like` and, with `graph`, the recorded run between them.

    Values are arrays, or tensors that are on the device already.
    """

    def __init__(
        self,
        forward: Callable[..., Sequence[Any]],
        like: Sequence[Any],
        stream: Any,
        graph: bool,
        device: str = "cuda",
    ) -> None:
        import torch

        self._forward, self._stream, self._pinned = forward, stream, device == "cuda"
        self._graph: Any = None
        given = [torch.from_numpy(np.empty_like(each)) if _is_array(each) else each for each in like]  # not read-only
        self._host_in = [
            self._host(empty) if _is_array(each) else None for each, empty in zip(like, given, strict=True)
        ]
        with torch.inference_mode(), torch.cuda.stream(stream), _convolutions_tried():
            self._in = [torch.zeros_like(each, device=device).contiguous(memory_format=_layout(each)) for each in given]
            for _ in range(_WARM_UPS):
                self._out = forward(*self._in)
        stream.synchronize()
        if graph:
            self._record()
        self._host_out = [self._host(each) for each in self._out]
        self.results = [host.numpy() for host in self._host_out]
        self.kept: tuple[Any, Any] | None = None

    def _host(self, like: Any) -> Any:
        import torch

        return torch.empty(like.shape, dtype=like.dtype, pin_memory=self._pinned)

    def _record(self) -> None:
        import torch

        recorded = torch.cuda.CUDAGraph()
        try:
            # torch.cuda.graph leaves its own stream current where a recording fails; other threads may allocate.
            with (
                torch.inference_mode(),
                torch.cuda.stream(self._stream),
                torch.cuda.graph(recorded, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._out = self._forward(*self._in)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:  # an operation that waits for the GPU cannot be recorded
            raise ModelError(
                "this model cannot be recorded as a CUDA graph "
                f"({str(error).splitlines()[0]}): set model.cuda_graphs to false"
            ) from error
        self._graph = recorded

    def run(self, values: Sequence[Any], wanted: int, keep: bool = False) -> None:
        """Copies in, runs, copies the first `wanted` of the `results` out on the stream, waits once.

        With `keep`, `kept` are the first value and the last result on the device, in memory of their own.
        """
        import torch

        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for value, host, own in zip(values, self._host_in, self._in, strict=True):
                if host is None:
                    own.copy_(value)
                    continue
                np.copyto(host.numpy(), value)
                own.copy_(host, non_blocking=True)
            if self._graph is None:
                self._out = self._forward(*self._in)
            else:
                self._graph.replay()
            for host, own in zip(self._host_out[:wanted], self._out, strict=False):
                host.copy_(own, non_blocking=True)
            self.kept = (self._in[0].clone(), self._out[-1].clone()) if keep else None
        self._stream.synchronize()


@contextlib.contextmanager
def _convolutions_tried() -> Iterator[None]:
    """Within it cuDNN times its kernels for every new shape and keeps the fastest, where its guess may be slow."""
    import torch

    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _cloud(points: Points, finish: Finish) -> Points | None:
    """A copy of the points, where they are wanted, in the array that is given for them."""
    if not finish.points:
        return None
    cloud = np.empty(points.shape, np.float32) if finish.out is None else finish.out
    np.copyto(cloud, points)
    return cloud


def _alone(forward: Callable[[Any], Any]) -> Callable[[Any], Sequence[Any]]:
    return lambda values: (forward(values),)


def _network_shape(images: NDArray[np.uint8], way: ImageWay) -> tuple[int, ...]:
    columns, rows = way.network
    return len(images), 3, rows, columns


def _layout(values: Any) -> Any:
    """Of a batch for the network, whose images are not packed: channels last."""
    import torch

    return torch.channels_last if values.is_floating_point() and values.ndim == 4 else torch.contiguous_format


def _fits(module: Any, shape: tuple[int, ...]) -> bool:
    """Whether the module runs in f16. Its weights are cast as they are used, not for good."""
    import torch

    try:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            module(torch.zeros(shape, device="cuda"))
    except RuntimeError:  # of torch's allocator, or of a library that has its own
        return False
    finally:
        torch.cuda.empty_cache()
    return True


def _missing(error: Exception) -> str:
    """How much memory is missing at least, from torch's 'Tried to allocate 2.00 GiB ... of which 1.25 GiB is free'."""
    sizes = {unit: 2.0 ** (10 * power) for power, unit in enumerate(("bytes", "KiB", "MiB", "GiB"))}
    found = re.search(r"allocate ([\d.]+) (\w+).*? of which ([\d.]+) (\w+) is free", str(error), re.DOTALL)
    if found is None or not {found[2], found[4]} <= sizes.keys():
        return str(error).split(". ")[0]
    wanted, free = (float(found[i]) * sizes[found[i + 1]] for i in (1, 3))
    return f"at least {max(wanted - free, 0) / _GIB:.2f} GiB are missing ({free / _GIB:.2f} GiB are free)"
