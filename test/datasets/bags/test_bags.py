"""Recordings in every format against the TUM folder that they were made from; topics, cameras, poses, memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_recordings import (
    CAMERA,
    FORMATS,
    ROS1,
    ROS2,
    Messages,
    Scene,
    encoded_plan,
    tum_plan,
    write_folder,
    write_ros1,
    write_ros2,
)
from processes import DEADLINE_S

from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import DataError
from mono_depth_recon.frames import Sample


def same(a: Sample, b: Sample) -> bool:
    assert a.depth is not None and b.depth is not None
    assert a.T_world_camera is not None and b.T_world_camera is not None
    return (
        a.stamp == b.stamp
        and np.array_equal(a.rgb, b.rgb)
        and np.array_equal(a.depth, b.depth, equal_nan=True)
        and np.array_equal(a.T_world_camera, b.T_world_camera)
        and np.array_equal(a.camera.K, b.camera.K)
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_samples_to_the_last_digit(tmp_path: Path, form: str) -> None:
    scene = Scene()
    (tmp_path / "reference").mkdir()
    reference = open_dataset(write_folder(tmp_path / "reference/desk", scene), OpenOptions(camera=CAMERA))
    recording = open_dataset(FORMATS[form](tmp_path, scene), OpenOptions(camera=CAMERA))
    assert len(recording) == len(reference) == scene.frames
    assert recording.notes == []
    assert [stamp * 1e6 for stamp in recording.stamps] == [ns / 1000 for ns in scene.stamps_ns]
    assert all(same(a, b) for a, b in zip(recording, reference, strict=True))
    assert np.array_equal(recording[2].rgb, scene.rgb[2])
    assert np.array_equal(recording[-1].rgb, scene.rgb[-1])  # any order
    assert recording[0].rgb.flags.writeable
    with pytest.raises(IndexError):
        recording[scene.frames]
    recording.close()


@pytest.mark.parametrize("form", ["tgz", "ros1_lz4", "mcap"])
def test_truth_moves_to_the_rectified_grid_by_the_map_of_the_image(tmp_path: Path, form: str) -> None:
    path, distorted = FORMATS[form](tmp_path, Scene()), CAMERA + " 0.3 -0.1 0.001 0.002"
    raw = open_dataset(path, OpenOptions(camera=distorted))[1]
    straight = open_dataset(path, OpenOptions(camera=distorted, rectified=True))[1]
    assert raw.depth is not None and straight.depth is not None
    assert straight.camera.is_rectified and np.array_equal(straight.rgb, raw.camera.rectify(raw.rgb))
    columns, rows = (np.rint(m).astype(int) for m in raw.camera.rectification_maps)
    inside = (columns >= 0) & (columns < 64) & (rows >= 0) & (rows < 48)
    expected = np.where(inside, raw.depth[rows.clip(0, 47), columns.clip(0, 63)], np.nan)
    assert np.mean(np.isnan(straight.depth) == np.isnan(expected)) > 0.999  # a map half way between two pixels
    both = np.isfinite(straight.depth) & np.isfinite(expected)
    assert np.mean(straight.depth[both] == expected[both]) > 0.999
    assert np.isin(straight.depth[np.isfinite(straight.depth)], raw.depth[np.isfinite(raw.depth)]).all()


def test_the_shift_of_freiburg1s_truth_is_what_the_lens_says() -> None:
    """Unrectified truth beside a rectified prediction would be 5 pixels off on average, 37 at most."""
    from mono_depth_recon.datasets.tum import camera_of_name

    camera = camera_of_name("freiburg1")
    columns, rows = camera.rectification_maps
    shift = np.hypot(columns - np.arange(640), rows - np.arange(480)[:, None])
    assert shift.mean() == pytest.approx(5, abs=1) and shift.max() == pytest.approx(37, abs=2)


@pytest.mark.parametrize("form", ["ros1", "sqlite3", "mcap"])
def test_without_a_given_camera_the_bags_own_counts(tmp_path: Path, form: str) -> None:
    recording = open_dataset(FORMATS[form](tmp_path, Scene()))
    assert recording.camera.size == (64, 48) and recording.camera.K[[0, 1, 0, 1], [0, 1, 2, 2]].tolist() == [
        50,
        51,
        31.5,
        23.5,
    ]
    assert (recording.frame_id, recording.world_frame) == ("openni_rgb_optical_frame", "world")


def test_tums_own_bags_are_calibrated_by_their_name(tmp_path: Path) -> None:
    """Their camera_info holds the factory's numbers; a given preset or given numbers take precedence."""
    scene = Scene(frames=2, width=640, height=480)
    make, plan = Messages(ROS1), tum_plan(scene, ROS1)
    factory = [
        (t, topic, kind, make.info(t, (640, 480), (525.0, 525.0, 319.5, 239.5)) if "Info" in kind else msg)
        for t, topic, kind, msg in plan
    ]
    path = write_ros1(tmp_path / "rgbd_dataset_freiburg1_xyz.bag", factory)
    recording = open_dataset(path)
    assert recording.camera.fx == 517.306 and recording.camera.is_distorted
    assert "freiburg1" in recording.notes[0]
    assert open_dataset(path, OpenOptions(camera="freiburg3")).camera.fx == 535.4
    assert open_dataset(path, OpenOptions(camera="525 525 319.5 239.5")).camera.fx == 525
    path = path.rename(tmp_path / "desk.bag")
    assert open_dataset(path).camera.fx == 525  # another camera's numbers are its own


