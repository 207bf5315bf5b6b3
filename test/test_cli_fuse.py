"""`mono-depth-recon fuse` on a small recording in TUM's layout, made here: two walls, seen from a moving camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono_depth_recon.cli import main
from mono_depth_recon.fusion_map import TsdfMap

FLAGS = ("--camera", "525 525 319.5 239.5", "--fusion.voxel_size", "0.04", "--fusion.device", "cpu")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Five frames, 8 cm apart; the pose of the fourth is missing (stamps a second apart)."""
    import cv2

    folder = tmp_path / "walls"
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    lists: dict[str, list[str]] = {"rgb": [], "depth": [], "groundtruth": []}
    ray = (np.arange(640) - 319.5) / 525
    rng = np.random.default_rng(0)
    for number in range(5):
        x = 0.08 * number
        depth = np.where(ray * 2.013 + x < 0.2, 2.013, 2.613) * np.ones((480, 1))
        rgb = cv2.resize(rng.integers(60, 200, (30, 40, 3), np.uint8), (640, 480))
        cv2.imwrite(str(folder / f"rgb/{number}.png"), rgb)
        cv2.imwrite(str(folder / f"depth/{number}.png"), np.rint(depth * 5000).astype(np.uint16))
        for name in ("rgb", "depth"):
            lists[name].append(f"{number}.0 {name}/{number}.png")
        if number != 3:
            lists["groundtruth"].append(f"{number}.0 {x} 0 0 0 0 0 1")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_true_depth_to_mesh_map_and_orbit(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    asked = ("--true-depth", "--save-map", "--orbit", "mp4")
    status = main(["fuse", str(recording), "--output", str(out), *asked, *FLAGS])
    printed = capsys.readouterr().out
    assert status == 0 and "4 of 5 frames fused (1 no pose)" in printed
    assert "left out: 3.png: no pose: no pose is known at 3.000 s" in printed
    assert {path.name for path in out.iterdir()} == {
        "fused_mesh.ply", "fused_view_1.png", "fused_view_2.png", "report.txt", "map.npz", "orbit.mp4"}
    vertices = TsdfMap.load(out / "map.npz", device="cpu").mesh().vertices
    near = vertices[vertices[:, 0] < 0.1]
    np.testing.assert_allclose(near[:, 2], 2.013, atol=2e-3)
    assert (out / "report.txt").read_text() in printed


def test_predicted_depth_is_compared_with_the_true_one(recording: Path, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["fuse", str(recording), "--output", str(out), "--truth", "--step", "2", *FLAGS]) == 0
    printed = capsys.readouterr().out
    assert "depth: by unetpp_mobile, poses: the recording's" in printed
    assert "fused, against the mesh of the true depth: F-score 0." in printed and "at 5 cm" in printed
    assert "single frames (3), each against its own true depth: F-score 0." in printed
    assert (out / "truth_mesh.ply").exists() and (out / "truth_view_2.png").exists()


@pytest.mark.parametrize(("more", "message"), [
    (("--truth", "--true-depth"), "leave one of them out"),
    (("--true-depth", "--step", "0"), "--step must be at least 1"),
    (("--true-depth", "--fusion.depth_max", "0.5"), "it is empty"),
])
def test_what_cannot_be_done_is_said_and_nothing_is_written(
        recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str,
) -> None:
    out = tmp_path / "out"
    assert main(["fuse", str(recording), "--output", str(out), *more, *FLAGS]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists() or not list(out.iterdir())
