"""The stand-ins of point_cloud_transport's Python packages, in place of the real ones too: what arrives is known."""

from __future__ import annotations

import os

from processes import ROOT

DRACO_STANDIN = str(ROOT / "test" / "support" / "draco_standin")


def with_draco() -> dict[str, str]:
    """Environment variables that give a node the stand-ins."""
    return {"PYTHONPATH": os.pathsep.join([DRACO_STANDIN, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}
