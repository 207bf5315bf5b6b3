"""Where a prediction by torch spends its time: its longest operations, on a GPU its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

_RUNS = 5


class Operation(NamedTuple):
    """An operation of one prediction: `calls` and `ms` a prediction, `share` of the time of all operations."""

    name: str
    calls: float
    ms: float
    share: float


def longest_operations(predict: Callable[[], object], count: int) -> list[Operation]:
    """The `count` longest operations of `predict`, which runs a few times, by torch's profiler, longest first.

    Kernels on a GPU, where the model has run on one, otherwise torch's operations on the CPU, without those that they
    call.
    """
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    predict()  # on a GPU it makes its buffers
    on_gpu = torch.cuda.is_initialized()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiled:
        for _ in range(_RUNS):
            predict()
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    times = [
        (each, _microseconds(each))
        for each in profiled.key_averages()
        if each.device_type == wanted and not getattr(each, "is_user_annotation", False)
    ]
    whole = sum(time for _, time in times)
    longest = sorted(times, key=lambda pair: pair[1], reverse=True)[:count]
    return [
        Operation(each.key, each.count / _RUNS, time / _RUNS / 1e3, time / whole) for each, time in longest if time > 0
    ]


def _microseconds(event: Any) -> float:
    """Of all calls, without those of other operations within them."""
    return float(event.self_device_time_total or event.self_cpu_time_total)
