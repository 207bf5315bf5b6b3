"""`mono-depth-recon fuse` on one small recording in every format, made here: two walls, seen from a moving camera."""

from __future__ import annotations

import colorsys
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_recordings import (
    CAMERA,
    HEIGHT,
    INTRINSICS,
    ROS1,
    ROS2,
    WIDTH,
    Scene,
    tum_plan,
    write_folder,
    write_ros1,
    write_ros2,
)
from processes import DEADLINE_S

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.cli import fuse, main
from mono_depth_recon.cli.costmap import COMPARED, compared
from mono_depth_recon.config import Config
from mono_depth_recon.datasets.tum import TumFolder
from mono_depth_recon.evaluation.costmap import CostMap
from mono_depth_recon.fusion.tsdf_map import TsdfMap
from mono_depth_recon.pictures import views
from mono_depth_recon.pipeline import DepthReconstructor
from mono_depth_recon.sequence import predicted

FLAGS = ("--camera", CAMERA, "--fusion.voxel_size", "0.04", "--fusion.device", "cpu")
NEAR = 2.013


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn with one ray a pixel: four would be most of the time here."""
    monkeypatch.setattr(views, "_SUPERSAMPLING", 1)


def _walls() -> Scene:
    """Five frames, 8 cm apart, with a ninth of a second between them."""
    import cv2

    scene, rng = Scene(frames=5, period_ns=111_111_000), np.random.default_rng(0)
    ray = (np.arange(WIDTH) - INTRINSICS[2]) / INTRINSICS[0]
    scene.positions = np.array([[0.08 * number, 0, 0] for number in range(5)])
    for number, (x, _, _) in enumerate(scene.positions):
        depth = np.where(ray * NEAR + x < 0.2, NEAR, 2.613) * np.ones((HEIGHT, 1))
        scene.depth[number] = np.rint(depth * 5000)
        scene.rgb[number] = cv2.resize(rng.integers(60, 200, (6, 8, 3), np.uint8), (WIDTH, HEIGHT))
    return scene


def _tum(folder: Path, scene: Scene) -> Path:
    return write_folder(folder / "walls", scene)


def _ros1(folder: Path, scene: Scene) -> Path:
    return write_ros1(folder / "walls.bag", tum_plan(scene, ROS1))


def _ros2(folder: Path, scene: Scene) -> Path:
    return write_ros2(folder / "walls", tum_plan(scene, ROS2, "odometry"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The TUM folder, without the pose of the fourth frame."""
    folder = _tum(tmp_path, _walls())
    _change(folder, 3, lambda line: "")
    return folder


def _change(folder: Path, number: int, change: Callable[[str], str]) -> None:
    """Another line for the pose of a frame."""
    file = folder / "groundtruth.txt"
    lines = file.read_text().splitlines()
    lines[number] = change(lines[number])
    file.write_text("\n".join(lines) + "\n")


def _run(*arguments: str | Path) -> int:
    return main(["fuse", *map(str, arguments), *FLAGS])


def test_true_depth_to_mesh_map_and_orbit(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse, "_ORBIT_VIEWS", 3)  # 48 take seconds, and are no other
    out = tmp_path / "out"
    assert _run(recording, "--output", out, "--true-depth", "--save-map", "--orbit", "mp4") == 0
    printed = capsys.readouterr().out
    assert "4 of 5 frames fused (1 no pose)" in printed and "no pose is known at 1305031102.509 s" in printed
    assert {path.name for path in out.iterdir()} == {
        "fused_mesh.ply",
        "fused_view_1.png",
        "fused_view_2.png",
        "report.txt",
        "map.npz",
        "orbit.mp4",
    }
    _check_near_wall(out)
    assert (out / "report.txt").read_text() in printed


def _check_near_wall(out: Path) -> None:
    vertices = TsdfMap.load(out / "map.npz", device="cpu").mesh().vertices
    near = vertices[vertices[:, 0] < 0.1]
    assert len(near) > 200
    np.testing.assert_allclose(near[:, 2], NEAR, atol=3e-3)


