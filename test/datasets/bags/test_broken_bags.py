"""Broken, truncated and unsuitable recordings: what is readable is read, and the rest is reported in one line."""

from __future__ import annotations

import sqlite3
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

from mono_depth_recon.datasets.dataset import Recording
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError


@pytest.mark.parametrize(
    "form", ["ros1", "ros1_bz2", "ros1_lz4", "mcap", "mcap_storage", "mcap_file", "sqlite3", "tgz"]
)
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_truncated_recording_gives_its_readable_part_and_says_so(tmp_path: Path, form: str, share: float) -> None:
    scene = Scene(frames=12)
    path = FORMATS[form](tmp_path, scene)
    file = path if path.is_file() else next(f for f in path.iterdir() if f.name != "metadata.yaml")
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    recording = open_dataset(path, OpenOptions(camera=CAMERA))
    read, broken = readable(recording)
    assert 12 * share - 5 <= read <= 12 * share + 1  # zstd gives whole blocks of 128 KB only
    assert any(word in " ".join([*recording.notes, *broken]) for word in ("breaks off", "ends", "cannot be read"))
    assert recording.notes or form == "sqlite3"


def readable(recording: Recording) -> tuple[int, list[str]]:
    count, broken = 0, []
    for i in range(len(recording)):
        try:
            count += recording[i].rgb.shape == (48, 64, 3)
        except DataError as error:
            broken.append(str(error))
    return count, broken


def test_an_unindexed_ros1_bag_is_read_from_the_start(tmp_path: Path) -> None:
    """As a recorder leaves it that was killed: index position 0, no records after the chunks."""
    path = FORMATS["ros1"](tmp_path, Scene())
    data = bytearray(path.read_bytes())
    at = data.index(b"index_pos=") + len(b"index_pos=")
    index = int.from_bytes(data[at : at + 8], "little")
    data[at : at + 8] = bytes(8)
    path.write_bytes(data[:index])
    recording = open_dataset(path)
    assert len(recording) == 6 and "has no index" in recording.notes[0]


def test_a_ros2_bag_without_metadata_or_end_is_read(tmp_path: Path) -> None:
    path = FORMATS["mcap"](tmp_path, Scene())
    (path / "metadata.yaml").unlink()
    file = next(path.iterdir())
    data = file.read_bytes()
    file.write_bytes(data[: data.rindex(b"\x0f\x04\x00\x00\x00\x00\x00\x00\x00")])  # before DataEnd
    recording = open_dataset(path)
    assert len(recording) == 6 and "was not closed" in recording.notes[0]
    assert len(open_dataset(file)) == 6


def test_a_bag_split_into_files_is_one_recording(tmp_path: Path) -> None:
    scene, plan = Scene(), tum_plan(Scene(), ROS2)
    folder = tmp_path / "split"
    folder.mkdir()
    for i, part in enumerate((plan[:13], plan[13:])):
        written = write_ros2(tmp_path / f"part{i}", part)
        next(written.glob("*.db3")).rename(folder / f"split_{9 + i}.db3")
    recording = open_dataset(folder)
    assert len(recording) == scene.frames
    assert all(np.array_equal(s.rgb, scene.rgb[i]) for i, s in enumerate(recording))