@pytest.mark.parametrize("types", [ROS1, ROS2], ids=["ros1", "ros2"])
@pytest.mark.parametrize(
    ("colour", "depth"),
    [
        ("bgr8", "16UC1"),
        ("rgba8", "padded"),
        ("bayer_rggb8", "big_endian"),
        ("mono8", "mono16"),
        ("png", "compressedDepth"),
        ("jpeg", "compressedDepth 32FC1"),
    ],
)
def test_encodings(tmp_path: Path, types: object, colour: str, depth: str) -> None:
    scene = Scene(frames=2)
    plan = encoded_plan(scene, types, colour, depth)
    path = write_ros1(tmp_path / "a.bag", plan) if types is ROS1 else write_ros2(tmp_path / "a", plan)
    sample = open_dataset(path)[1]
    assert sample.depth is not None
    expected, metres = scene.rgb[1], scene.metres(1)
    if colour in ("bgr8", "rgba8", "png"):
        assert np.array_equal(sample.rgb, expected)
    if colour == "mono8":
        assert np.array_equal(sample.rgb, np.repeat(expected[..., :1], 3, axis=2))
    if colour == "bayer_rggb8":
        assert np.array_equal(sample.rgb[2:-2:2, 2:-2:2, 0], expected[2:-2:2, 2:-2:2, 0])
        assert np.array_equal(sample.rgb[3:-2:2, 3:-2:2, 2], expected[3:-2:2, 3:-2:2, 2])
    assert np.array_equal(np.isnan(sample.depth), np.isnan(metres))
    tolerance = {"padded": 0, "big_endian": 0, "compressedDepth 32FC1": 0.005}.get(depth, 0.00051)
    assert np.nanmax(np.abs(sample.depth - metres)) <= tolerance


def test_topics_are_found_by_type_or_named(tmp_path: Path) -> None:
    scene, make = Scene(), Messages(ROS2)
    plan = tum_plan(scene, ROS2)
    for i, stamp in enumerate(scene.stamps_ns):
        plan.append(
            (stamp, "/camera/ir/image_raw", "sensor_msgs/msg/Image", make.image(stamp, scene.rgb[i, ..., 0], "mono8"))
        )
        plan.append(
            (stamp, "/aligned_depth/image_raw", "sensor_msgs/msg/Image", make.image(stamp, scene.depth[i], "16UC1"))
        )
    path = write_ros2(tmp_path / "bag", plan)
    found = open_dataset(path)
    assert found.topics == ("/camera/rgb/image_color", "/aligned_depth/image_raw")  # type: ignore[attr-defined]
    assert "not /camera/ir/image_raw" in found.notes[0] and "not /camera/depth/image" in found.notes[1]
    named = open_dataset(
        path, OpenOptions(colour_topic="/camera/ir/image_raw", depth_topic="/camera/depth/image", camera=CAMERA)
    )
    assert np.array_equal(named[0].rgb[..., 1], scene.rgb[0, ..., 0])
    depth = open_dataset(path, OpenOptions(colour_topic="/aligned_depth/image_raw", camera=CAMERA))
    assert any("colour is /aligned_depth/image_raw, which holds depth (16UC1)" in note for note in depth.notes)
    with pytest.raises(DataError, match=r"no image topic /front; its image topics: /aligned_depth/image_raw \(16UC1\)"):
        open_dataset(path, OpenOptions(colour_topic="/front"))


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (lambda topic: "depth" not in topic, r"has no depth topic \(images in 16UC1, 32FC1"),
        (lambda topic: "rgb" not in topic, "has no colour topic"),
        (lambda topic: "odom" in topic, "its image topics: none"),
    ],
)
def test_missing_topics_are_named_with_what_is_there(tmp_path: Path, keep: Callable[[str], bool], says: str) -> None:
    plan = [row for row in tum_plan(Scene(), ROS1, "odometry") if keep(row[1])]
    with pytest.raises(DataError, match=says):
        open_dataset(write_ros1(tmp_path / "a.bag", plan))


def test_colour_alone_is_enough_where_depth_is_not_needed(tmp_path: Path) -> None:
    plan = [row for row in tum_plan(Scene(), ROS1) if "depth" not in row[1]]
    recording = open_dataset(write_ros1(tmp_path / "a.bag", plan), OpenOptions(need_depth=False))
    assert len(recording) == 6 and recording[3].depth is None


