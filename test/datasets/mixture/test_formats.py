"""Readers of the other training data: every format is written as published and read back against the known depth."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, Scene
from made_training_sets import (
    HEIGHT,
    KITTI_HEIGHT,
    KITTI_WIDTH,
    WIDTH,
    colour,
    depth,
    kitti_known,
    write_kitti,
    write_nyu_csv,
    write_nyu_mat,
    write_pairs,
    write_png,
)
from processes import DEADLINE_S
from reading_processes import read_fork_and_read

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.datasets.bags.bag import open_bag
from mono_depth_recon.datasets.dataset import Dataset
from mono_depth_recon.datasets.image_folder import ImageFolder
from mono_depth_recon.datasets.joined import Joined
from mono_depth_recon.datasets.kitti import KittiDepth, read_list
from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv, read_pairs
from mono_depth_recon.datasets.nyu.mat import NyuMat
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.datasets.rooms.source import ManyRooms, RoomViewOptions
from mono_depth_recon.datasets.tum_archive import open_tum
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError

DRIVES = {
    "2011_09_26_drive_0001_sync": "train",
    "2011_09_26_drive_0002_sync": "train",
    "2011_09_29_drive_0026_sync": "val",
}


# KITTI depth


@pytest.fixture(scope="module")
def kitti_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_kitti(tmp_path_factory.mktemp("kitti"), DRIVES)


def test_kitti_depth_is_sparse_and_in_metres(kitti_set: tuple[Path, Path]) -> None:
    source = KittiDepth("kitti", *kitti_set)
    assert source.official() == {"train": [0, 1, 2, 3, 4, 5], "test": [6, 7, 8]}
    assert source.scene(3) == "2011_09_26_drive_0002_sync"
    sample = source[4]  # image 6 of drive 2
    known = kitti_known(6)
    np.testing.assert_array_equal(np.isfinite(np.asarray(sample.depth)), known)
    np.testing.assert_allclose(
        np.asarray(sample.depth)[known], depth(6, KITTI_WIDTH, KITTI_HEIGHT, 60.0)[known], atol=0.5001 / 256
    )
    np.testing.assert_array_equal(sample.rgb, colour(6, KITTI_WIDTH, KITTI_HEIGHT))
    assert sample.stamp == pytest.approx(0.6)


def test_kitti_camera_is_that_of_the_rectified_left_image(kitti_set: tuple[Path, Path]) -> None:
    camera = KittiDepth("kitti", *kitti_set)[0].camera
    assert camera.size == (KITTI_WIDTH, KITTI_HEIGHT)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (72.15377, 72.15377, 60.95593, 17.28540)


@pytest.mark.parametrize(
    "line",
    [
        "2011_09_26/2011_09_26_drive_0001_sync/image_02/data/{number:010d}.png "
        "2011_09_26_drive_0001_sync/proj_depth/groundtruth/image_02/{number:010d}.png 721.5377",
        "2011_09_26/2011_09_26_drive_0001_sync {number} l",
    ],
)
def test_kitti_lists_in_both_forms(kitti_set: tuple[Path, Path], tmp_path: Path, line: str) -> None:
    (tmp_path / "train.txt").write_text("\n".join(line.format(number=n) for n in (6, 3, 7)) + "\n # an end\n\n")
    (tmp_path / "test.txt").write_text("2011_09_29/2011_09_29_drive_0026_sync 5 l\n")
    source = KittiDepth("kitti", *kitti_set, lists={"train": tmp_path / "train.txt", "test": tmp_path / "test.txt"})
    assert source.official() == {"train": [0, 1], "test": [2]}
    assert [source[i].name[-10:] for i in range(3)] == ["0000000006", "0000000007", "0000000005"]
    assert source.notes == [f"{tmp_path / 'train.txt'}: 1 of 3 images have no annotated depth"]
    assert source.origin(1) == f"{tmp_path / 'train.txt'}:3"


def test_kitti_both_cameras(tmp_path: Path) -> None:
    raw, annotated = write_kitti(tmp_path, dict(list(DRIVES.items())[:1]), frames=1)
    for folder in (next(raw.rglob("image_02")), next(annotated.rglob("image_02"))):
        shutil.copytree(folder, folder.with_name("image_03"))
    assert len(KittiDepth("kitti", raw, annotated)) == 1
    source = KittiDepth("kitti", raw, annotated, "both")
    assert [source[i].name.split("/")[1] for i in range(2)] == ["02", "03"]
    assert source.scene(0) == source.scene(1)
    (tmp_path / "list.txt").write_text("2011_09_26/2011_09_26_drive_0001_sync 5 r\n")
    right = KittiDepth("kitti", raw, annotated, lists={"train": tmp_path / "list.txt"})[0]
    assert right.camera.fx == 72.15377 and "/03/" in right.name


def test_kitti_takes_colour_that_was_converted_to_jpeg(tmp_path: Path) -> None:
    raw, annotated = write_kitti(tmp_path, dict(list(DRIVES.items())[:1]), frames=1)
    png = next(raw.rglob("*.png"))
    write_png(png.with_suffix(".jpg"), colour(5, KITTI_WIDTH, KITTI_HEIGHT))
    png.unlink()
    assert (
        np.abs(KittiDepth("kitti", raw, annotated)[0].rgb.astype(int) - colour(5, KITTI_WIDTH, KITTI_HEIGHT)).mean() < 4
    )


def test_kitti_names_what_is_wrong(tmp_path: Path) -> None:
    raw, annotated = write_kitti(tmp_path, dict(list(DRIVES.items())[:1]), frames=2)
    source = KittiDepth("kitti", raw, annotated)
    calibration = raw / "2011_09_26/calib_cam_to_cam.txt"
    text = calibration.read_text()
    calibration.write_text(text.replace("7.215377e+01 0.0", "seventy 0.0", 1))
    with pytest.raises(DataError, match=r"calib_cam_to_cam\.txt:6: P_rect_02 must be 12 finite numbers"):
        source[0]
    calibration.write_text(text.replace("7.215377e+01 0.0", "72,15377 0.0", 1))
    with pytest.raises(DataError, match=r"txt:6: P_rect_02 must be 12 finite .*: write decimal points, not commas"):
        KittiDepth("kitti", raw, annotated)[0]
    calibration.write_text(text.replace("S_rect_02: 1.240000e+02", "S_rect_02: 1.250000e+02"))
    with pytest.raises(DataError, match=r"0000000005\.png: colour has 124x37 pixels, expected 125x37"):
        source[0]
    calibration.write_text(text.replace("P_rect_02", "P_2"))
    with pytest.raises(DataError, match="expected a line 'P_rect_02:'"):
        KittiDepth("kitti", raw, annotated)[0]
    calibration.write_text(text)
    source.files(1)[0].unlink()
    with pytest.raises(DataError, match=r"needs .*0000000006\.png, which is missing: download the raw recording"):
        source[1]
    with pytest.raises(DataError, match="is not a folder"):
        KittiDepth("kitti", raw / "nowhere", annotated)
    with pytest.raises(DataError, match="found none for camera left"):
        KittiDepth("kitti", raw, raw)
    with pytest.raises(DataError, match="found none for camera right"):
        KittiDepth("kitti", raw, annotated, "right")


@pytest.mark.parametrize(
    "line",
    [
        "2011_09_26_drive_0001_sync 5 l",
        "2011_09_26/2011_09_26_drive_0001_sync five l",
        "2011_09_26/2011_09_26_drive_0001_sync 5 m",
        "2011_09_26/2011_09_26_drive_0001_sync ² l",
        "2011_09_26/2011_09_26_drive_0001_sync/image_02/data/².png",
        "2011_09_26/2011_09_26_drive_0001_sync/image_07/data/1.png x",
    ],
)
def test_malformed_lines_of_kitti_lists_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"2011_09_26/2011_09_26_drive_0001_sync 5 l\n{line}\n")
    with pytest.raises(DataError, match=r"list\.txt:2: expected 'DATE"):
        read_list(tmp_path / "list.txt")


def test_blank_lines_of_nyu_lists_are_no_pairs(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text(" \n\na.png,b.png\r\n \t\n")
    assert [(pair.line, pair.colour.name, pair.depth.name) for pair in read_pairs(tmp_path / "list.csv")] == [
        (3, "a.png", "b.png")
    ]


# Folders of image pairs


def _folder(path: Path, camera: str = "60 60 31.5 23.5", per_metre: float = 1000.0) -> ImageFolder:
    return ImageFolder("mine", path, "{scene}/rgb/{frame}.png", "{scene}/depth/{frame}.png", per_metre, camera, 10.0)


def test_pairs_are_found_by_pattern_in_natural_order(tmp_path: Path) -> None:
    source = _folder(write_pairs(tmp_path, ["hall", "attic"], frames=11, per_metre=5000.0), per_metre=5000.0)
    assert [source[i].name for i in (0, 1, 2, 10, 11)] == ["attic/0", "attic/1", "attic/2", "attic/10", "hall/0"]
    np.testing.assert_array_equal(source[2].rgb, colour(12))
    np.testing.assert_allclose(np.asarray(source[2].depth), depth(12), atol=0.5001 / 5000)
    assert source[0].camera.fx == 60 and source[0].camera.size == (WIDTH, HEIGHT)
    assert list(source.positions)[9:13] == [9, 10, 11, 12]


def test_patterns_take_prefixes_and_one_scene(tmp_path: Path) -> None:
    for k in range(3):
        write_png(tmp_path / f"frame-{k:06d}.color.jpg", colour(k))
        write_png(tmp_path / f"frame-{k:06d}.depth.png", np.rint(depth(k) * 1000).astype(np.uint16))
    source = ImageFolder(
        "mine", tmp_path, "frame-{frame}.color.jpg", "frame-{frame}.depth.png", 1000, "60 60 31.5 23.5", 10.0
    )
    assert len(source) == 3 and source.scene(0) == "mine"


def test_zero_depth_is_unknown(tmp_path: Path) -> None:
    stored = np.rint(depth(0) * 1000).astype(np.uint16)
    stored[10:20, 5:9] = 0
    write_pairs(tmp_path, ["hall"], frames=1)
    write_png(tmp_path / "hall/depth/0.png", stored)
    np.testing.assert_array_equal(np.isnan(np.asarray(_folder(tmp_path)[0].depth)), stored == 0)


def test_distorted_pairs_are_rectified(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["hall"], frames=1)
    camera = PinholeCamera.from_intrinsics(WIDTH, HEIGHT, 60, 60, 31.5, 23.5, (0.2, -0.5, 0.001, 0.002, 0.3))
    sample = _folder(tmp_path, "60 60 31.5 23.5 0.2 -0.5 0.001 0.002 0.3")[0]
    assert sample.camera.is_rectified
    map_x, map_y = camera.rectification_maps
    inside = (map_x > 0) & (map_x < WIDTH - 1) & (map_y > 0) & (map_y < HEIGHT - 1) & np.isfinite(sample.depth)
    columns, rows = np.clip(map_x, 0, WIDTH - 1), np.clip(map_y, 0, HEIGHT - 1)
    slope = 1 + 4 * columns / (WIDTH - 1) - 0.5 * rows / (HEIGHT - 1)  # depth(0) at the place that the pixel shows
    np.testing.assert_allclose(np.asarray(sample.depth)[inside], slope[inside], atol=0.06)
    assert inside.mean() > 0.8 and np.abs(map_x - np.arange(WIDTH)).max() > 0.8


@pytest.mark.parametrize(
    "text",
    [
        "60 61 31.5 23.5\n",
        "# fx fy cx cy\r\n\t60\t61 31.5 23.5 # px\r\n",
        "60 0 31.5\n0 61 23.5\n0 0 1\n",
        "60,0,31.5,0\n0,61,23.5,0\n0,0,1,0\n0,0,0,1\n",
    ],
)
def test_intrinsics_from_a_file_of_the_scene(tmp_path: Path, text: str) -> None:
    write_pairs(tmp_path, ["hall", "attic"], frames=1)
    for scene in ("hall", "attic"):
        (tmp_path / scene / "camera.txt").write_text(text)
    camera = _folder(tmp_path, "{scene}/camera.txt")[1].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (60, 61, 31.5, 23.5)


@pytest.mark.parametrize("text", ["600 0 315\n0 610 235\n0 0 1\n", "600 610 315 235\n"])
def test_intrinsics_of_another_size_are_named(tmp_path: Path, text: str) -> None:
    write_pairs(tmp_path, ["hall"], frames=1)
    (tmp_path / "camera.txt").write_text(text)
    with pytest.raises(CalibrationError, match=r"K must have its principal point in the image, got \(315, 235\)"):
        _folder(tmp_path, "camera.txt")[0]


def test_image_folders_name_what_is_wrong(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["hall"], frames=4)
    write_png(tmp_path / "hall/depth/1.png", np.rint(depth(1) * 25).astype(np.uint8))
    write_png(tmp_path / "hall/depth/2.png", np.rint(depth(2, 32, 24) * 1000).astype(np.uint16))
    (tmp_path / "hall/depth/3.png").unlink()
    source = _folder(tmp_path)
    assert [str(gap) for gap in source.gaps] == [
        f"{tmp_path}/hall/rgb/3.png: has no depth image {{scene}}/depth/{{frame}}.png beside it"
    ]
    with pytest.raises(
        DataError, match=r"rgb/1\.png: .*depth/1\.png: depth must be one channel of 16 bits .* got uint8"
    ):
        source[1]
    with pytest.raises(DataError, match=r"rgb/2\.png: depth has 32x24 pixels, expected 64x48"):
        source[2]
    with pytest.raises(DataError, match=r"no pair of .*\(4 files\) and .*\(0 files\)"):
        ImageFolder("mine", tmp_path, "{scene}/rgb/{frame}.png", "{scene}/{frame}.png", 1000, "60 60 31.5 23.5", 10)
    with pytest.raises(CalibrationError, match="camera is needed"):
        _folder(tmp_path, "")
    with pytest.raises(CalibrationError, match=r"camera\.txt is missing"):
        _folder(tmp_path, "camera.txt")[0]
    for pattern in ("rgb/*.png", "rgb/{number}.png", "/rgb/{frame}.png"):
        with pytest.raises(ConfigError, match="pattern must be a relative path"):
            ImageFolder("mine", tmp_path, pattern, "{frame}", 1000, "60 60 31.5 23.5", 10)


# Recordings and rooms


@pytest.mark.parametrize("form", ["folder", "tgz", "ros1", "mcap"])
def test_recordings_are_what_their_readers_give(tmp_path: Path, form: str) -> None:
    path = FORMATS[form](tmp_path, Scene(frames=3))
    options = OpenOptions(camera=CAMERA)
    source = Joined("desk", path, OPENERS[form], options, 10.0)
    reader = open_dataset(path, OpenOptions(camera=CAMERA, rectified=True))
    assert len(source) == len(reader) == 3 and list(source.positions) == [0, 1, 2]
    for i in range(3):
        np.testing.assert_array_equal(source[i].rgb, reader[i].rgb)
        np.testing.assert_array_equal(np.asarray(source[i].depth), np.asarray(reader[i].depth))
        assert source[i].stamp == reader[i].stamp and source[i].camera.is_rectified
    assert source.scene(0) == path.name and str(path) in source.origin(0)
    assert source.per_metre(0) == (5000 if form in ("folder", "tgz") else 1)  # 32FC1
    reader.close()


def test_several_recordings_by_one_pattern(tmp_path: Path) -> None:
    for number, frames in enumerate((2, 4)):
        (tmp_path / f"take{number}").mkdir()
        FORMATS["folder"](tmp_path / f"take{number}", Scene(frames=frames))
    source = Joined("desk", tmp_path / "take*/desk", open_tum, OpenOptions(camera=CAMERA), 10.0)
    assert len(source) == 6 and list(source.positions) == [0, 1, 0, 1, 2, 3]
    assert [Path(source.origin(i)).parts[-4] for i in (1, 2)] == ["take0", "take1"]
    with pytest.raises(DataError, match="no recording matches this pattern"):
        Joined("desk", tmp_path / "other*", open_tum, OpenOptions(camera=CAMERA), 10.0)


def test_a_path_that_exists_is_no_pattern(tmp_path: Path) -> None:
    """`desk [2]` as a pattern would be `desk 2`."""
    for folder, frames in (("desk [2]", 2), ("desk 2", 4)):
        (tmp_path / folder).mkdir()
        FORMATS["folder"](tmp_path / folder, Scene(frames=frames))
    source = Joined("desk", tmp_path / "desk [2]/desk", open_tum, OpenOptions(camera=CAMERA), 10.0)
    assert len(source) == 2 and "/desk [2]/" in source.origin(0)
    assert len(Joined("desk", tmp_path / "desk [0-9]/desk", open_tum, OpenOptions(camera=CAMERA), 10.0)) == 4


OPENERS = {"folder": open_tum, "tgz": open_tum, "ros1": open_bag, "mcap": open_bag}
ROOMS = RoomViewOptions(
    rooms=3, frames_per_room=2, first_seed=5, width=32, height=24, min_hfov_deg=50, max_hfov_deg=80, tilt_deg=10
)


@pytest.mark.slow
def test_views_of_a_room_are_the_same_in_any_order() -> None:
    rooms = ManyRooms("rooms", ROOMS)
    later, earlier, again = (rooms[i] for i in (1, 0, 1))
    assert [sample.name for sample in (later, earlier)] == ["room 5 view 1", "room 5 view 0"]
    np.testing.assert_array_equal(later.rgb, again.rgb)
    np.testing.assert_array_equal(np.asarray(later.depth), np.asarray(again.depth))
    assert later.camera.fx != earlier.camera.fx
    for sample in (later, earlier):
        hfov = 2 * np.degrees(np.arctan(16 / sample.camera.fx))
        assert 50 <= hfov <= 80 and np.nanmedian(np.asarray(sample.depth)) > 0.3


def test_each_room_is_made_when_its_first_view_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Views:
        def __init__(self, seed: int, options: RoomViewOptions) -> None:
            made.append(seed)
            self.seed = seed
            assert options is ROOMS

        def view(self, i: int) -> tuple[int, int]:
            return self.seed, i

    monkeypatch.setattr("mono_depth_recon.datasets.rooms.source.RoomViews", Views)
    rooms = ManyRooms("rooms", ROOMS)
    assert [rooms[i] for i in range(6)] == [(5, 0), (5, 1), (6, 0), (6, 1), (7, 0), (7, 1)] and made == [5, 6, 7]
    assert [rooms.scene(i) for i in (1, 2)] == ["room 5", "room 6"] and rooms.is_rendered
    with pytest.raises(IndexError):
        rooms[6]
    with pytest.raises(ConfigError, match="must not be above max_hfov_deg"):
        RoomViewOptions(1, 1, 0, 32, 24, 80, 50, 10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mat", "csv", "kitti", "folder", "tgz", "mcap"])
def test_workers_read_what_the_main_process_reads(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """Pickled, and inherited by a fork while its parent has files open, whose own reading goes on."""
    source: Dataset
    if kind == "mat":
        source = NyuMat("nyu", write_nyu_mat(tmp_path / "labeled.mat", ["kitchen_0004", "office_0012"]))
    elif kind == "csv":
        source = NyuCsv("nyu", write_nyu_csv(tmp_path, ["study_0003"]))
    elif kind == "kitti":
        source = KittiDepth("kitti", *request.getfixturevalue("kitti_set"))
    elif kind == "folder":
        source = _folder(write_pairs(tmp_path, ["hall"], frames=2))
    else:
        path = FORMATS[kind](tmp_path, Scene(frames=3))
        source = Joined("desk", path, OPENERS[kind], OpenOptions(camera=CAMERA), 10.0)
    here = source[len(source) - 1]
    expected = (float(np.nansum(np.asarray(here.depth))), int(here.rgb.sum()))
    context = multiprocessing.get_context("forkserver")  # has no threads: pytest's own process may
    context.set_forkserver_preload(["reading_processes"])
    answers, theirs = context.Pipe(duplex=False)
    process = context.Process(target=read_fork_and_read, args=(source, theirs))
    process.start()
    theirs.close()
    for whose in ("pickled", "inherited by a fork", "the fork's parent's"):
        assert answers.poll(DEADLINE_S), whose
        assert answers.recv() == pytest.approx(expected), whose
    process.join(DEADLINE_S)
    assert process.exitcode == 0


def test_an_archive_is_unpacked_once_and_removed_with_its_source(tmp_path: Path) -> None:
    source = Joined("desk", FORMATS["tgz"](tmp_path, Scene(frames=2)), open_tum, OpenOptions(camera=CAMERA), 10.0)
    unpacked = source.files(0)[0]
    copy = pickle.loads(pickle.dumps(source))
    assert copy.files(0)[0] == unpacked and copy[1].rgb.shape == (48, 64, 3)
    del copy
    assert unpacked.is_file() and cv2.imread(str(unpacked)) is not None
    del source
    assert not unpacked.exists()
