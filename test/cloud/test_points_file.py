"""Files of points: what is written in any of their forms is read back, the rest is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import QUICK

from mono_depth_recon.cloud import points_file
from mono_depth_recon.cloud.points_file import read_points
from mono_depth_recon.errors import DataError

POINTS = np.array([[0.5, -1.25, 3.0], [2.0, 0.25, -4.5], [1e6, -1e-3, 0.0]])
TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3\n4 5 6",
        "1,2,3\n4,5,6\n",
        "x y z\n1 2 3\n\n4;5;6\n",
        "# made by hand\nx,y,z,intensity\n 1.0\t2e0  3 9 8\r\n4, 5, 6, red # the last\n",
    ],
)
def test_text_with_any_separator_headings_and_comments(tmp_path: Path, text: str) -> None:
    points = read_points(written(tmp_path, "a.txt", text))
    assert points.dtype == np.float64
    np.testing.assert_array_equal(points, [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 3\n4 5\n", "expected points as PLY or as lines of x y z: line 2 has no three numbers"),
        ("x y z\n\n1 2 3\n4 five 6\n", "line 4 has no three numbers"),
        ("1 2\n", "line 1 has no three numbers"),
        ("# nothing\n", "expected points, the file has none"),
        ("", "expected points, the file has none"),
    ],
)
def test_text_without_three_numbers(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, "a.xyz", text)
    with pytest.raises(DataError) as caught:
        read_points(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).endswith(said)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "no.ply", tmp_path, written(tmp_path, "b.txt", b"\xff\xfe\x00")):
        with pytest.raises(DataError, match=r"^\S+: ") as caught:
            read_points(path)
        assert "\n" not in str(caught.value)


def ply(
    form: str, fields: list[tuple[str, str]], rows: np.ndarray, count: int | None = None, after: bytes = b""
) -> bytes:
    """A PLY file of structured rows, with a comment and an element after the vertices."""
    head = ["ply", f"format {form} 1.0", "comment made here", f"element vertex {len(rows) if count is None else count}"]
    head += [f"property {kind} {name}" for kind, name in fields]
    head += ["element face 0", "property list uchar int vertex_indices", "end_header\n"]
    if form == "ascii":
        body = "".join(" ".join(str(value) for value in row) + "\n" for row in rows.tolist()).encode()
    else:
        body = rows.astype(rows.dtype.newbyteorder(ORDERS[form])).tobytes()
    return "\n".join(head).encode() + body + after


@QUICK
@given(
    form=st.sampled_from(["ascii", *ORDERS]),
    kinds=st.lists(st.sampled_from(list(TYPES)), min_size=3, max_size=7),
    order=st.randoms(use_true_random=False),
    values=st.lists(st.tuples(*[st.integers(0, 127)] * 7), min_size=1, max_size=5),
)
def test_every_ply_is_read_by_its_header(
    tmp_path_factory: pytest.TempPathFactory, form: str, kinds: list[str], order: object, values: list[tuple[int, ...]]
) -> None:
    """Fields of every type in any order, in every format."""
    names = ["x", "y", "z", "red", "nx", "quality", "id"][: len(kinds)]
    order.shuffle(names)  # type: ignore[attr-defined]
    layout = np.dtype([(name, TYPES[kind]) for name, kind in zip(names, kinds, strict=True)])
    rows = np.array([value[: len(kinds)] for value in values]).astype(np.float64)
    table = np.empty(len(rows), layout)
    for place, name in enumerate(names):
        table[name] = rows[:, place]
    path = tmp_path_factory.getbasetemp() / "points.PLY"
    path.write_bytes(
        ply(form, list(zip(kinds, names, strict=True)), table, after=b"0 1 2\n" if form == "ascii" else b"more")
    )
    points = read_points(path)
    assert points.dtype == np.float64
    np.testing.assert_array_equal(points, rows[:, [names.index(axis) for axis in "xyz"]])


FLOATS = [("float", "x"), ("double", "y"), ("float", "z")]
ROWS = np.array([tuple(row) for row in POINTS.tolist()], [("x", "f4"), ("y", "f8"), ("z", "f4")])


@pytest.mark.parametrize("form", ["ascii", *ORDERS])
def test_a_ply_of_points_alone_with_a_comment_of_any_letters(tmp_path: Path, form: str) -> None:
    whole = ply(form, FLOATS, ROWS).replace(b"made here", "gemäß µ".encode())
    alone = whole.replace(b"element face 0\nproperty list uchar int vertex_indices\n", b"")
    assert len(alone) < len(whole)
    for data in (whole, alone, alone + "ü\n".encode()):
        np.testing.assert_allclose(read_points(written(tmp_path, "a.ply", data)), POINTS, rtol=1e-7)


@pytest.mark.parametrize("form", ["ascii", *ORDERS])
def test_a_ply_that_ends_early_says_after_how_many(tmp_path: Path, form: str) -> None:
    whole = ply(form, FLOATS, ROWS)
    np.testing.assert_allclose(read_points(written(tmp_path, "a.ply", whole)), POINTS, rtol=1e-7)
    with pytest.raises(DataError, match=r"it ends after 3 of 4 points$"):
        read_points(written(tmp_path, "a.ply", ply(form, FLOATS, ROWS, 4)))
    with pytest.raises(DataError, match=r"it ends after 2 of 3 points$"):
        read_points(written(tmp_path, "a.ply", whole[:-5]))
    fewer = read_points(written(tmp_path, "a.ply", ply(form, FLOATS, ROWS, 2)))
    np.testing.assert_allclose(fewer, POINTS[:2], rtol=1e-7)
    with pytest.raises(DataError, match="the file has none"):
        read_points(written(tmp_path, "a.ply", ply(form, FLOATS, ROWS[:0])))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ply\n", "plx\n", "it has no header of a PLY file"),
        ("end_header", "end", "it has no header of a PLY file"),
        ("format ascii", "format utf8", "its format is 'utf8', of ascii, binary_little_endian, binary_big_endian"),
        ("format ascii 1.0\n", "", "its format is '', of ascii"),
        ("element vertex 3", "element face 3", "its first element is not 'vertex'"),
        ("element vertex 3", "element vertex", "its first element is not 'vertex'"),
        ("element vertex 3\n", "", "its first element is not 'vertex'"),
        ("element vertex 3", "element vertex many", "invalid literal for int"),
        ("property double y", "property long y", "the property 'long y' of its vertices is not known"),
        ("property double y", "property list uchar int y", "property 'list uchar int y' of its vertices is not known"),
        ("property float x\n", "", "its vertices have no x"),
        ("property float z", "property float depth", "its vertices have no z"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = ply("ascii", FLOATS, ROWS).decode()
    assert old in text
    path = written(tmp_path, "a.ply", text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_points(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "count", "columns", "said"),
    [
        ("binary_little_endian", 2_500_000_000, 3, "it announces 2500000000 points, at most 20000000 are read"),
        ("binary_big_endian", -1, 3, "it announces -1 points"),
        ("binary_little_endian", 20_000_000, 30, "it announces 2400000000 bytes of points, at most 2147483648 are"),
        ("ascii", 10_000_000, 3, "it has more than 1000 bytes of text"),
    ],
)
def test_more_than_fits_into_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, count: int, columns: int, said: str
) -> None:
    monkeypatch.setattr(points_file, "_LARGEST_TEXT", 1000)
    names = ["x", "y", "z", *(f"more{i}" for i in range(columns - 3))]
    rows = np.zeros(0, [(name, "f4") for name in names])
    path = written(tmp_path, "a.ply", ply(form, [("float", name) for name in names], rows, count))
    os.truncate(path, 30 << 30)  # nothing is stored
    with pytest.raises(DataError, match=said):
        read_points(path)