def test_a_damaged_chunk_costs_its_frames_only(tmp_path: Path) -> None:
    path = FORMATS["ros1_lz4"](tmp_path, Scene(frames=12))
    data = bytearray(path.read_bytes())
    middle = data.index(b"compression=lz4", len(data) // 2)
    data[middle + 100 : middle + 2000] = bytes(1900)
    path.write_bytes(data)
    recording = open_dataset(path)
    assert 8 <= readable(recording)[0] <= 11
    assert "damaged lz4 block" in recording.notes[0]


def test_a_corrupt_image_in_the_middle_is_one_broken_frame(tmp_path: Path) -> None:
    plan = encoded_plan(Scene(frames=5), ROS2, "png", "16UC1")
    plan[7][3].data = plan[7][3].data[:300]
    recording = open_dataset(write_ros2(tmp_path / "a", plan))
    count, broken = readable(recording)
    assert count == 4 and "frame 1305031102.241970" in broken[0] and "whole JPEG, PNG" in broken[0]


def test_mixed_sizes_are_named(tmp_path: Path) -> None:
    scene, make = Scene(), Messages(ROS1)
    small = np.ones((24, 32), np.float32)
    plan = [
        (t, topic, kind, make.image(t - 10, small, "32FC1") if topic.endswith("depth/image") else msg)
        for t, topic, kind, msg in tum_plan(scene, ROS1)
    ]
    with pytest.raises(DataError, match="depth: expected 64x48 pixels, as the camera has, got 32x24"):
        open_dataset(write_ros1(tmp_path / "a.bag", plan))[0]


def test_an_implausible_depth_names_the_likely_factor(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "desk", Scene())
    assert not open_dataset(folder, OpenOptions(camera=CAMERA)).notes
    [note] = open_dataset(folder, OpenOptions(camera=CAMERA, depth_factor=1.0)).notes
    assert "median depth is 1.09e+04 m" in note and "depth_factor is 1 per metre, likely is 5000" in note


def test_damaged_messages_are_errors_of_their_frame(tmp_path: Path) -> None:
    path = FORMATS["sqlite3"](tmp_path, Scene())
    with sqlite3.connect(next(path.glob("*.db3"))) as database:
        database.execute("UPDATE messages SET data = substr(data, 1, 2000) WHERE id = 12")
    count, broken = readable(open_dataset(path))
    assert count == 5 and len(broken) == 1 and "message of 2000 bytes" in broken[0]


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda p: p / "none", DataError, "does not exist"),
        (lambda p: p, DataError, "is no recording"),
        (lambda p: write_text(p / "a.bag", "no bag"), DataError, "is no recording"),
        (lambda p: write_text(p / "a.bag", "#ROSBAG V2.0\n"), DataError, "no message of an image"),
        (
            lambda p: write_text(p / "a.db3", "SQLite format 3\0 and no more"),
            DataError,
            "expected a ROS 2 bag in SQLite",
        ),
        (lambda p: write_folder(p / "desk", Scene()), CalibrationError, "names none of freiburg1"),
    ],
)
def test_what_is_no_recording_says_what_was_expected(
    tmp_path: Path, make: Callable[[Path], Path], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        open_dataset(make(tmp_path))
    assert "\n" not in str(caught.value)


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_camera_must_be_a_preset_or_numbers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="camera must be 'fx fy cx cy .* or one of freiburg1"):
        open_dataset(FORMATS["ros1"](tmp_path, Scene()), OpenOptions(camera="freiburg9"))


def test_an_archive_leaves_nothing_behind_and_writes_nothing_outside(tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "evil.tgz", "w:gz") as archive:
        for name in ("../rgb.txt", "/tmp/mono_depth_recon_evil/rgb/1.png"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(DataError, match="expected a TUM folder in it"):
        open_dataset(tmp_path / "evil.tgz")
    assert not (tmp_path / "rgb.txt").exists() and not Path("/tmp/mono_depth_recon_evil").exists()
    recording = open_dataset(FORMATS["tgz"](tmp_path, Scene()), OpenOptions(camera=CAMERA))
    folder = recording.colour[0].file.parent  # type: ignore[attr-defined]
    assert folder.is_dir()
    recording.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("whole", "damaged", "missing"),
    [
        (b"time stamp", b"time stamq", "'stamp'"),
        (b"float64 x", b"float64 v", "'x' (number) of geometry_msgs/msg/"),
        (b"string child_frame_id", b"uint64 child_frame_id", "'child_frame_id' (string)"),
        (b"Transform transform", b"Transform transforn", "'transform' (geometry_msgs/msg/Transform)"),
    ],
)
def test_damaged_definitions_of_messages_are_said_by_the_field(
    tmp_path: Path, whole: bytes, damaged: bytes, missing: str
) -> None:
    path = FORMATS["ros1"](tmp_path, Scene())
    data = path.read_bytes()
    assert whole in data
    path.write_bytes(data.replace(whole, damaged))
    try:
        recording = open_dataset(path, OpenOptions(camera=CAMERA))
        said = " ".join([*recording.notes, *readable(recording)[1]])
    except DataError as error:
        said = str(error)
    assert missing in said and "it is damaged" in said
