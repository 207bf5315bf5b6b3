"""Lengths that no file can hold, and data that expands without end: one line, little memory, the rest is read."""

from __future__ import annotations

import bz2
import os
import re
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, ROS1, ROS2, Scene, tum_plan, write_ros1, write_ros2
from processes import DEADLINE_S

from mono_depth_recon.datasets.bags import sqlite
from mono_depth_recon.datasets.bags.codecs import decompress
from mono_depth_recon.datasets.dataset import Dataset
from mono_depth_recon.datasets.limits import Limits
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import DataError, MonoDepthError


def only_file(path: Path) -> Path:
    return path if path.is_file() else next(file for file in path.iterdir() if file.name != "metadata.yaml")


def first_chunk(data: bytes) -> int:
    """Where the first chunk record of an MCAP file begins."""
    at = 8
    while data[at] != 6:
        at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    return at


def changed(file: Path, at: int, value: bytes) -> None:
    data = bytearray(file.read_bytes())
    data[at : at + len(value)] = value
    file.write_bytes(data)


def read_all(dataset: Dataset) -> tuple[int, list[str]]:
    count, broken = 0, []
    for i in range(len(dataset)):
        try:
            count += dataset[i].rgb.shape == (48, 64, 3)
        except DataError as error:
            broken.append(str(error))
    return count, broken


def opened_or_refused(path: Path) -> str:
    """The notes of what can be read, or the message; anything but one of our errors fails the test."""
    try:
        dataset = open_dataset(path, OpenOptions(camera=CAMERA, need_depth=False))
    except MonoDepthError as error:
        assert "\n" not in str(error)
        return str(error)
    _, broken = read_all(dataset)
    dataset.close()
    return " ".join([*dataset.notes, *broken])


@pytest.mark.parametrize("form", ["mcap", "mcap_storage"])
@pytest.mark.parametrize(
    ("offset", "value", "says"),
    [
        (1, struct.pack("<Q", 2**60), "ends at byte .* in the middle of a"),
        (1, struct.pack("<Q", 2**64 - 1), "ends at byte .* in the middle of a"),
        (1, struct.pack("<Q", 5), "has a malformed chunk"),
        (9 + 28, struct.pack("<I", 2**32 - 1), "has a malformed chunk"),
    ],
)
def test_lengths_of_a_chunk_are_compared_with_the_file(
    tmp_path: Path, form: str, offset: int, value: bytes, says: str
) -> None:
    file = only_file(FORMATS[form](tmp_path, Scene()))
    changed(file, first_chunk(file.read_bytes()) + offset, value)
    assert re.search(says, opened_or_refused(file))


def test_a_name_of_four_gigabytes_and_a_message_without_head_end_the_scan(tmp_path: Path) -> None:
    def record(op: int, data: bytes) -> bytes:
        return struct.pack("<BQ", op, len(data)) + data

    magic = b"\x89MCAP0\r\n"
    for data, says in (
        (record(3, struct.pack("<HI", 1, 2**32 - 1) + b"Image"), "has a malformed record of 11 bytes"),
        (record(4, struct.pack("<HH", 1, 1) + struct.pack("<I", 2**31) + b"/a"), "has a malformed record of 10 bytes"),
        (record(3, b"\x01"), "has a malformed record of 1 bytes"),
        (record(5, b"\x01\x00"), "has a message of 2 bytes"),
        (record(6, record(6, b"")), "in the middle of a record"),
        (record(6, struct.pack("<QQQII", 0, 0, 0, 0, 0) + bytes(8) + record(6, bytes(40))), "a chunk within a chunk"),
    ):
        path = tmp_path / "a.mcap"
        path.write_bytes(magic + data + record(15, bytes(4)))
        assert says in opened_or_refused(path)


