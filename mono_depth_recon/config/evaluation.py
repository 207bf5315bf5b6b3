"""The parameter group `evaluation`: the running node is compared with a depth camera."""

from __future__ import annotations

from dataclasses import dataclass

from ..param import param


@dataclass(frozen=True)
class LiveEvaluationConfig:
    """How the node's depth is compared with the topic reference_depth."""

    enabled: bool = param(
        False, "compare depth with reference_depth: running AbsRel, delta1, scale and shift in /diagnostics"
    )
    rate: float = param(2.0, "maximum number of frames compared per second; 0 = all", unit="Hz", low=0.0, high=1000.0)
    window: int = param(30, "number of compared frames that the running figures are averaged over", low=1, high=10000)
