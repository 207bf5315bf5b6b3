"""Readers of NYU Depth V2: both layouts are written as published and read back against the known depth."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_training_sets import HEIGHT, WIDTH, colour, depth, write_nyu_csv, write_nyu_mat, write_png, write_splits

from mono_depth_recon.datasets.nyu.csv_layout import NyuCsv
from mono_depth_recon.datasets.nyu.mat import NyuMat
from mono_depth_recon.datasets.nyu.mat5 import read_numbers
from mono_depth_recon.errors import DataError

SCENES = ["kitchen_0004", "kitchen_0004", "basement_0001a", "basement_0001b", "office_0012"]


# NYU Depth V2, labelled


@pytest.fixture(scope="module")
def mat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nyu_mat(tmp_path_factory.mktemp("nyu") / "nyu_depth_v2_labeled.mat", SCENES)


def test_nyu_mat_comes_back_transposed_in_metres(mat: Path) -> None:
    source = NyuMat("nyu", mat)
    assert len(source) == 5
    for i in range(5):
        sample = source[i]
        np.testing.assert_array_equal(sample.rgb, colour(i))
        np.testing.assert_array_equal(sample.depth, depth(i))
        assert sample.rgb.flags.c_contiguous and sample.depth is not None and sample.depth.dtype == np.float32
        assert sample.stamp == pytest.approx(1294886360.208451 + i, abs=1e-5)
    assert source.origin(2) == f"{mat}: image 3"


def test_nyu_mat_camera_is_the_toolbox_one_resampled(mat: Path) -> None:
    camera = NyuMat("nyu", mat)[0].camera
    assert camera.size == (WIDTH, HEIGHT) and camera.is_rectified
    assert camera.fx == pytest.approx(518.8579 / 10, abs=1e-3)
    assert camera.cx == pytest.approx((325.58244 + 0.5) / 10 - 0.5, abs=1e-4)


def test_nyu_mat_raw_depth_has_holes(mat: Path) -> None:
    raw = NyuMat("nyu", mat, depth="raw")[1].depth
    assert raw is not None and np.isnan(raw[:4]).all()
    np.testing.assert_array_equal(raw[4:], depth(1)[4:])


def test_nyu_border_outside_the_depth_camera_is_unknown(mat: Path) -> None:
    known = np.isfinite(np.asarray(NyuMat("nyu", mat, mask_border=True)[0].depth))
    rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (4, 46, 4, 59)  # 44:471, 40:601 of 480x640
    assert known.sum() == 43 * 56


def test_two_takes_of_a_room_are_one_scene(mat: Path) -> None:
    source = NyuMat("nyu", mat)
    assert [source.scene(i) for i in range(5)] == [
        "kitchen_0004",
        "kitchen_0004",
        "basement_0001",
        "basement_0001",
        "office_0012",
    ]


@pytest.mark.parametrize("old", [True, False], ids=["matlab5", "matlab73"])
def test_official_split_counts_from_one(mat: Path, tmp_path: Path, old: bool) -> None:
    splits = write_splits(tmp_path / "splits.mat", train=[5, 1, 2], test=[3, 4], old=old)
    assert NyuMat("nyu", mat, splits).official() == {"train": [4, 0, 1], "test": [2, 3]}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 1], [2], "numbers from 1 to 5, got 0 to 1"),
        ([1, 2], [6], "numbers from 1 to 5, got 6 to 6"),
        ([1, 1], [2], "different numbers"),
        ([1, 2, 3], [3, 4], "image 3 and 0 more stand in trainNdxs and in testNdxs"),
        ([1], [], "expected testNdxs"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    mat: Path, tmp_path: Path, train: list[int], test: list[int], message: str
) -> None:
    splits = write_splits(tmp_path / "splits.mat", train, test)
    with pytest.raises(DataError, match=message):
        NyuMat("nyu", mat, splits).official()


def test_a_missing_or_broken_split_file_is_named(mat: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"splits\.mat, which is missing"):
        NyuMat("nyu", mat, tmp_path / "splits.mat").official()
    (tmp_path / "splits.mat").write_bytes(b"no matlab" * 30)
    with pytest.raises(DataError, match=r"splits\.mat: expected a MATLAB file"):
        NyuMat("nyu", mat, tmp_path / "splits.mat").official()


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_truncated_mat_is_named_with_its_size(mat: Path, tmp_path: Path, share: float) -> None:
    whole = mat.read_bytes()
    short = tmp_path / "short.mat"
    short.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=rf"short\.mat is cut short, it has {int(share * len(whole))} of {len(whole)}"):
        NyuMat("nyu", short)


def test_other_files_are_not_taken_for_the_labelled_set(tmp_path: Path) -> None:
    import h5py
    from scipy.io import savemat

    with pytest.raises(DataError, match="is missing: expected nyu_depth_v2_labeled.mat"):
        NyuMat("nyu", tmp_path / "none.mat")
    savemat(tmp_path / "old.mat", {"images": np.zeros((4, 4, 3, 2), np.uint8)})
    with pytest.raises(DataError, match=r"old\.mat: expected MATLAB 7\.3 \(HDF5\), got MATLAB 5"):
        NyuMat("nyu", tmp_path / "old.mat")
    (tmp_path / "text.mat").write_text("hello")
    with pytest.raises(DataError, match="got another file of 5 bytes"):
        NyuMat("nyu", tmp_path / "text.mat")
    with h5py.File(tmp_path / "straight.mat", "w") as file:  # written by somebody who did not reverse the dimensions
        for key, shape in (("images", (5, 48, 64, 3)), ("depths", (5, 48, 64)), ("scenes", (1, 5))):
            file[key] = np.zeros(shape, np.uint8)
    with pytest.raises(DataError, match=r"images must be uint8 of \(N, 3, width, height\)"):
        NyuMat("nyu", tmp_path / "straight.mat")
    with pytest.raises(DataError, match="missing: rawDepths"):
        NyuMat("nyu", tmp_path / "straight.mat", depth="raw")


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_of_a_matlab_5_file_are_those_that_scipy_wrote(tmp_path: Path, packed: bool) -> None:
    from scipy.io import savemat

    numbers = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([[7, 65535]], np.uint16), "c": np.int64([[-3]])}
    savemat(
        tmp_path / "a.mat", {**numbers, "text": "no number", "cells": np.array([1, "x"], object)}, do_compression=packed
    )
    for name, expected in numbers.items():
        np.testing.assert_array_equal(read_numbers(tmp_path / "a.mat", name), expected.ravel(order="F"))
    assert read_numbers(tmp_path / "a.mat", "text") is None and read_numbers(tmp_path / "a.mat", "none") is None


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_matlab_5_file_is_one_line_whatever_is_in_it(tmp_path: Path, packed: bool) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"trainNdxs": np.arange(1, 12, dtype=np.uint16)[:, None]}, do_compression=packed)
    whole, refused = (tmp_path / "a.mat").read_bytes(), 0
    for place in range(128, len(whole)):
        for value in (0, whole[place] ^ 0x80):
            (tmp_path / "a.mat").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                read_numbers(tmp_path / "a.mat", "trainNdxs")
            except DataError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 20
    (tmp_path / "a.mat").write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"a\.mat: expected a MATLAB file, got one that cannot be read"):
        read_numbers(tmp_path / "a.mat", "trainNdxs")


def test_a_compressed_array_may_not_fill_the_memory(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(17 << 20), 1)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "a.mat").write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(DataError, match="expands to more than 16777216 bytes"):
        read_numbers(tmp_path / "a.mat", "trainNdxs")


@pytest.mark.parametrize("key", ["images", "depths", "scenes"])
def test_groups_in_place_of_arrays_are_refused(mat: Path, tmp_path: Path, key: str) -> None:
    import h5py

    changed = tmp_path / "changed.mat"
    changed.write_bytes(mat.read_bytes())
    with h5py.File(changed, "r+") as file:
        del file[key]
        file.create_group(key)
    with pytest.raises(DataError, match=rf"changed\.mat: {key} must be an array of .*, got group"):
        NyuMat("nyu", changed)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("images", "soft link"),
        ("rawRgbFilenames", "external link"),
        ("depths", "external"),
        ("a text", "external"),
        ("images", "virtual"),
        ("scenes", "virtual"),
        ("depths", "chunk"),
        ("a text", "lzf"),
    ],
)
def test_nothing_is_read_through_a_mat_file(mat: Path, tmp_path: Path, key: str, kind: str) -> None:
    import h5py

    os.mkfifo(tmp_path / "pipe")  # whose reading would not end
    changed, elsewhere = tmp_path / "changed.mat", str(tmp_path / "pipe")
    changed.write_bytes(mat.read_bytes())
    with h5py.File(changed, "r+") as file:
        place = "#refs#/scenes0" if key == "a text" else key
        old = file[place]
        shape, dtype = old.shape, h5py.ref_dtype if old.dtype.kind == "O" else old.dtype
        wide = (100_000_000, *shape[1:])
        del file[place]
        if kind == "soft link":
            file[place] = h5py.SoftLink(f"/{place}")
        elif kind == "external link":
            file[place] = h5py.ExternalLink(elsewhere, "/a")
        elif kind == "external":
            file.create_dataset(place, shape, dtype, external=[(elsewhere, 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, dtype, maxshape=(None, *shape[1:]))
            layout[:] = h5py.VirtualSource(elsewhere, "a", shape, dtype, (None, *shape[1:]))
            file.create_virtual_dataset(place, layout)
        else:
            options = {"compression": "lzf"} if kind == "lzf" else {"maxshape": (None, *shape[1:]), "chunks": wide}
            file.create_dataset(place, shape, dtype, **options)  # without values
        if key == "a text":
            file["scenes"][0, 0] = file[place].ref
    what = "array in the file" if kind.endswith("link") else "in the file itself, as MATLAB writes it, but is"
    with pytest.raises(DataError, match=rf"changed\.mat: \w+ must be (an )?{what}"):
        NyuMat("nyu", changed)[0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("images", np.zeros((5, 3, WIDTH, HEIGHT), np.uint16), r"images must be uint8 of \(N, 3, width, height\)"),
        (
            "depths",
            np.zeros((5, WIDTH, HEIGHT), np.uint16),
            r"depths must be metres, float of \(5, \d+, \d+\) .* uint16",
        ),
        ("depths", np.zeros((4, WIDTH, HEIGHT), np.float32), r"depths must be metres, .* got float32 of \(4, "),
        ("scenes", "one", "scenes must name the scene of each of the 5 images, got 1"),
        ("scenes", "two rows", r"scenes must be one row of texts, of every image one, got shape \(2, 5\)|got 10"),
        ("scenes", "numbers", "scenes must be a cell array of texts, entry 1 is not"),
        ("scenes", "long", r"scenes must hold names, entry 1 has \d+ letters"),
    ],
)
def test_arrays_of_another_kind_are_refused(mat: Path, tmp_path: Path, key: str, value: Any, message: str) -> None:
    import h5py

    changed = tmp_path / "changed.mat"
    changed.write_bytes(mat.read_bytes())
    with h5py.File(changed, "r+") as file:
        if isinstance(value, str):
            target = file.create_dataset("new", data=np.zeros(100_000, np.uint16 if value == "long" else np.float64))
            shape = {"one": (1, 1), "two rows": (2, 5)}.get(value, (1, 5))
            value = np.full(shape, target.ref, h5py.ref_dtype)
        del file[key]
        file.create_dataset(key, data=value)
    with pytest.raises(DataError, match=message) as caught:
        NyuMat("nyu", changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainNdxs", "group", "trainNdxs must be an array of numbers, got group"),
        ("trainNdxs", b"text", "trainNdxs must be an array of numbers, got |S4"),
        ("trainNdxs", [1.5], "different numbers from 1 to 5, got 1.5 to 1.5"),
        ("trainNdxs", [float("nan")], "different numbers from 1 to 5, got nan to nan"),
        ("trainNdxs", [1e300], "different numbers from 1 to 5, got 1e"),
    ],
)
def test_odd_splits_are_refused(mat: Path, tmp_path: Path, key: str, value: Any, message: str) -> None:
    import h5py

    with h5py.File(tmp_path / "splits.mat", "w") as file:
        file.create_group(key) if value == "group" else file.create_dataset(key, data=np.array(value))
    with pytest.raises(DataError) as raised:
        NyuMat("nyu", mat, tmp_path / "splits.mat").official()
    assert message in str(raised.value)


def test_a_claimed_size_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "huge.mat", "w") as file:  # nothing is stored
        file.create_dataset("images", (1, 3, 1 << 20, 1 << 20), np.uint8, chunks=(1, 1, 64, 64))
        file.create_dataset("depths", (1, 1 << 20, 1 << 20), np.float32, chunks=(1, 64, 64))
        file.create_dataset("scenes", (1, 1), h5py.ref_dtype)
    with pytest.raises(DataError, match="1048576x1048576 pixels, more than 100 megapixels"):
        NyuMat("nyu", tmp_path / "huge.mat")


def test_a_missing_library_is_named(mat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = NyuMat("nyu", mat, write_splits(tmp_path / "splits.mat", train=[1], test=[2]))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match="need the library h5py: pip install h5py"):
        source.official()
    with pytest.raises(DataError, match="need the library h5py: pip install h5py"):
        NyuMat("nyu", mat)


# NYU Depth V2, csv layout


@pytest.fixture(scope="module")
def csv_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nyu_csv(tmp_path_factory.mktemp("csv"), ["kitchen_0029a", "kitchen_0029b", "study_0003"])


def test_csv_training_depth_is_8_bit_and_test_depth_16_bit(csv_set: Path) -> None:
    source = NyuCsv("nyu", csv_set)
    official = source.official()
    assert official == {"train": list(range(9)), "test": [9, 10, 11, 12]}
    assert [source.scene(i) for i in official["train"]] == ["kitchen_0029"] * 6 + ["study_0003"] * 3
    trained = np.stack([np.asarray(source[i].depth) for i in (0, 8)])
    np.testing.assert_allclose(trained, [depth(1), depth(23)], atol=0.5 * 10 / 255 + 1e-6)
    assert np.abs(trained - [depth(1), depth(23)]).max() > 0.01  # the steps of 8 bits are there
    np.testing.assert_allclose(np.asarray(source[10].depth), depth(1), atol=0.5001e-3)
    np.testing.assert_array_equal(source[10].rgb, colour(1))
    assert np.abs(source[0].rgb.astype(int) - colour(1)).mean() < 4  # JPEG
    assert source.per_metre(0) == 25.5 and source.per_metre(9) == 1000


@pytest.mark.parametrize("below", ["", "data"])
def test_csv_paths_count_from_the_folder_that_holds_data(csv_set: Path, below: str) -> None:
    assert len(NyuCsv("nyu", csv_set / below)) == 13


def test_csv_may_lie_beside_data(csv_set: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(csv_set / "data")
    for name in ("nyu2_train.csv", "nyu2_test.csv"):
        (tmp_path / name).write_bytes((csv_set / "data" / name).read_bytes())
    assert NyuCsv("nyu", tmp_path)[12].rgb.shape == (HEIGHT, WIDTH, 3)


def _csv_copy(path: Path, train: str = "", test: str = "") -> NyuCsv:
    """A set of two scenes with other lines in its lists."""
    write_nyu_csv(path, ["kitchen_0001", "office_0002"], frames=1, tests=1)
    for split, text in (("train", train), ("test", test)):
        if text:
            (path / f"data/nyu2_{split}.csv").write_text(text)
    return NyuCsv("nyu", path)


TRAIN_PAIR = "data/nyu2_train/kitchen_0001_out/1.jpg,data/nyu2_train/kitchen_0001_out/1.png\n"
TEST_PAIR = "data/nyu2_test/00000_colors.png,data/nyu2_test/00000_depth.png\n"


def test_8_bit_depth_where_16_are_promised_is_refused_with_its_line(tmp_path: Path) -> None:
    source = _csv_copy(tmp_path, test=TEST_PAIR + TRAIN_PAIR)
    with pytest.raises(DataError, match=r"nyu2_test\.csv:2: .*1\.png: depth must be one channel of 16 bits"):
        source[3]


def test_16_bit_depth_where_8_are_promised_is_refused_with_its_line(tmp_path: Path) -> None:
    source = _csv_copy(tmp_path, train=TRAIN_PAIR + TEST_PAIR)
    with pytest.raises(DataError, match=r"nyu2_train\.csv:2: .*must be one channel of 8 bits .* got uint16"):
        source[1]


def test_csv_depth_that_no_room_has_is_refused_with_its_line(tmp_path: Path) -> None:
    source = _csv_copy(tmp_path)
    write_png(tmp_path / "data/nyu2_test/00000_depth.png", np.rint(depth(0) * 25.5).astype(np.uint16))  # 8-bit values
    with pytest.raises(DataError, match=r"nyu2_test\.csv:1: depth unit implausible: .* likely is 25\.5 "):
        source[2]
    write_png(tmp_path / "data/nyu2_train/office_0002_out/1.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(DataError, match=r"nyu2_train\.csv:2: no pixel has a known depth"):
        source[1]


def test_a_csv_that_points_nowhere_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nyu2_train\.csv:1: names elsewhere/1\.jpg, which is neither in "):
        _csv_copy(tmp_path, train="elsewhere/1.jpg,elsewhere/1.png\n")


def test_a_first_line_that_points_nowhere_is_one_of_the_bad_frames(tmp_path: Path) -> None:
    source = _csv_copy(tmp_path, train=TRAIN_PAIR.replace("1.jpg", "9.jpg") + TRAIN_PAIR)
    assert source[1].rgb.shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(DataError, match=r"nyu2_train\.csv:1: names .*9\.jpg, which is missing"):
        source[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAIN_PAIR + "\nonly_one_field.jpg\n", r"nyu2_train\.csv:3: expected 'colour,depth', got 1 fields"),
        ("a.jpg,\n", r"nyu2_train\.csv:1: expected 'colour,depth'"),
        ("\n", r"nyu2_train\.csv: expected lines"),
    ],
)
def test_lines_that_are_no_pairs_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _csv_copy(tmp_path, train=text)


def test_later_lines_that_point_nowhere_are_named_when_read(tmp_path: Path) -> None:
    source = _csv_copy(tmp_path, train=TRAIN_PAIR + TRAIN_PAIR.replace("1.png", "2.png"))
    with pytest.raises(DataError, match=r"nyu2_train\.csv:2: names .*2\.png, which is missing"):
        source[1]


def test_csv_without_lists_and_without_test_list(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected nyu2_train\.csv or nyu2_test\.csv in it"):
        NyuCsv("nyu", tmp_path)
    source = _csv_copy(tmp_path)
    (tmp_path / "data/nyu2_test.csv").unlink()
    assert len(NyuCsv("nyu", tmp_path)) == 2
    with pytest.raises(DataError, match=r"nyu2_test\.csv is missing"):
        NyuCsv("nyu", tmp_path).official()
    assert list(source.pool()) == [0, 1]
