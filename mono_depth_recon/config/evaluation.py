"""The group `evaluation` of the parameters: the running node against a depth camera beside it."""

from __future__ import annotations

from dataclasses import dataclass

from .param import param


@dataclass(frozen=True)
class LiveEvaluationConfig:
    """Depth as the node computes it, compared with the topic reference_depth."""

    enabled: bool = param(
        False, "compare with reference_depth: running AbsRel, delta1, scale and shift in /diagnostics"
    )
    rate: float = param(2.0, "frames compared per second at most; 0 = all", unit="Hz", low=0.0, high=1000.0)
    window: int = param(30, "compared frames that the running figures are the mean of", low=1, high=10000)
