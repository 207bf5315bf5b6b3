"""The table of scale sources: what is derived from it, and that a new source is one file and one row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import PARAMETERS, Config, with_values
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Scale
from mono_depth_recon.printing import alternatives
from mono_depth_recon.scale.base import RelativeView
from mono_depth_recon.scale.evidence import NOTHING, Evidence, Kind
from mono_depth_recon.scale.per_camera import CameraScales
from mono_depth_recon.scale.reference import REFERENCE_DEPTH
from mono_depth_recon.scale.table import SCALE_SOURCES, no_metres, source_fitted_to, source_of

# In a separate process, since it adds to the table before the parameters are made from it.
TOY = """
import sys
from mono_depth_recon.scale.table import SCALE_SOURCES
NAMES = tuple(SCALE_SOURCES)
import toy_scale
from made_models import RelativeModel, picture, pinhole, reconstructor, wall
from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import main
from mono_depth_recon.config import PARAMETERS, yaml_text
from mono_depth_recon.scale.evidence import Evidence
from mono_depth_recon.scale.table import no_metres

assert PARAMETERS["scale.source"].choices == (*NAMES, "toy")
assert "toy (from a number beside the image); a metric" in PARAMETERS["scale.source"].help
assert "or scale.source=toy with a number on the topic toy_scale, or choose" in no_metres("m")
running = reconstructor(RelativeModel(wall), scale__source="toy", scale__smoothing=0.5)
first, second = pinhole(), pinhole()

def depth(camera: PinholeCamera, number: float) -> float:
    frame = running.process(picture(camera), camera, evidence=Evidence({toy_scale.TOY_SCALE: lambda: number}))
    return round(float(frame.depth[120, 160]), 4)

assert depth(first, 1.0) == 2.0, "the wall's disparity is 1/2"
assert depth(second, 2.0) == 1.0, "its state is per camera"
assert depth(first, 1.02) == round(2.0 / 1.01, 4), "and smoothed: (1 + 1.02) / 2"
assert depth(first, 3.0) == round(2.0 / 3, 4), "but not over a jump"
frame = running.process(picture(first), first)
assert frame.scale.held == 1
frame = running.process(picture(first), pinhole())
assert frame.depth is None and frame.no_metres == "scale.source=toy needs toy scale beside the image, got none"
print("metres", flush=True)
sys.exit(main(["reconstruct", "a.png", "--hfov", "60", "--scale.source", "toy"]))
"""


def test_another_source_is_one_file_and_one_row(tmp_path: Path) -> None:
    """Parameter, pipeline, messages and command line are derived from its row."""
    support = f"{ROOT / 'test' / 'support'}:{ROOT}"
    code = f"import sys; sys.path[:0] = {support.split(':')!r}\n{TOY}"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    assert result.stdout == "metres\n", result.stderr
    assert result.returncode == 1
    assert "scale.source=toy needs toy scale, which image files do not have" in result.stderr


def test_no_other_file_compares_the_names_of_sources() -> None:
    """Properties of a source belong to its class."""
    names = [f'"{name}"' for name in SCALE_SOURCES if name != "none"] + ["scale.source =", "scale.source !"]
    strays = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in [*(ROOT / "mono_depth_recon").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
        if path.parent.name != "scale"
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(name in line for name in names) and "scale" in line
    ]
    assert not strays, "\n".join(strays)


@pytest.mark.parametrize("name", SCALE_SOURCES)
def test_each_source_describes_itself_and_its_needs(name: str) -> None:
    source = SCALE_SOURCES[name]
    assert source.name == name and source.__doc__
    assert source.gives_metres == (name != "none")
    assert (f"scale.source={name}" in no_metres("m")) == source.gives_metres
    view = RelativeView(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32), PinholeCamera.from_hfov(4, 4, 60))
    settings = with_values(Config(), {"scale.source": name}).scale
    assert source_of(settings) is source
    if not source.gives_metres or source.needs:
        with pytest.raises(DataError, match=f"scale.source={name} "):
            source().fit(view, NOTHING, settings)
    assert {"scale", "shift"} <= source.figures(Scale(0.1, 0.2)).keys()


def test_a_kind_of_evidence_has_its_source() -> None:
    assert source_fitted_to(REFERENCE_DEPTH).name == "reference"
    with pytest.raises(KeyError, match="weather"):
        source_fitted_to(Kind("weather", "rain"))
    assert PARAMETERS["scale.source"].choices == tuple(SCALE_SOURCES)


def test_alternatives_are_enumerated() -> None:
    assert [alternatives(words) for words in ("a", "ab", "abc")] == ["a", "a or b", "a, b or c"]


def test_evidence_is_obtained_once_and_so_is_its_absence() -> None:
    kind: Kind[int] = Kind("cloud_cover", "a share")
    asked: list[int] = []

    def obtain() -> int:
        asked.append(len(asked))
        if len(asked) == 1:
            return 7
        raise DataError("none came")

    seen, missed = Evidence({kind: obtain}), Evidence({kind: obtain})
    assert kind in seen and [seen.get(kind), seen.get(kind)] == [7, 7]
    for _ in range(2):
        with pytest.raises(DataError, match="none came"):
            missed.get(kind)
    assert asked == [0, 1]
    assert kind not in NOTHING
    with pytest.raises(DataError, match="expected cloud cover beside the image, got none"):
        NOTHING.get(kind)


def test_each_camera_keeps_its_own_state_until_the_source_changes() -> None:
    scales, first, second = CameraScales(), *(PinholeCamera.from_hfov(64, 48, 60) for _ in range(2))
    fitted, fixed = (with_values(Config(), {"scale.source": name}).scale for name in ("reference", "fixed"))
    kept = scales.of(first, fitted)
    assert scales.of(second, fitted) is not kept
    assert scales.of(first, fitted) is kept
    scales.of(second, fixed)
    assert scales.of(first, fitted) is not kept