@pytest.mark.parametrize("field", [b"op=\x05", b"op=\x07"], ids=["chunk", "connection"])
@pytest.mark.parametrize("value", [2**32 - 1, 2**31])
def test_lengths_of_a_ros1_record_are_compared_with_the_file(tmp_path: Path, field: bytes, value: int) -> None:
    path = FORMATS["ros1"](tmp_path, Scene())
    data = path.read_bytes()
    at = data.index(field) - 4  # where the field begins; a record begins with the length of its header
    begin = next(b for b in range(at, 0, -1) if 20 < struct.unpack_from("<I", data, b)[0] < 200 and b + 4 <= at)
    changed(path, begin + 4 + struct.unpack_from("<I", data, begin)[0], struct.pack("<I", value))
    assert opened_or_refused(path)


@pytest.mark.parametrize("form", ["ros1", "ros1_lz4", "ros1_bz2", "mcap", "mcap_storage", "sqlite3", "mcap_message"])
def test_any_damaged_number_is_one_of_our_errors_or_a_note(tmp_path: Path, form: str) -> None:
    """Random places get the numbers that lengths are damaged to; what is not ours would end the test."""
    path = FORMATS[form](tmp_path, Scene(frames=3, width=16, height=12))
    file, rng = only_file(path), np.random.default_rng(3)
    whole = file.read_bytes()
    for _ in range(40):
        at = int(rng.integers(8, len(whole) - 8))
        value = struct.pack("<Q", int(rng.choice(np.array([2**64 - 1, 2**60, 2**32 - 1, 2**31, 0], np.uint64))))
        changed(file, at, value[: int(rng.integers(1, 9))])
        opened_or_refused(path)
        file.write_bytes(whole)


def test_values_of_a_database_are_checked_before_they_are_used(tmp_path: Path) -> None:
    """SQLite columns hold values of any type: `bytes` of a large number would be as many zeros."""
    path = FORMATS["sqlite3"](tmp_path, Scene())
    with sqlite3.connect(only_file(path)) as database:
        rows = [number for (number,) in database.execute("SELECT id FROM messages ORDER BY id DESC LIMIT 5")]
        for number, value in zip(rows, (2**40, 0, "text", 2.5, -1), strict=True):
            database.execute("UPDATE messages SET data = ? WHERE id = ?", (value, number))
        database.execute("UPDATE messages SET timestamp = 'noon' WHERE id = 1")
    dataset = open_dataset(path, OpenOptions(camera=CAMERA))
    assert len(dataset) == 5
    assert f"{only_file(path)}: 6 messages without time or readable data are left out" in dataset.notes


@pytest.mark.parametrize("types", [ROS1, ROS2], ids=["ros1", "ros2"])
def test_a_sequence_that_is_longer_than_its_message_is_one_broken_frame(tmp_path: Path, types: object) -> None:
    scene = Scene()
    plan, marker = tum_plan(scene, types, "none"), struct.pack("<I", 48 * 64 * 3)
    path = write_ros1(tmp_path / "a.bag", plan) if types is ROS1 else write_ros2(tmp_path / "a", plan)
    data = only_file(path).read_bytes()
    changed(only_file(path), data.index(marker, data.index(b"rgb8")), struct.pack("<I", 2**32 - 1))
    count, broken = read_all(open_dataset(path, OpenOptions(camera=CAMERA)))
    assert count == 5 and len(broken) == 1 and "is no sensor_msgs/msg/Image" in broken[0]