def test_no_overlap_in_time_names_both_spans(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"within 0.02 s; the stamps of /camera/rgb/image_color and .* are 1305031102"):
        open_dataset(write_ros1(tmp_path / "a.bag", tum_plan(Scene(late_ns=10**12), ROS1)))


def test_association_is_one_to_one_by_the_stamps_of_the_headers(tmp_path: Path) -> None:
    """Depth 30 ms late is nearest to the next colour image; the time of receipt does not matter."""
    recording = open_dataset(write_ros2(tmp_path / "a", tum_plan(Scene(late_ns=30_000_000), ROS2), "mcap"))
    assert len(recording) == 5
    assert recording[0].stamp == Scene().stamps_ns[1] / 10**9
    first = recording[0].depth
    assert first is not None and np.array_equal(first, Scene().metres(0), equal_nan=True)


def test_poses_come_from_transforms_odometry_or_a_file(tmp_path: Path) -> None:
    scene = Scene()
    by_odometry = open_dataset(write_ros2(tmp_path / "odometry", tum_plan(scene, ROS2, "odometry")))
    pose = by_odometry[3].T_world_camera
    assert pose is not None and np.allclose(pose[:3, 3], scene.positions[3]) and by_odometry.world_frame == "world"
    bare = write_ros1(tmp_path / "bare.bag", tum_plan(scene, ROS1, "none"))
    assert open_dataset(bare)[0].T_world_camera is None
    folder = write_folder(tmp_path / "desk", scene)
    (folder / "groundtruth.txt").rename(tmp_path / "bare-groundtruth.txt")  # as TUM names it
    pose = open_dataset(bare)[2].T_world_camera
    assert pose is not None and np.array_equal(pose[:3, 3], scene.positions[2])
    assert open_dataset(bare, OpenOptions(poses="none"))[2].T_world_camera is None
    path = write_ros1(tmp_path / "tf.bag", tum_plan(scene, ROS1))
    given = open_dataset(path, OpenOptions(poses=str(tmp_path / "bare-groundtruth.txt")))
    assert given[2].T_world_camera is not None and given.world_frame == ""


def test_a_mount_alone_is_no_pose(tmp_path: Path) -> None:
    scene, make = Scene(), Messages(ROS2)
    mount = make.transforms(scene.stamps_ns[0], {("base_link", "openni_rgb_optical_frame"): np.ones(3)})
    plan = [(scene.stamps_ns[0] - 1, "/tf_static", "tf2_msgs/msg/TFMessage", mount), *tum_plan(scene, ROS2, "none")]
    assert open_dataset(write_ros2(tmp_path / "a", plan))[1].T_world_camera is None
    moving = [
        (t, "/odom", "nav_msgs/msg/Odometry", make.odometry(t, p, "odom", "base_link"))
        for t, p in zip(scene.stamps_ns, scene.positions, strict=True)
    ]
    recording = open_dataset(write_ros2(tmp_path / "b", [*plan, *moving]))
    pose = recording[1].T_world_camera
    assert recording.world_frame == "odom" and pose is not None
    assert np.allclose(pose[:3, 3], scene.positions[1] + 1)


MEASURE = """
import pathlib, sys
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
recording = open_dataset(sys.argv[1], OpenOptions(camera="250 250 160 120"))
seen = sum(sample.rgb.shape[0] > 0 for sample in recording)
status = pathlib.Path("/proc/self/status").read_text()
print(seen, status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ros1", "ros1_lz4", "sqlite3", "mcap"])
def test_memory_does_not_grow_with_the_length_of_a_bag(tmp_path: Path, form: str) -> None:
    """140 frames more, 53 MB on disk, take no more memory but for the index: peak resident of a process of its own."""
    used = []
    for frames in (20, 160):
        (tmp_path / str(frames)).mkdir()
        path = write_long(tmp_path / str(frames), form, frames)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        seen, kilobytes = map(int, done.stdout.split())
        assert seen == frames
        used.append(kilobytes / 1024)
    assert used[1] - used[0] < 15, f"{used[0]:.0f} MB with 20 frames, {used[1]:.0f} MB with 160"
    assert used[1] < 600


def write_long(folder: Path, form: str, frames: int) -> Path:
    """320x240, the same pair of images again and again, one message in memory at a time."""
    scene, types = Scene(frames=1, width=320, height=240), ROS1 if form.startswith("ros1") else ROS2
    make = Messages(types)

    plan = (
        (i * 10**8, f"/{name}/image", "sensor_msgs/msg/Image", make.image(i * 10**8 + 1, pixels, encoding))
        for i in range(frames)
        for name, pixels, encoding in (("rgb", scene.rgb[0], "rgb8"), ("depth", scene.depth[0], "16UC1"))
    )
    if form.startswith("ros1"):
        return write_ros1(folder / "a.bag", plan, form[5:], 200_000)
    return write_ros2(folder / "a", plan, form)
