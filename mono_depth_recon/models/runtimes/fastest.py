"""`model.runtime: auto`: the fastest runtime on this CPU among those that agree with float32 torch, measured once."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...config import ModelConfig
from ...errors import ModelError
from .base import Batch, Network, Runtime, cpu_name, example_batch, installed, relative_difference, require
from .cache import cached, versions

BOUNDS = {"f32": 1e-4, "f16": 1e-2, "bf16": 5e-2}  # largest `relative_difference` from float32 torch, by precision
_RUNS = 5  # the shortest counts: other load on the machine can only add to it
_FILE = "decision.json"

Open = Callable[[str, Network, ModelConfig, int], Runtime]
_log = logging.getLogger(__name__)


def fastest(network: Network, settings: ModelConfig, threads: int, names: Sequence[str], open_named: Open) -> Runtime:
    """The fastest runtime of `names` on the CPU whose output lies within BOUNDS of float32 torch.

    Measured at the first start with what is installed, on one made-up picture; the decision is kept in the cache, with
    the times, which `device` shows. Raises ModelError where torch, the reference, is missing or nothing agrees.
    """
    present = [name for name in names if installed(name)]
    require("torch", f"model.runtime auto for {network.name}")
    if present == ["torch"]:
        return open_named("torch", network, settings, threads)
    example = example_batch(network)
    if example is None:
        raise ValueError("a network without preprocess cannot be measured")
    precision = "f32" if settings.precision == "auto" else settings.precision

    def build(folder: Path) -> None:
        rows = _measure(network, settings, threads, present, open_named, example, BOUNDS[precision])
        (folder / _FILE).write_text(json.dumps(rows, indent=1), encoding="utf-8")

    key = {
        "what": "fastest",
        "identity": network.identity,
        "shape": str(example.shape),
        "precision": precision,
        "compile": str(settings.compile),
        "threads": str(threads),
        "machine": f"{cpu_name()} x{os.cpu_count()}",
        "versions": versions("openvino", "onnxruntime", "torch", "transformers"),
        "runs": str(_RUNS),
    }
    rows = json.loads((cached(f"{network.name}-auto", key, build) / _FILE).read_text(encoding="utf-8"))
    runtime = open_named(rows[0]["runtime"], network, settings, threads)
    others = ", ".join(
        f"{row['runtime']} {row['ms']:.0f}" if "ms" in row else f"{row['runtime']} left out" for row in rows
    )
    runtime.device = f"{runtime.device} (auto, ms: {others})"
    return runtime


def _measure(
    network: Network,
    settings: ModelConfig,
    threads: int,
    names: Sequence[str],
    open_named: Open,
    example: Batch,
    bound: float,
) -> list[dict[str, Any]]:
    """One row per runtime, those within the bound first, by time; the others have a `reason`."""
    plain = dataclasses.replace(settings, precision="f32", compile=False)
    expected = open_named("torch", network, plain, threads).run(example)
    rows = []
    for name in names:
        try:
            rows.append(_row(name, open_named(name, network, settings, threads), example, expected, bound))
        except ModelError as error:
            rows.append({"runtime": name, "reason": str(error)})
        _log.info("%s on %s: %s", network.name, name, rows[-1])
        if "reason" in rows[-1]:
            _log.warning("model.runtime auto leaves out %s: %s", name, rows[-1]["reason"])
    rows.sort(key=lambda row: ("reason" in row, row.get("ms", 0.0)))
    if "reason" in rows[0]:
        raise ModelError(
            f"no runtime runs {network.name} as requested ({rows[0]['reason']}): "
            "set model.runtime to torch and model.precision to f32"
        )
    return rows


def _row(name: str, runtime: Runtime, example: Batch, expected: Batch, bound: float) -> dict[str, Any]:
    difference = relative_difference(runtime.run(example), expected)
    if not difference <= bound:
        return {
            "runtime": name,
            "difference": difference,
            "reason": f"its output differs from float32 torch by {difference:.2g}, {bound:g} is allowed",
        }
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        runtime.run(example)
        times.append(time.perf_counter() - start)
    return {"runtime": name, "difference": difference, "ms": 1000 * min(times)}
