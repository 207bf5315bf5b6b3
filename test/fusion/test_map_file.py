"""The file of a map: damaged and invented ones are one line, and what is in memory stays."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from turned import pose_at

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import FusionConfig
from mono_depth_recon.errors import DataError
from mono_depth_recon.fusion.fusion import FUSED, Fusion, FusionFrame
from mono_depth_recon.fusion.map_file import StoredMap, read_map, write_map

SETTINGS = FusionConfig(voxel_size=0.04, align=0.0, parallax=False, device="cpu")


def stored_map(blocks: int = 1, **changes: Any) -> StoredMap:
    """A map of random voxels within the valid ranges."""
    rng = np.random.default_rng(0)
    values = {
        "voxel_size": 0.04,
        "truncation": 4.0,
        "frames": 3,
        "keys": np.stack([np.arange(blocks), np.full(blocks, -2), np.full(blocks, 7)], axis=1).astype(np.int32),
        "seen": np.full(blocks, 2),
        "tsdf": rng.uniform(-1, 1, (blocks, 8, 8, 8, 1)).astype(np.float32),
        "weight": rng.uniform(0, 64, (blocks, 8, 8, 8, 1)).astype(np.float32),
        "color": rng.uniform(0, 255, (blocks, 8, 8, 8, 3)).astype(np.float32),
    }
    return StoredMap(**{**values, **changes})


def with_value(name: str, value: float) -> Any:
    """The array `name` of `stored_map`, one element of it replaced."""
    array = getattr(stored_map(), name).copy()
    array.flat[5 % array.size] = value
    return array


def test_a_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_map(tmp_path / "map.npz", stored_map(3))
    read = read_map(tmp_path / "map.npz", 3)
    for name, value in vars(stored_map(3)).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    read.tsdf[:] = 0  # the arrays are our own


def test_no_flipped_bit_is_an_unknown_error_or_another_map(tmp_path: Path) -> None:
    """Two bits of every byte of the structure, and one of every 16th byte of the voxels, whose checksums hold."""
    path, good = tmp_path / "map.npz", stored_map()
    write_map(path, good)
    whole = bytearray(path.read_bytes())
    voxels = {
        place
        for name in ("tsdf", "weight", "color")
        for start in [whole.index(getattr(good, name).tobytes())]
        for place in range(start, start + getattr(good, name).nbytes)
    }
    refused = 0
    for place in range(len(whole)):
        if place in voxels and place % 16:
            continue
        for bit in {place % 8, (place + 3) % 8} if place not in voxels else {place // 16 % 8}:
            whole[place] ^= 1 << bit
            path.write_bytes(whole)
            whole[place] ^= 1 << bit
            try:
                read = read_map(path, 10)
            except DataError as error:
                assert str(path) in str(error) and "\n" not in str(error)
                refused += 1
            else:  # a date, or another entry that says nothing of the map
                assert all(np.array_equal(value, getattr(good, name)) for name, value in vars(read).items())
    assert refused > len(voxels) // 16 + 1500


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"voxel_size": float("nan")}, "fusion.voxel_size must be 0.002 to 1 m, got nan"),
        ({"voxel_size": -0.02}, "fusion.voxel_size must be 0.002 to 1 m, got -0.02"),
        ({"truncation": -1.0}, "fusion.truncation must be 2 to 32 voxels, got -1"),
        ({"truncation": np.ones(2)}, "truncation must be one number"),
        ({"frames": float("nan")}, "frames must be a whole number, got nan"),
        ({"frames": -1}, "frames must be a whole number, got -1"),
        ({"keys": np.zeros((1, 2), np.int32)}, r"keys must be of shape \(1, 3\) and type i, got \(1, 2\)"),
        ({"keys": np.zeros((1, 3), np.float32)}, "keys must be of shape .* got .* float32"),
        ({"keys": np.zeros((0, 3), np.int32)}, "keys must be one or more"),
        ({"keys": np.int32(0)}, r"keys must be of shape \(1, 3\) and type i, got \(\)"),
        ({"keys": np.zeros((2**40, 0), np.int32)}, "it has 1099511627776 blocks, over the limit of 10"),
        ({"keys": np.full((1, 3), 2**30, np.int32)}, "keys must be -5.* to 5.*, got 1.*e.09"),
        ({"seen": np.full(1, 4)}, "seen must be 0 to 3, got 4"),
        ({"seen": np.full(2, 1)}, r"seen must be of shape \(1,\)"),
        ({"tsdf": np.full((1, 8, 8, 8, 1), np.nan, np.float32)}, "tsdf must be -1.* to 1.*, got nan"),
        ({"tsdf": with_value("tsdf", np.inf)}, "tsdf must be -1.* to 1.*, got -0.* to inf"),
        ({"weight": with_value("weight", -1)}, "weight must be"),
        ({"color": with_value("color", 300)}, "color must be .*, got .* to 300"),
        ({"color": np.zeros((1, 8, 8, 8, 1), np.float32)}, "color must be of shape"),
    ],
)
def test_values_that_no_map_has(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_map(tmp_path / "map.npz", stored_map(**changes))
    with pytest.raises(DataError, match=rf"map .*map.npz cannot be used: .*{reason}"):
        read_map(tmp_path / "map.npz", 10)


def test_equal_keys_and_too_many_blocks(tmp_path: Path) -> None:
    write_map(tmp_path / "map.npz", stored_map(3, keys=np.array([[1, 2, 3], [4, 5, 6], [1, 2, 3]], np.int32)))
    with pytest.raises(DataError, match="keys must be one or more different blocks, got 3"):
        read_map(tmp_path / "map.npz", 10)
    write_map(tmp_path / "map.npz", stored_map(3))
    with pytest.raises(DataError, match="it has 3 blocks, over the limit of 2: raise fusion.max_blocks"):
        read_map(tmp_path / "map.npz", 2)


def test_lengths_that_the_file_states_are_not_believed(tmp_path: Path) -> None:
    """An array of 10^10 voxels by its header, with the right checksum, in a file of some kilobytes."""
    write_map(tmp_path / "good.npz", stored_map())
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "map.npz", "w") as made:
        for name in good.namelist():
            data = good.read(name)
            made.writestr(name, data.replace(b"(1, 8, 8, 8, 1)", b"(9999999999, 1)"))
    with pytest.raises(DataError, match="tsdf.npy is no array of numbers as long as its shape"):
        read_map(tmp_path / "map.npz", 10)
    with zipfile.ZipFile(tmp_path / "map.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("format.npy", bytes(100_000_000))
    with pytest.raises(DataError, match="format.npy is not stored as it was written"):
        read_map(tmp_path / "map.npz", 10)


def test_arrays_of_more_than_the_blocks_that_are_allowed_are_not_read(tmp_path: Path) -> None:
    write_map(tmp_path / "map.npz", stored_map(1, color=np.zeros((11, 8, 8, 8, 6), np.float32)))
    with pytest.raises(DataError, match="color.npy has 135168 bytes, more than 122880"):
        read_map(tmp_path / "map.npz", 10)
    write_map(tmp_path / "map.npz", stored_map(1, keys=np.zeros((12, 3), np.int32), color=np.zeros(1)))
    with pytest.raises(DataError, match="it has 12 blocks, over the limit of 10: raise fusion.max_blocks"):
        read_map(tmp_path / "map.npz", 10)


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "map.npz"
    if kind == "pipe":
        os.mkfifo(path)  # nobody writes: to open it would wait forever
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="map.npz cannot be read: expected a regular file, got a device, pipe"):
        read_map(path, 10)


def test_a_damaged_file_leaves_the_map_as_it_is(tmp_path: Path) -> None:
    fusion = Fusion(SETTINGS)
    camera = PinholeCamera.from_hfov(96, 72, 60.0)
    depth, rgb = np.full((72, 96), 2.013, np.float32), np.full((72, 96, 3), 120, np.uint8)
    assert fusion.add(FusionFrame(rgb, depth, camera, 0.0, pose_at())).status == FUSED
    fusion.save(tmp_path / "map.npz")
    before, blocks = fusion.mesh(), fusion.map.blocks
    whole = bytearray((tmp_path / "map.npz").read_bytes())
    whole[len(whole) // 2] ^= 4
    (tmp_path / "map.npz").write_bytes(whole)
    with pytest.raises(DataError, match="got another or a damaged one"):
        fusion.load(tmp_path / "map.npz")
    write_map(tmp_path / "map.npz", stored_map(tsdf=np.full((1, 8, 8, 8, 1), np.nan, np.float32)))
    with pytest.raises(DataError, match="tsdf must be"):
        fusion.load(tmp_path / "map.npz")
    assert fusion.map.blocks == blocks and fusion.counts[FUSED] == 1
    np.testing.assert_array_equal(np.sort(fusion.mesh().vertices, axis=0), np.sort(before.vertices, axis=0))
    assert fusion.add(FusionFrame(rgb, depth, camera, 1.0, pose_at(0.3))).status == FUSED
