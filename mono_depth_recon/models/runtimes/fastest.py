"""`auto`: the fastest way to run a network among those that agree with float32 torch, measured once on this machine.

On a CPU `model.runtime` has the ways, on a GPU `model.precision`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ... import __version__
from ...config import ModelConfig
from ...errors import ModelError
from .base import Batch, Network, Runtime, cpu_name, example_batch, installed, relative_difference, require
from .cache import cached, versions
from .gpu import gpu_name

BOUNDS = {"f32": 1e-4, "f16": 1e-2, "bf16": 5e-2}  # largest `relative_difference` from float32 torch, by precision
_RUNS = 5  # the shortest counts: other load on the machine can only add to it
_FILE = "decision.json"

Open = Callable[[str, Network, ModelConfig, int], Runtime]
_log = logging.getLogger(__name__)


class Way(NamedTuple):
    """A runtime and a precision."""

    runtime: str
    precision: str


def fastest(network: Network, settings: ModelConfig, threads: int, ways: Sequence[Way], open_named: Open) -> Runtime:
    """The network in the fastest of the `ways`, all on `settings.device`, whose output agrees with float32 torch.

    How far the output may be from it depends on the precision (BOUNDS). Measured at the first start with the runtimes
    that are installed, on one made-up picture; the decision is kept in the cache, with the times, which `device`
    shows. Raises ModelError where torch, the reference, is missing or nothing agrees.
    """
    present = [way for way in ways if installed(way.runtime)]
    require("torch", f"model.runtime auto for {network.name}")
    if len(present) == 1 and present[0].runtime == "torch":
        return _opened(present[0], network, settings, threads, open_named)
    example = example_batch(network)
    if example is None:
        raise ValueError("a network without preprocess cannot be measured")

    def build(folder: Path) -> None:
        rows = _measure(network, settings, threads, present, open_named, example)
        (folder / _FILE).write_text(json.dumps(rows, indent=1), encoding="utf-8")

    key = {
        "what": "fastest",
        "identity": network.identity,
        "shape": str(example.shape),
        "ways": " ".join(map("-".join, ways)),
        "compile": str(settings.compile),
        "graphs": str(settings.cuda_graphs),
        "threads": str(threads),
        "machine": gpu_name() if settings.device == "cuda" else f"{cpu_name()} x{os.cpu_count()}",
        "versions": versions("openvino", "onnxruntime", "torch", "transformers"),
        "runs": str(_RUNS),
        "package": __version__,  # another version may run the same network otherwise
    }
    rows = json.loads((cached(f"{network.name}-auto", key, build) / _FILE).read_text(encoding="utf-8"))
    best = Way(rows[0]["runtime"], rows[0]["precision"])
    runtime = _opened(best, network, settings, threads, open_named)
    differing = "runtime" if len({way.runtime for way in ways}) > 1 else "precision"
    others = ", ".join(
        f"{row[differing]} {row['ms']:.3g}" if "ms" in row else f"{row[differing]} left out" for row in rows
    )
    runtime.device = f"{runtime.device} (auto, ms: {others})"
    return runtime


def _opened(way: Way, network: Network, settings: ModelConfig, threads: int, open_named: Open) -> Runtime:
    return open_named(way.runtime, network, dataclasses.replace(settings, precision=way.precision), threads)


def _measure(
    network: Network, settings: ModelConfig, threads: int, ways: Sequence[Way], open_named: Open, example: Batch
) -> list[dict[str, Any]]:
    """One row per way, those within its bound first, by time; the others have a `reason`."""
    plain = dataclasses.replace(settings, compile=False)
    expected = _opened(Way("torch", "f32"), network, plain, threads, open_named).run(example)
    rows = []
    for way in ways:
        row: dict[str, Any] = way._asdict()
        try:
            row |= _figures(way, _opened(way, network, settings, threads, open_named), example, expected)
        except ModelError as error:
            row["reason"] = str(error)
        rows.append(row)
        _log.info("%s: %s", network.name, row)
        if "reason" in row:
            _log.warning("auto leaves out %s in %s: %s", *way, row["reason"])
    rows.sort(key=lambda row: ("reason" in row, row.get("ms", 0.0)))
    if "reason" in rows[0]:
        raise ModelError(
            f"no runtime runs {network.name} as requested ({rows[0]['reason']}): "
            "set model.runtime to torch and model.precision to f32"
        )
    return rows


def _figures(way: Way, runtime: Runtime, example: Batch, expected: Batch) -> dict[str, Any]:
    bound = BOUNDS[way.precision]
    difference = relative_difference(runtime.run(example), expected)
    if not difference <= bound:
        reason = f"its output differs from float32 torch by {difference:.2g}, {bound:g} is allowed"
        return {"difference": difference, "reason": reason}
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        runtime.run(example)
        times.append(time.perf_counter() - start)
    runtime.release_memory()
    return {"difference": difference, "ms": 1000 * min(times)}