def zstd_zeros(size: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    made, piece = zstd.ZstdCompressor(), bytes(1 << 24)
    return b"".join([*(made.compress(piece) for _ in range(size >> 24)), made.flush()])


PEAK = """
import pathlib, sys
from mono_depth_recon.datasets.opening import OpenOptions, open_dataset
from mono_depth_recon.errors import DataError
options = OpenOptions(camera="50 51 31.5 23.5", need_depth=False, max_chunk_bytes=1 << 24)
try:
    dataset = open_dataset(sys.argv[1], options)
    print(len(dataset), dataset.notes)
except DataError as error:
    print(error)
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def peak_megabytes(path: Path) -> tuple[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    text, _, kilobytes = done.stdout.strip().rpartition("\n")
    return text, int(kilobytes) / 1024


def message_that_expands(folder: Path) -> Path:
    """The first colour message is 98 kB of zstd that stand for 3 GB; the others are whole."""
    plan = [row for row in tum_plan(Scene(), ROS2) if "depth" not in row[1]]
    path = write_ros2(folder / "desk", plan, "sqlite3", "message")
    with sqlite3.connect(only_file(path)) as database:
        found = "SELECT id FROM topics WHERE name LIKE '%image_color'"
        row = database.execute(f"SELECT min(id) FROM messages WHERE topic_id = ({found})").fetchone()[0]
        database.execute("UPDATE messages SET data = ? WHERE id = ?", (zstd_zeros(3 << 30), row))
    return path


def chunk_that_expands(folder: Path, stated: int = 0) -> Path:
    """A bz2 chunk in the middle is a few hundred bytes that stand for 256 MB, whatever size the bag states."""
    path = FORMATS["ros1_bz2"](folder, Scene(frames=12))
    made, piece = bz2.BZ2Compressor(), bytes(1 << 24)
    zeros = b"".join([*(made.compress(piece) for _ in range(16)), made.flush()])
    data = path.read_bytes()
    begin = data.index(b"BZh", len(data) // 2)
    length = struct.unpack_from("<I", data, begin - 4)[0]
    assert len(zeros) <= length
    path.write_bytes(data[:begin] + zeros.ljust(length, b"\0") + data[begin + length :])
    if stated:
        data = path.read_bytes()
        changed(path, data.rindex(b"size=", 0, begin) + 5, struct.pack("<I", stated))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("make", [message_that_expands, chunk_that_expands])
def test_data_that_expands_without_end_takes_no_more_memory_than_the_limit(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    (tmp_path / "plain").mkdir()
    _, usual = peak_megabytes(FORMATS["sqlite3_message"](tmp_path / "plain", Scene()))
    _, used = peak_megabytes(make(tmp_path))
    assert used < usual + 100


def test_a_message_that_expands_beyond_the_limit_is_one_broken_frame(tmp_path: Path) -> None:
    path = message_that_expands(tmp_path)
    dataset = open_dataset(path, OpenOptions(camera=CAMERA, max_chunk_bytes=1 << 20, need_depth=False))
    count, _ = read_all(dataset)
    assert count == 5
    with pytest.raises(DataError, match=r"expands to more than 1048576 bytes \(max_chunk_bytes\): raise it"):
        dataset[0]  # its header cannot be read: zeros, before all other stamps


def test_a_chunk_expands_to_the_size_that_the_bag_states_and_no_further(tmp_path: Path) -> None:
    dataset = open_dataset(chunk_that_expands(tmp_path))
    assert 8 <= read_all(dataset)[0] < 12
    assert (
        "bz2 block that expands to more than" in dataset.notes[0] and "the size that the bag states" in dataset.notes[0]
    )


def test_a_chunk_that_states_more_than_the_limit_is_left_out(tmp_path: Path) -> None:
    dataset = open_dataset(chunk_that_expands(tmp_path, 2**32 - 1))
    assert 8 <= read_all(dataset)[0] < 12
    assert "has a chunk of 4294967295 bytes, above max_chunk_bytes (268435456): raise it" in dataset.notes[0]
    with pytest.raises(DataError, match=r"has no .* topic .*above max_chunk_bytes \(1000\)"):
        open_dataset(tmp_path / "desk.bag", OpenOptions(max_chunk_bytes=1000))


def test_a_damaged_first_chunk_of_ros1_costs_its_frames_only(tmp_path: Path) -> None:
    """Connections are described in it, and once more in the index."""
    path = FORMATS["ros1_lz4"](tmp_path, Scene(frames=12))
    data = path.read_bytes()
    at = data.index(b"compression=lz4")
    changed(path, data.index(b"\x04\x22\x4d\x18", at) + 20, bytes(3000))
    dataset = open_dataset(path)
    assert 8 <= read_all(dataset)[0] < 12 and "damaged lz4 block" in dataset.notes[0]


@pytest.mark.parametrize("form", ["ros1", "mcap", "sqlite3"])
def test_an_uncompressed_message_above_the_limit_is_named(tmp_path: Path, form: str) -> None:
    path = FORMATS[form](tmp_path, Scene())
    with pytest.raises(DataError, match=r"image_color \(unreadable: .*above max_chunk_bytes \(2000\): raise it"):
        open_dataset(path, OpenOptions(camera=CAMERA, max_chunk_bytes=2000))


@pytest.mark.parametrize("codec", ["bz2", "lz4", "zstd"])
@pytest.mark.parametrize("size", [0, 1, 70_000, 9_000_000])
def test_pieces_give_what_the_library_gives_at_once(codec: str, size: int) -> None:
    import lz4.frame

    content = np.random.default_rng(1).integers(0, 4, size, np.uint8).tobytes()
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    packed = {"bz2": bz2.compress, "lz4": lz4.frame.compress, "zstd": zstd.compress}[codec](content)
    pieces = [packed[i : i + 999] for i in range(0, len(packed), 999)]
    assert decompress(pieces, codec, size) == (content, "")
    if size > 1:
        part, problem = decompress(pieces, codec, size - 1)
        assert part == content[:-1] and f"more than {size - 1} bytes" in problem
        assert decompress(pieces[:-1], codec, size)[1] == f"has an unfinished {codec} block"


@pytest.mark.parametrize("form", ["mcap_file", "sqlite3_file"])
def test_files_are_unpacked_within_the_limit_and_the_free_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    import tempfile

    from mono_depth_recon.datasets import limits

    path = FORMATS[form](tmp_path, Scene())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(DataError, match=r"expands to more than max_unpacked_bytes \(20000\): raise it"):
        open_dataset(path, OpenOptions(max_unpacked_bytes=20_000))
    monkeypatch.setattr(limits, "KEPT_FREE_BYTES", (2**62, 2**62))
    with pytest.raises(DataError, match="unpacking needs .* more bytes in .*set TMPDIR"):
        open_dataset(path)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "ALTER TABLE messages RENAME TO old; CREATE VIEW messages AS WITH RECURSIVE t(id) AS (SELECT 1 UNION ALL "
            "SELECT id + 1 FROM t) SELECT id, 1 AS topic_id, id AS timestamp, zeroblob(10) AS data FROM t",
            "'messages' is a view, trigger or virtual table",
        ),
        ("CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM topics; END", "'t' is a view, trigger or"),
        (
            "ALTER TABLE messages ADD COLUMN more GENERATED ALWAYS AS (zeroblob(1000000000))",
            "column 'more' of messages is generated",
        ),
    ],
)
def test_an_sqlite_bag_that_computes_is_refused(tmp_path: Path, change: str, reason: str) -> None:
    path = FORMATS["sqlite3"](tmp_path, Scene())
    with sqlite3.connect(next(path.glob("*.db3"))) as database:
        database.executescript(change)
    with pytest.raises(DataError, match=f"expected tables and indices alone, as rosbag2 writes them, but {reason}"):
        open_dataset(path)


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_a_pipe_or_link_beside_an_sqlite_bag_is_not_opened(tmp_path: Path, suffix: str) -> None:
    path = FORMATS["sqlite3"](tmp_path, Scene())
    beside = Path(f"{next(path.glob('*.db3'))}{suffix}")
    for make in (os.mkfifo, lambda place: place.symlink_to("/dev/zero")):
        make(beside)
        with pytest.raises(DataError, match=f"{suffix}: expected a regular file beside the bag, got a link, pipe"):
            open_dataset(path)
        beside.unlink()


def test_a_query_without_end_is_ended_and_ctrl_c_ends_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_STEPS", 1000)
    bag = sqlite.SqliteBag(next(FORMATS["sqlite3"](tmp_path, Scene()).glob("*.db3")), Limits())
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t WHERE n < 0"
    with pytest.raises(DataError, match="a query takes longer than a file of its size has rows for"):
        list(bag._rows(endless))
    monkeypatch.setattr(bag, "_is_endless", lambda: signal.raise_signal(signal.SIGINT))
    bag._database.set_progress_handler(bag._is_endless, 1000)
    with pytest.raises(KeyboardInterrupt):
        list(bag._rows(endless))
    bag.close()
