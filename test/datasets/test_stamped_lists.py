"""Lists of stamps: byte order marks, nanoseconds, poses that are none, repeated and unordered lines, ranges."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest
from made_recordings import CAMERA, Scene, write_folder

from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.datasets.stamped_lists import read_list, read_trajectory
from mono_depth_recon.errors import DataError

OPTIONS = OpenOptions(camera=CAMERA)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_lists_may_begin_with_a_byte_order_mark(tmp_path: Path, mark: bytes) -> None:
    folder = write_folder(tmp_path / "desk", Scene())
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        lines = (folder / name).read_text().splitlines()
        text = "\r\n".join(line for line in lines if line[0] != "#")  # the mark is before a number
        (folder / name).write_bytes(mark + text.encode("utf-16-le" if mark == codecs.BOM_UTF16_LE else "utf-8"))
    dataset = open_dataset(folder, OPTIONS)
    pose = dataset[0].T_world_camera
    assert len(dataset) == 6 and pose is not None and np.array_equal(pose[:3, 3], Scene().positions[0])


def test_stamps_may_be_whole_nanoseconds(tmp_path: Path) -> None:
    scene = Scene()
    folder = write_folder(tmp_path / "desk", scene)
    expected = open_dataset(folder, OPTIONS)
    text = "".join(
        f"{ns} {' '.join(map(str, p))} 0 0 0 1\n" for ns, p in zip(scene.stamps_ns, scene.positions, strict=True)
    )
    (folder / "groundtruth.txt").write_text(text)
    lines = [line.split() for line in (folder / "rgb.txt").read_text().splitlines() if line[0] != "#"]
    (folder / "rgb.txt").write_text(
        "".join(f"{ns} {line[1]}\n" for ns, line in zip(scene.stamps_ns, lines, strict=True))
    )
    found = open_dataset(folder, OPTIONS)
    assert found.stamps == expected.stamps and found.notes == []
    assert all(
        a.T_world_camera is not None and np.array_equal(a.T_world_camera, b.T_world_camera)
        for a, b in zip(found, expected, strict=True)
    )  # type: ignore[arg-type]


def test_stamps_of_another_unit_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    (tmp_path / "rgb.txt").write_text("1305031102175 1.png\n")
    with pytest.raises(
        DataError, match=r"rgb\.txt:1: a stamp must be in seconds, or in nanoseconds of 19 digits, got '130"
    ):
        read_list(tmp_path / "rgb.txt", [])


def test_lines_that_are_no_pose_are_left_out_and_counted(tmp_path: Path) -> None:
    path, notes = tmp_path / "groundtruth.txt", list[str]()
    path.write_text(
        "# stamp tx ty tz qx qy qz qw\n"
        "2.0 2 0 0 0 0 0 1\n"
        "1.0 1 0 0 0 0 0 1.004\n"
        "1.5 nan 0 0 0 0 0 1\n"
        "1.6 9 0 0 0 0 0 0\n"
        "2.0 9 0 0 0 0 0 1\n"
        "nan 9 0 0 0 0 0 1\n"
        "1.7 9 0 0 nan nan nan nan\n"
        "1.8 9 0 0 0 0 0 2\n"
        "1.9 inf 0 0 0 0 0 1\n"
    )
    trajectory = read_trajectory(path, notes)
    assert trajectory.span == (1.0, 2.0) and len(trajectory) == 2
    pose = trajectory.pose(1.5, 2.0)
    assert pose is not None and np.allclose(pose, [[1, 0, 0, 1.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert notes == [
        f"{path}: 7 lines are left out, as no pose or of a stamp that was there before: line 4, 5, 6, 7, 8, ..."
    ]


def test_poses_of_another_time_name_both_spans(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "desk", Scene())
    (folder / "groundtruth.txt").write_text("10.0 0 0 0 0 0 0 1\n12.5 0 0 0 0 0 0 1\n")
    dataset = open_dataset(folder, OPTIONS)
    assert dataset[0].T_world_camera is None
    assert dataset.notes == [
        f"{folder / 'groundtruth.txt'}: no frame has a pose: the poses are from 10.000 to 12.500 s, the frames from "
        "1305031102.175 to 1305031102.342 s"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("50,5 0 32\n0 51 24\n0 0 1\n", r"camera\.txt: expected numbers, got '50,5 0 32 .*: write decimal points"),
        ("50 wide 32\n0 51 24\n0 0 1\n", r"camera\.txt: expected a matrix of numbers, got '50 wide 32'"),
        ("50 51 31.5\n", r"camera\.txt: "),
        ("50 51 \udcff\udcfd 23", r"camera\.txt cannot be read as the text of a camera"),
        ("\ufeff50 51 31.5 23.5\n", ""),
        ("50,51,31.5,23.5\n", ""),
        ("50, 0, 31.5\n0, 51, 23.5\n0, 0, 1\n", ""),
    ],
)
def test_the_camera_of_an_image_folder(tmp_path: Path, text: str, says: str) -> None:
    folder = write_folder(tmp_path / "desk", Scene())
    for name in ("rgb.txt", "depth.txt", "groundtruth.txt"):
        (folder / name).unlink()
    for file in folder.glob("depth/*.png"):
        file.rename(folder / "depth" / next(iter(sorted(folder.glob(f"rgb/{file.stem[:-5]}*")))).name)
    (folder / "camera.txt").write_text(text, encoding="utf-8", errors="surrogateescape")
    if says:
        from mono_depth_recon.errors import CalibrationError

        with pytest.raises(CalibrationError, match=says):
            open_dataset(folder)[0]
    else:
        camera = open_dataset(folder, OpenOptions(depth_factor=5000.0))[0].camera
        assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50, 51, 31.5, 23.5)


@pytest.mark.parametrize("end", ["1305031103.5 1 2", "1305031103.5 1 2\0\0\0\0", "130503", "\0\0\0\0"])
def test_what_a_loss_of_power_leaves_at_the_end_is_left_out_and_counted(tmp_path: Path, end: str) -> None:
    folder = write_folder(tmp_path / "desk", Scene())
    for name in ("rgb.txt", "groundtruth.txt"):
        with (folder / name).open("a") as file:
            file.write(end)
    dataset = open_dataset(folder, OPTIONS)
    pose = dataset[5].T_world_camera
    assert len(dataset) == 6 and pose is not None and np.array_equal(pose[:3, 3], Scene().positions[5])
    cut = [note for note in dataset.notes if "1 line is left out, cut off at the end of the file: line" in note]
    zeros = [note for note in dataset.notes if "4 zero bytes at the end of the file are left out" in note]
    assert (len(cut), len(zeros)) == (2 * (end[0] == "1"), 2 * ("\0" in end)) and len(dataset.notes) == len(cut + zeros)


def test_a_malformed_line_that_is_not_the_cut_last_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "groundtruth.txt"
    for text in ("1.0 1 0 0\n2.0 1 0 0 0 0 0 1", "2.0 1 0 0 0 0 0 1\n3.0 1 0 0\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="expected 'stamp tx ty tz qx qy qz qw', got 4 fields$"):
            read_trajectory(path, [])


@pytest.mark.parametrize("separator", [",", ";", ", ", "; "])
def test_another_separator_is_named(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "groundtruth.txt"
    path.write_text("1.0 1 0 0 0 0 0 1".replace(" ", separator) + "\n")
    with pytest.raises(
        DataError, match=rf"groundtruth\.txt:1: .*separate the fields by spaces, not by '{separator[0]}'"
    ):
        read_trajectory(path, [])


def test_utf_32_is_named(tmp_path: Path) -> None:
    path = tmp_path / "groundtruth.txt"
    path.write_text("1.0 1 0 0 0 0 0 1\n", encoding="utf-32")
    with pytest.raises(DataError, match=r"not UTF-8 \(it is UTF-32: save it as UTF-8\)"):
        read_trajectory(path, [])


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000 + "b", "rgb/" + "y" * 100_000])
def test_a_file_name_of_any_length_is_missing_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "rgb.txt").write_text(f"1.5 {name}\n2.5 b.png\n")
    with pytest.raises(
        DataError, match=r"rgb\.txt:1: names .*, which is missing: copy it, or remove the line$"
    ) as raised:
        read_list(tmp_path / "rgb.txt", [])
    assert len(str(raised.value)) < 2000
    (tmp_path / "nyu2_test.csv").write_text(f"{name},b.png\n")
    with pytest.raises(DataError, match="paths count from the folder that holds data/"):
        NyuCsv("nyu", tmp_path)
