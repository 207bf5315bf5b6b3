"""Speed and memory of a model for Table 3, measured as `mono-depth-recon benchmark --models` does."""

from __future__ import annotations

from ..benchmark.models import measure_case
from ..config import Config
from ..evaluation.table3 import Costs

_REPEATS = 10


def costs_of(config: Config) -> Costs:
    """Of the model that `config` names, in a fresh process."""
    result = measure_case(config, _REPEATS)
    if result.reason:
        return Costs(reason=result.reason)
    return Costs(result.p50, result.host_bytes, result.gpu_bytes, result.device)
