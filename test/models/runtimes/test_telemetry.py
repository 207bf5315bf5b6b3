"""What runs a network tells nobody: libraries that send statistics by default send none and keep no identity."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import DEADLINE_S, ROOT

from mono_depth_recon.models.runtimes.telemetry import sending_nothing

_EMBEDDED = """
from mono_depth_recon.config import ModelConfig
from mono_depth_recon.models import load_model
for runtime in ("openvino", "onnxruntime"):
    load_model(ModelConfig(name="unetpp_mobile", runtime=runtime), 1)
"""
_CONVERTED = """
from pathlib import Path
import torch
from mono_depth_recon.models.runtimes import Network
from mono_depth_recon.models.runtimes.openvino_runtime import convert
print(convert(Network("made", "made-1", lambda: torch.nn.Conv2d(3, 1, 1).eval(), Path()), (1, 3, 8, 8)))
"""


@pytest.mark.parametrize(
    ("libraries", "code"),
    [(["openvino", "onnxruntime"], _EMBEDDED), (["torch", "openvino"], _CONVERTED)],
    ids=["embedded", "converted"],
)
def test_nothing_is_kept_for_sending(libraries: list[str], code: str, tmp_path: Path) -> None:
    for library in libraries:
        pytest.importorskip(library)
    hidden = {"ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "JENKINS_URL", "XDG_CACHE_HOME"}
    told = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**told, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.name in ("Microsoft", "intel")] == []


@pytest.mark.parametrize("before", [None, "no"])
def test_the_environment_is_as_before(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    if before is not None:
        monkeypatch.setenv("CI", before)
    with sending_nothing():
        assert os.environ["CI"] == "true"
    assert os.environ.get("CI") == before
