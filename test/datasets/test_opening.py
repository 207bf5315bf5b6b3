"""The entry point to every data set: how a path is recognised, which part of it is taken, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, Scene
from made_training_sets import (
    HEIGHT,
    WIDTH,
    colour,
    depth,
    write_kitti,
    write_nyu_csv,
    write_nyu_mat,
    write_pairs,
    write_png,
    write_splits,
)

from mono_depth_recon.datasets.dataset import Dataset, Recording
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.datasets.table import KINDS
from mono_depth_recon.errors import CalibrationError, ConfigError, DataError

INTRINSICS = "60 60 31.5 23.5"
DRIVES = {"2011_09_26_drive_0001_sync": "train", "2011_09_29_drive_0026_sync": "val"}


def numbers(dataset: Dataset) -> list[int]:
    """Which frames of the made sets these are: blue is the number times 7."""
    return [int(sample.rgb[0, 0, 2]) // 7 for sample in dataset]


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    write_splits(tmp_path / "splits.mat", train=[1, 4], test=[5, 2, 3])
    return write_nyu_mat(tmp_path / "nyu_depth_v2_labeled.mat", ["kitchen_0004"] * 3 + ["office_0012"] * 2)


def test_the_matrix_file_of_nyu_gives_its_official_test_images(mat: Path) -> None:
    dataset = open_dataset(mat)
    assert numbers(dataset) == [4, 1, 2] and dataset.stamps is None and not isinstance(dataset, Recording)
    assert dataset.frame_names() == ["000000", "000001", "000002"] and list(dataset.positions) == [0, 1, 2]
    assert [dataset.scene(i) for i in range(3)] == ["office_0012", "kitchen_0004", "kitchen_0004"]
    assert dataset.origin(0) == f"{mat}: image 5"
    assert numbers(open_dataset(mat, OpenOptions(split="train"))) == [0, 3]
    assert numbers(open_dataset(mat, OpenOptions(split="all"))) == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match="the official split has no part validation, it has train, test"):
        open_dataset(mat, OpenOptions(split="validation"))


def test_without_its_split_file_the_matrix_file_says_what_to_do(mat: Path) -> None:
    mat.with_name("splits.mat").unlink()
    with pytest.raises(DataError, match=r"splits\.mat, which is missing: download .*, in evaluation --split all"):
        open_dataset(mat)
    assert len(open_dataset(mat, OpenOptions(split="all"))) == 5


def test_the_csv_layout_gives_its_test_list(tmp_path: Path) -> None:
    path = write_nyu_csv(tmp_path / "nyu", ["study_0003"], frames=2, tests=3)
    for given in (path, path / "data", path / "data/nyu2_test.csv"):
        assert numbers(open_dataset(given)) == [0, 1, 2], given
    train = open_dataset(path / "data/nyu2_train.csv")
    assert len(train) == 2 and np.allclose(np.asarray(train[0].depth), depth(1), atol=0.0201)
    assert len(open_dataset(path, OpenOptions(split="all"))) == 5
    (path / "data/nyu2_train.csv").unlink()
    assert len(open_dataset(path)) == 3
    with pytest.raises(ConfigError, match="the official split has no part train, it has test"):
        open_dataset(path, OpenOptions(split="train"))


def test_kitti_is_found_in_one_folder_with_both_parts(tmp_path: Path) -> None:
    write_kitti(tmp_path, DRIVES)
    dataset = open_dataset(tmp_path)
    assert numbers(dataset) == [5, 6, 7] and dataset.scenes() == {"2011_09_29_drive_0026_sync"}
    assert (dataset.protocol, dataset.max_depth, dataset.stamps, dataset.notes) == ("kitti", 80.0, None, [])
    assert len(open_dataset(tmp_path, OpenOptions(split="train"))) == 3
    (tmp_path / "eigen_test_files.txt").write_text("2011_09_26/2011_09_26_drive_0001_sync 6 l\n")
    assert numbers(open_dataset(tmp_path / "eigen_test_files.txt")) == [6]
    with pytest.raises(DataError, match=r"the annotated depth \(train\|val/DRIVE_sync\).* found no depth"):
        open_dataset(tmp_path / "raw")


def test_image_folders_are_found_by_their_usual_names(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "mine", ["attic", "hall"], frames=2)
    dataset = open_dataset(path, OpenOptions(camera=INTRINSICS))
    assert numbers(dataset) == [0, 1, 10, 11] and dataset.frame_names()[-1] == "000003"
    (path / "hall/camera.txt").write_text(f"{INTRINSICS}\n")
    hall = open_dataset(path / "hall")
    assert numbers(hall) == [10, 11] and hall[0].camera.fx == 60
    with pytest.raises(CalibrationError, match="camera is needed"):
        open_dataset(path)


def test_image_folders_are_found_by_patterns(tmp_path: Path) -> None:
    write_png(tmp_path / "a-1.color.png", colour(1))
    write_png(tmp_path / "a-1.depth.png", np.rint(depth(1) * 5000).astype(np.uint16))
    options = OpenOptions(
        INTRINSICS, depth_factor=5000, colour_pattern="a-{frame}.color.png", depth_pattern="a-{frame}.depth.png"
    )
    [sample] = open_dataset(tmp_path, options)
    assert sample.rgb.shape == (HEIGHT, WIDTH, 3) and np.allclose(np.asarray(sample.depth), depth(1), atol=1e-4)


@pytest.mark.parametrize("form", ["folder", "tgz", "ros1", "mcap"])
def test_recordings_have_stamps_and_no_official_split(tmp_path: Path, form: str) -> None:
    path, scene = FORMATS[form](tmp_path, Scene(frames=3)), Scene(frames=3)
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert isinstance(dataset, Recording) and len(dataset.stamps) == 3
    assert dataset.frame_names() == [f"{stamp / 1e9:.6f}" for stamp in scene.stamps_ns]
    assert dataset.scene(2) == path.name and str(path) in dataset.origin(0)
    with pytest.raises(ConfigError, match="no official split"):
        open_dataset(path, OpenOptions(camera=CAMERA, split="test"))
    dataset.close()


def test_a_synthetic_room_is_a_recording() -> None:
    room = open_dataset("room:7:5")
    assert isinstance(room, Recording) and room.is_rendered
    assert len(room) == 5 and room.stamps == pytest.approx([0, 1.6, 3.2, 4.8, 6.4])
    assert room[1].T_world_camera is not None
    for length in (0, 1_000_000_000):
        with pytest.raises(ConfigError, match=f"a room has 1 to 100000 frames, got {length}"):
            open_dataset(f"room:7:{length}")


def test_what_is_no_data_set_is_one_line_with_all_that_is_understood(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("none")
    part = f"does not exist, and a part of {tmp_path} is not taken here"
    for path, what in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path, "is no recording or other data set"),
        (Path(f"{tmp_path}:0:20"), part),
    ):
        with pytest.raises(DataError, match=f"{path.name} {what}: expected a TUM folder") as error:
            open_dataset(path)
        assert "\n" not in str(error.value)
        assert all(kind.text in str(error.value) for kind in KINDS.values())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (OpenOptions(camera=CAMERA), "camera can be given for data sets of kind tum, bag and image_folder only"),
        (OpenOptions(colour_topic="/x"), "colour_topic can be given for data sets of kind bag only"),
        (OpenOptions(poses="groundtruth.txt"), "poses can be given for data sets of kind tum and bag only"),
    ],
)
def test_options_without_a_meaning_are_refused(tmp_path: Path, options: OpenOptions, says: str) -> None:
    path = write_nyu_csv(tmp_path, ["study_0003"], frames=1, tests=1)
    with pytest.raises(DataError, match=f"{says}, this is one of nyu_csv"):
        open_dataset(path, options)
    assert len(open_dataset(path, OpenOptions(poses="none", need_depth=False, rectified=True))) == 1