@pytest.mark.parametrize("write", [_ros1, _ros2])
def test_bags_bring_their_poses(
    write: Callable[[Path, Scene], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Transforms of a ROS 1 bag, odometry of a ROS 2 bag; a pose file in their place."""
    path = write(tmp_path, _walls())
    assert _run(path, "--output", tmp_path / "out", "--true-depth", "--save-map") == 0
    assert "5 of 5 frames fused" in capsys.readouterr().out
    _check_near_wall(tmp_path / "out")
    poses = write_folder(tmp_path / "folder", _walls()) / "groundtruth.txt"
    poses.write_text("\n".join(poses.read_text().splitlines()[:3]) + "\n")
    assert _run(path, "--output", tmp_path / "given", "--true-depth", "--poses", poses) == 0
    printed = capsys.readouterr().out
    assert "3 of 5 frames fused (2 no pose)" in printed and f"poses: {poses}" in printed


def test_predicted_depth_is_compared_with_the_true_one(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    out = tmp_path / "out"
    assert _run(recording, "--output", out, "--truth", "--overview") == 0
    printed = capsys.readouterr().out
    assert "depth: by unetpp_lite, poses: the recording's" in printed
    assert "fused, against the mesh of the true depth: F-score 0." in printed and "at 5 cm" in printed
    assert re.search(r"in [1-5] views, against the true depth of each:\n  mesh of one frame: F-score", printed)
    assert "fused mesh:        F-score" in printed and "times closer to the truth by Chamfer" in printed
    assert (out / "truth_mesh.ply").exists() and (out / "truth_view_2.png").exists()
    assert cv2.imread(str(out / "overview.png")).shape[1] == 1280


@pytest.mark.slow
def test_a_room_of_few_frames_is_no_string_of_jumps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--output", str(tmp_path), "--true-depth", "--fusion.voxel_size", "0.08", "--fusion.device", "cpu")
    assert main(["fuse", "room:20007:5", *arguments]) == 0
    assert "5 of 5 frames fused" in capsys.readouterr().out


def test_what_lies_outside_a_distorted_image_has_no_depth(recording: Path) -> None:
    """The same depth as the pipeline makes of the raw image, where it masks what the image does not cover."""
    reconstructor = DepthReconstructor.from_config(Config())
    camera = PinholeCamera.from_intrinsics(WIDTH, HEIGHT, *INTRINSICS, D=(0.3, 0.0, 0.0, 0.0))
    raw, rectified = (TumFolder(recording, camera, rectified=each)[0] for each in (False, True))
    frame = predicted(reconstructor, camera)(rectified)
    expected = reconstructor.process(raw.rgb, raw.camera).depth
    assert expected is not None and camera.rectified_valid is not None and not camera.rectified_valid.all()
    np.testing.assert_array_equal(frame.depth, expected)


def test_a_pose_that_jumps_is_left_out(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(recording, 2, lambda line: f"{line.split()[0]} 40 0 0 0 0 0 1")
    assert _run(recording, "--output", tmp_path / "out", "--true-depth", "--save-map") == 0
    assert "pose jump: 39.92 m in 0.11 s, over fusion.max_speed" in capsys.readouterr().out
    _check_near_wall(tmp_path / "out")


def test_a_pose_file_with_nan_lacks_that_pose_and_one_of_words_is_refused(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(recording, 2, lambda line: f"{line.split()[0]} nan 0 0 0 0 0 1")
    assert _run(recording, "--output", tmp_path / "out", "--true-depth") == 0
    printed = capsys.readouterr()
    assert "3 of 5 frames fused (2 no pose)" in printed.out and "groundtruth.txt: 1 lines are left out" in printed.err
    _change(recording, 2, lambda line: f"{line.split()[0]} here 0 0 0 0 0 1")
    assert _run(recording, "--output", tmp_path / "none", "--true-depth") == 1
    assert "groundtruth.txt:3: expected numbers, got 'here'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_topic_of_poses_and_the_limits_of_a_bag_are_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = _ros2(tmp_path, _walls()), ("--output", tmp_path / "out", "--true-depth")
    assert _run(path, *out, "--pose-topic", "/odom") == 0
    for more, message in (
        (("--pose-topic", "/slam"), "has no topic of poses /slam; it has /odom"),
        (("--max-chunk-bytes", "1000"), "above max_chunk_bytes (1000): raise it"),
    ):
        assert _run(path, *out, *more) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--truth", "--true-depth"), "leave one of them out"),
        (("--true-depth", "--step", "0"), "--step must be at least 1"),
        (("--true-depth", "--fusion.depth_max", "0.5"), "got none: 0 of 5 frames fused (4 no depth, 1 no pose)"),
        (("--true-depth", "--poses", "/nowhere/poses.txt"), "poses.txt cannot be read (No such file or directory)\n"),
        (("--true-depth", "--depth-factor", "-1"), "depth_factor must be 0 to 1e+06, got -1"),
        (("--true-depth", "--max-difference", "11"), "max_difference must be 0 to 10, got 11"),
        (("--true-depth", "--model.name", "glpn_nyu"), "without a model: leave out --model.name\n"),
        (("--true-depth", "--filter.border", "9", "--scale.shift", "1"), "leave out --scale.shift, --filter.border\n"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    message: str,
) -> None:
    out = tmp_path / "out"
    assert _run(recording, "--output", out, *more) == 1
    assert message in capsys.readouterr().err
    assert not out.exists() or not list(out.iterdir())


def test_a_recording_without_poses_or_valid_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = _walls()
    bare = write_ros1(tmp_path / "bare.bag", tum_plan(scene, ROS1, "none"))
    assert _run(bare, "--output", tmp_path / "out", "--true-depth") == 1
    said = capsys.readouterr().err
    assert "5 no pose" in said and "--poses" in said
    colour = ("--depth-topic", "/camera/rgb/image_color")
    assert _run(bare, "--output", tmp_path / "out", "--true-depth", *colour) == 1
    said = capsys.readouterr().err
    assert "0 of 0 frames fused" in said and "; left out: " in said and "must be 32FC1" in said
    scene.depth[:] = 0
    assert _run(_tum(tmp_path, scene), "--output", tmp_path / "out", "--true-depth") == 1
    assert "5 no depth" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_fills_up_keeps_no_half_file(recording: Path, tmp_path: Path) -> None:
    """Files of 20 kB at most: the mesh does not fit."""
    out = tmp_path / "out"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mono_depth_recon.cli",
            "fuse",
            str(recording),
            "--output",
            str(out),
            "--true-depth",
            *FLAGS,
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        preexec_fn=limit,
        env={**unmeasured, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert result.returncode == 1 and "cannot write" in result.stderr and "Traceback" not in result.stderr
    assert not list(out.iterdir())


def test_data_sets_without_poses_are_followed_by_odometry_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    path, scene = tmp_path / "walls", _walls()
    for i in range(5):
        for name, pixels in (("rgb", scene.rgb[i][..., ::-1]), ("depth", scene.depth[i] // 5)):
            (path / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path / name / f"{i}.png"), pixels)
    out = ("--output", tmp_path / "out", "--true-depth")
    assert _run(path, *out) == 1
    assert "walls: expected a recording with poses, this data set has none" in capsys.readouterr().err
    assert _run(path, *out, "--poses", tmp_path / "groundtruth.txt") == 1
    assert "poses can be given for data sets of kind tum and bag only" in capsys.readouterr().err
    assert _run(path, *out, "--poses", "odometry") == 0
    assert "frames fused" in capsys.readouterr().out and (tmp_path / "out/fused_mesh.ply").is_file()
    (tmp_path / "two").mkdir()
    for scene_name in ("first", "second"):
        (tmp_path / "two" / scene_name).symlink_to(path)
    assert _run(tmp_path / "two", *out, "--poses", "odometry") == 1
    assert "expected frames of one scene for odometry to follow, got 2 scenes" in capsys.readouterr().err


def test_the_scale_of_a_recording_is_written_as_chart_and_table(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = ("--camera", CAMERA, "--true-depth", "--sources", "points", "odometry", "--output", str(out))
    assert main(["scale", str(recording), *flags]) == 0
    printed = capsys.readouterr().out
    assert "walls: 5 frames, written to" in printed and "5 frames with metres  median" in printed
    assert re.search(
        r"odometry +0 frames with metres; without: .*(expected a recording with poses|no points yet)", printed
    )
    head, *lines = (out / "walls.csv").read_text().splitlines()
    assert head == "stamp,none,points,odometry,none AbsRel,points AbsRel,odometry AbsRel"
    assert len(lines) == 5 and all(line.endswith(",") for line in lines)
    assert [float(line.split(",")[2]) for line in lines] == pytest.approx([1.0] * 5, abs=0.05)
    assert (out / "walls.png").stat().st_size > 5000
    assert main(["scale", str(recording), *flags, "--step", "0"]) == 1
    assert "--step must be at least 1" in capsys.readouterr().err


def test_a_part_of_a_recording_by_random_points_with_and_without_a_field(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--camera", CAMERA, "--true-depth", "--sources", "points", "--output", str(tmp_path / "out"))
    chosen = ("--random-points", "200", "--scale.varying", "true")
    assert main(["scale", f"{recording}:1:3", *flags, *chosen]) == 0
    printed = capsys.readouterr().out
    assert "walls:1:3: 3 frames, written to" in printed and "walls_1_3.png" in printed
    for name in ("points", "points varying"):
        found = re.search(rf"^  {name} +3 frames .*AbsRel ([\d.]+)$", printed, re.MULTILINE)
        assert found is not None and float(found[1]) < 0.01, "the points are exact"
    assert main(["scale", f"{recording}:7:9", *flags]) == 1
    assert "no frame is at the positions from 7 to 9" in capsys.readouterr().err
    assert main(["scale", str(recording), *flags, "--random-points", "-3"]) == 1
    assert "--random-points 0 or more, got 1 and -3" in capsys.readouterr().err
    assert main(["scale", str(recording), *flags, "--random-points", "9000000"]) == 1
    assert re.search(r"at most half of the \d+ pixels with true depth can be anchors", capsys.readouterr().err)
    assert main(["scale", str(recording), "--sources", "odometry", "--random-points", "9"]) == 1
    assert "--random-points is for the source points: add it to --sources" in capsys.readouterr().err
    assert main(["scale", str(recording), "--sources", "marker", "ground_plane", "--scale.varying", "true"]) == 1
    assert "scale.varying has no effect with scale.source=marker" in capsys.readouterr().err
    varying = ("--scale.source", "marker", "--scale.correct_metric", "factor", "--scale.varying", "true")
    assert main(["costmap", "room:8:2", *varying, "--output", str(tmp_path / "out")]) == 1
    assert "scale.varying has no effect with scale.source=marker" in capsys.readouterr().err


def test_recordings_of_one_name_would_replace_each_others_charts(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["scale", "room:8:2", "room:8:2", "--output", str(out)]) == 1
    assert "several are called 'room_8_2': rename them" in capsys.readouterr().err and not out.exists()
    monkeypatch.chdir(recording)
    assert main(["scale", ".", "--camera", CAMERA, "--true-depth", "--sources", "points", "--output", str(out)]) == 0
    assert (out / "walls.png").is_file() and not out.with_name("out.png").exists()


@pytest.mark.parametrize(
    ("command", "flags", "unused"),
    [
        ("costmap", ("--model.name", "glpn_nyu"), "--model.name"),
        ("costmap", ("--scale.source", "marker", "--model.runtime", "torch"), "--model.runtime, --scale.source"),
        ("scale", ("--model.checkpoint", "x"), "--model.checkpoint"),
    ],
)
def test_the_true_depth_has_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, flags: tuple[str, ...], unused: str
) -> None:
    out = tmp_path / "out"
    assert main([command, "room:8:2", "--true-depth", "--output", str(out), *flags]) == 1
    said = f"--true-depth takes the recording's own depth, without a model: leave out {unused}\n"
    assert capsys.readouterr().err.endswith(said) and not out.exists()


def test_the_colours_of_a_costmap_are_those_that_its_legend_names() -> None:
    hues = {"orange": (15, 45), "green": (90, 170), "blue": (190, 250)}
    for name, colour in COMPARED.values():
        hue = 360 * colorsys.rgb_to_hsv(*colour)[0]
        assert hues[name][0] < hue < hues[name][1], f"{name} has the hue of {hue:.0f} degrees"
    made, true = (CostMap(np.array(cells, np.uint8), (0.0, 0.0), 0.1) for cells in ([[0, 0, 254]], [[0, 254, 0]]))
    shown = compared(made, true)[0, 80::160].tolist()
    assert shown == [list(colour) for _, colour in COMPARED.values()], "of both, of depth, of true depth"


def test_a_scale_source_without_effect_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costmap", "room:8:2", "--scale.source", "marker", "--output", str(tmp_path / "out")]) == 1
    assert "unetpp_lite predicts metres, which stay as they are" in capsys.readouterr().err


def test_a_costmap_of_the_true_depth_is_that_of_the_true_depth(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The camera looks up, at walls that are ceilings there."""
    out, flags = tmp_path / "out", ("--camera", CAMERA, "--floor", "-1", "--safe.max_height", "9")
    assert main(["costmap", str(recording), "--true-depth", "--output", str(out), *flags]) == 0
    printed = capsys.readouterr()
    assert "4 frames, map of" in printed.out and "precision 1.000, recall 1.000" in printed.out
    assert "1 frames left out: " in printed.err
    assert {path.name for path in out.iterdir()} == {"costmap.pgm", "costmap.yaml", "costmap.png"}
    with pytest.raises(SystemExit):
        main(["costmap", str(recording), "--resolution", "9"])
    assert "argument --resolution: value must be 0.005 to 1, got 9.0" in capsys.readouterr().err
