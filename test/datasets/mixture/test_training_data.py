"""Training data as a whole: settings, splits, mixing and bad samples."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_recordings import CAMERA, FORMATS, Scene
from made_training_sets import (
    colour,
    depth,
    write_kitti,
    write_nyu_csv,
    write_nyu_mat,
    write_pairs,
    write_splits,
)
from processes import ROOT

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import rows_of
from mono_depth_recon.datasets.dataset import Dataset, Part, Problem
from mono_depth_recon.datasets.mixture.checking import check_data
from mono_depth_recon.datasets.mixture.mixture import Mixture
from mono_depth_recon.datasets.mixture.settings import DataSettings, data_settings
from mono_depth_recon.datasets.mixture.splits import SplitFile, parse_positions, parse_shares, split_scenes
from mono_depth_recon.datasets.mixture.tolerant import BadSampleLedger, TolerantFrames
from mono_depth_recon.datasets.mixture.training_data import open_training_data
from mono_depth_recon.datasets.table import KINDS
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.frames import Sample

DOCS = ROOT / "docs" / "training_data.md"
PAIRS = {"kind": "image_folder", "camera": "60 60 31.5 23.5"}


class Numbered(Dataset):
    """Frames 0 to count - 1 of which those in `bad` cannot be read; a sample's stamp is its number."""

    def __init__(self, name: str, count: int, bad: tuple[int, ...] = (), empty: tuple[int, ...] = ()) -> None:
        super().__init__(name, 10.0)
        self._count, self._bad, self._empty = count, bad, empty

    def __len__(self) -> int:
        return self._count

    def read(self, i: int) -> Sample:
        if i in self._bad:
            raise DataError(f"{self.origin(i)}: cannot be decoded")
        camera = PinholeCamera.from_intrinsics(64, 48, 60, 60, 31.5, 23.5)
        known = np.full((48, 64), np.nan, np.float32) if i in self._empty else depth(i)
        return Sample(colour(i), camera, known, float(i))

    def origin(self, i: int) -> str:
        return f"{self.name}.csv:{i + 1}"

    def scene(self, i: int) -> str:
        return f"room {i // 10}"


def part(name: str, count: int, bad: tuple[int, ...] = (), empty: tuple[int, ...] = ()) -> Part:
    return Part(Numbered(name, count, bad, empty), "train", range(count))


# Settings


def test_defaults_and_values_of_a_section() -> None:
    settings = data_settings(
        {
            "root": "/data",
            "shares": "70 20 10",
            "sources": [
                {"kind": "nyu_csv", "path": "nyu"},
                {"kind": "rooms", "name": "many rooms", "rooms": 7, "weight": 2},
            ],
        }
    )
    csv, rooms = settings.sources
    assert (csv.name, csv.split, csv.weight) == ("nyu_csv", "official", 1.0)
    assert (rooms.name, rooms.split, rooms.weight) == ("many rooms", "scene", 2.0)
    assert settings.file("nyu") == Path("/data/nyu") and settings.file("/else/nyu") == Path("/else/nyu")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (None, "must be a table with a list 'sources'"),
        ({"sources": []}, "must be a table with a list 'sources'"),
        (
            {"sources": [{"kind": "nyu_cvs", "path": "x"}]},
            r"sources\.0\.kind must be one of .*did you mean 'nyu_csv'",
        ),
        ({"sources": [{"kind": ["tum"]}]}, r"sources\.0\.kind must be one of .*got \['tum'\]"),
        ({"sources": [[]]}, r"sources\.0\.kind must be one of .*got \[\]"),
        (
            {"sources": [{"kind": "rooms", "width": 10**400}]},
            r"sources\.0\.width must be 8 to 8192 px, got a whole",
        ),
        ({"sources": [{"kind": "rooms", "rooms": True}]}, r"sources\.0\.rooms must be of type int, got True"),
        ({"sources": [{"kind": "rooms"}], "bad_share": float("nan")}, r"data\.bad_share must be 0 to 1, got nan"),
        ({"sources": [{"kind": "tum"}]}, r"data\.sources\.0\.path is needed for tum"),
        ({"sources": [{"kind": "tum", "path": "x", "widht": 3}]}, r"unknown setting 'data\.sources\.0\.widht'"),
        ({"sources": [{"kind": "tum", "path": "x", "weight": "much"}]}, r"sources\.0\.weight must be of type float"),
        ({"sources": [{"kind": "tum", "path": "x", "weight": 0.0}]}, r"data\.sources\.0\.weight must be 1e-06 to"),
        (
            {"sources": [{"kind": "tum", "path": "x", "split": "official"}]},
            r"split must be one of scene, time, positions",
        ),
        ({"sources": [{"kind": "rooms"}], "share": "1 1 1"}, r"unknown setting 'data\.share'; did you mean 'shares'"),
        ({"sources": [{"kind": "rooms"}, {"kind": "rooms"}]}, "two are named 'rooms'"),
    ],
)
def test_wrong_settings_are_named(tree: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_settings(tree)


def test_the_documentation_lists_every_key_with_its_default() -> None:
    text = DOCS.read_text(encoding="utf-8")
    sections = dict(section.split("\n", 1) for section in text.split("\n### ") if "\n" in section)
    for name, kind in [("data", DataSettings), *((row.name, row.settings) for row in KINDS.values())]:
        section = next(body for title, body in sections.items() if f"`{name}`" in title)
        inherited = {"name", "weight"} if name != "data" else set()
        for row in rows_of(kind):
            if row.name not in inherited:
                default = f'"{row.default}"' if isinstance(row.default, str) else str(row.default).lower()
                assert f"| `{row.name}` | `{default}` |" in section, f"{name}: {row.name} {default}"


# Splits


@pytest.mark.parametrize("seed", range(5))
def test_scenes_are_split_near_to_the_shares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = {f"scene {i}": int(rng.integers(20, 200)) for i in range(60)}
    chosen = split_scenes(counts, (0.8, 0.1, 0.1), seed)
    assert set(chosen) == set(counts)
    total = sum(counts.values())
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        got = sum(counts[scene] for scene in counts if chosen[scene] == split)
        assert abs(got - share * total) <= max(counts.values())
    assert chosen == split_scenes(dict(reversed(counts.items())), (0.8, 0.1, 0.1), seed)
    assert chosen != split_scenes(counts, (0.8, 0.1, 0.1), seed + 100)


@pytest.mark.parametrize("scenes", [3, 4, 7])
def test_few_scenes_leave_no_split_empty(scenes: int) -> None:
    chosen = split_scenes({f"scene {i}": 10 + 90 * (i == 0) for i in range(scenes)}, (0.8, 0.1, 0.1), 1)
    assert set(chosen.values()) == {"train", "validation", "test"}
    assert "test" not in split_scenes({"a": 1, "b": 1}, (0.9, 0.1, 0.0), 1).values()
    with pytest.raises(DataError, match=r"2 scenes \(a, b\) cannot be split into train, validation, test"):
        split_scenes({"a": 1, "b": 1}, (0.8, 0.1, 0.1), 1)
    with pytest.raises(DataError, match="no frame is left for train, validation: .* add the training part"):
        split_scenes({}, (0.9, 0.1, 0.0), 1)


def test_texts_of_shares_and_positions() -> None:
    assert parse_shares("80 10 10") == pytest.approx((0.8, 0.1, 0.1)) and parse_shares("3,1,0") == (0.75, 0.25, 0)
    assert parse_positions("0-2, 7-7", "x") == [range(3), range(7, 8)] and parse_positions("", "x") == []
    for text in ("80 20", "0 50 50", "80 -10 30", "nan 1 1", "a b c"):
        with pytest.raises(ConfigError, match="shares must be three numbers"):
            parse_shares(text)
    for text in ("5", "7-3", "a-b", "-3"):
        with pytest.raises(ConfigError, match=r"desk\.train: positions must be like"):
            parse_positions(text, "desk.train")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), [f"room {i:02d}" for i in range(20)], frames=2)


def test_a_split_by_scene_is_written_and_read_back(pairs: Path, tmp_path: Path) -> None:
    tree = {"root": str(pairs), "sources": [{**PAIRS, "path": "."}]}
    first = open_training_data(tree, 7, tmp_path)
    parts = [first.train.parts[0], first.validation["image_folder"], first.test["image_folder"]]
    assert [len(each) for each in parts] == [32, 4, 4]
    assert (
        not set.intersection(*[each.scenes() for each in parts[:2]])
        and len(set().union(*[each.scenes() for each in parts])) == 20
    )
    written = (tmp_path / "splits.txt").read_text()
    assert written.count("\ntrain\timage_folder\troom ") == 16 and "seed 7, shares 80 10 10" in written
    again = open_training_data(tree, 8, tmp_path)  # another seed: the file stands
    assert again.train.parts[0].frames == parts[0].frames
    assert (tmp_path / "splits.txt").read_text() == written
    assert open_training_data(tree, 8).train.parts[0].frames != parts[0].frames
    moved = written.replace("train\timage_folder\troom 00", "test\timage_folder\troom 00")
    moved = moved.replace("validation\timage_folder\troom 00", "test\timage_folder\troom 00")
    (tmp_path / "splits.txt").write_text(moved)
    assert "room 00" in open_training_data(tree, 7, tmp_path).test["image_folder"].scenes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("train\t", "training\t"), r"splits\.txt:3: expected 'train\|validation\|test<tab>source<tab>scene'"),
        (
            ("room 05\n", "room 55\n"),
            r"splits\.txt: does not assign scene 'room 05' of image_folder to a split",
        ),
        (
            ("# split<tab>source<tab>scene", "train\timage_folder\troom 01\ntest\timage_folder\troom 01"),
            r"splits\.txt:\d+: scene 'room 01' of image_folder is in two splits",
        ),
    ],
)
def test_a_split_file_that_does_not_fit_is_named(
    pairs: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    tree = {"split_file": str(tmp_path / "splits.txt"), "sources": [{**PAIRS, "path": str(pairs)}]}
    open_training_data(tree, 7)
    text = (tmp_path / "splits.txt").read_text()
    (tmp_path / "splits.txt").write_text(text.replace(*change))
    with pytest.raises(DataError, match=message):
        open_training_data(tree, 7)
    assert not check_data(tree, 7, frames_per_source=1).ok


def test_official_splits_take_validation_from_training_by_scene(tmp_path: Path) -> None:
    mat = write_nyu_mat(tmp_path / "nyu.mat", [f"den_{i // 2:04d}" for i in range(24)])
    write_splits(tmp_path / "splits.mat", train=range(1, 21), test=range(21, 25))
    csv = write_nyu_csv(tmp_path / "csv", [f"den_{i:04d}" for i in range(10)], frames=1, tests=3)
    raw, annotated = write_kitti(
        tmp_path / "kitti",
        {
            "2011_09_26_drive_0001_sync": "train",
            "2011_09_26_drive_0002_sync": "train",
            "2011_09_28_drive_0001_sync": "val",
        },
        frames=1,
    )
    data = open_training_data(
        {
            "sources": [
                {"kind": "nyu_mat", "path": str(mat)},
                {"kind": "nyu_csv", "path": str(csv)},
                {"kind": "kitti", "path": str(raw), "depth_path": str(annotated)},
            ]
        },
        3,
        tmp_path,
    )
    assert [len(each) for each in data.train.parts] == [18, 9, 1]
    assert [len(each) for each in data.validation.values()] == [2, 1, 1]
    assert [len(each) for each in data.test.values()] == [4, 3, 1]
    assert data.test["nyu_mat"].frames == (20, 21, 22, 23)
    for name, held in data.validation.items():
        train = next(each for each in data.train.parts if each.name == name)
        assert not held.scenes() & train.scenes()
    assert "18 of 9 scenes" in data.lines()[1] and data.lines()[-1].startswith("an epoch draws 28: nyu_mat 10, ")


def test_recordings_are_split_by_position_and_by_time(tmp_path: Path) -> None:
    desk = FORMATS["folder"](tmp_path, Scene(frames=20))
    source = {"kind": "tum", "path": str(desk), "camera": CAMERA}
    data = open_training_data(
        {"sources": [{**source, "split": "positions", "train": "0-9,15-19", "validation": "10-12"}]}, 1
    )
    assert data.train.parts[0].frames == (*range(10), *range(15, 20)) and not data.test
    assert data.validation["tum"].frames == (10, 11, 12)
    data = open_training_data({"sources": [{**source, "split": "time"}]}, 1)
    assert data.train.parts[0].frames == tuple(range(16))
    assert (data.validation["tum"].frames, data.test["tum"].frames) == ((16, 17), (18, 19))
    for settings, message in (
        (
            {"split": "positions", "train": "0-9", "validation": "20-30"},
            "no pair is at positions 20-30, the recording has 0 to 19",
        ),
        ({"split": "positions", "train": "0-9", "validation": "9-12"}, "position 9 is in train and in valid"),
        ({"split": "time", "train": "0-9"}, "are positions: set split: positions"),
        ({"split": "scene"}, r"1 scenes \(desk\) cannot be split"),
        ({"split": "train"}, "no source has a validation part"),
        ({"kind": "bag", "split": "time"}, "is of kind tum, not bag"),
    ):
        with pytest.raises((DataError, ConfigError), match=message):
            open_training_data({"sources": [{**source, **settings}]}, 1)


# Mixing


def test_an_epoch_holds_the_sources_by_weight_and_every_frame_equally_often() -> None:
    mixture = Mixture([part("a", 30), part("b", 7)], [3, 1], seed=5, epoch_frames=40)
    drawn = [mixture.pick(epoch, index) for epoch in range(7) for index in range(40)]
    for epoch in range(7):
        assert Counter(each.name for each, _ in drawn[40 * epoch : 40 * epoch + 40]) == {"a": 30, "b": 10}
    for name, count, times in (("a", 30, 7), ("b", 7, 10)):
        assert Counter(frame for each, frame in drawn if each.name == name) == dict.fromkeys(range(count), times)


def test_a_single_source_is_a_shuffled_pass_that_differs_by_epoch_and_seed() -> None:
    orders = [
        [Mixture([part("a", 50)], [1.0], seed).pick(epoch, i)[1] for i in range(50)]
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0] and orders[0] != sorted(orders[0])
    assert len(Mixture([part("a", 50)], [1.0], 1)) == 50


def test_a_draw_depends_on_nothing_but_seed_epoch_and_index() -> None:
    mixture = Mixture([part("a", 11), part("b", 23)], [1, 1], seed=9, epoch_frames=25)
    keys = [(epoch, index) for epoch in range(3) for index in range(25)]
    expected = {key: mixture.origin(key) for key in keys}
    other = pickle.loads(pickle.dumps(mixture))
    shuffled = [keys[i] for i in np.random.default_rng(0).permutation(len(keys))]
    assert {key: other.origin(key) for key in shuffled} == expected
    assert mixture[2, 3].stamp == other[2, 3].stamp
    with pytest.raises(IndexError):
        mixture.pick(0, 25)


def test_a_weight_too_small_for_an_epoch_is_refused() -> None:
    with pytest.raises(ConfigError, match="b: its weight is too small, an epoch of 10 draws holds none of it"):
        Mixture([part("a", 5), part("b", 5)], [1000, 1], 0)
    with pytest.raises(ConfigError, match="seed must not be negative"):
        Mixture([part("a", 5)], [1], -1)


# Bad samples


def test_bad_samples_are_replaced_and_named() -> None:
    mixture = Mixture([part("a", 20, bad=(3, 4), empty=(11,)), part("b", 20)], [1, 1], seed=2)
    frames, ledger, met = TolerantFrames(mixture), BadSampleLedger(share=0.5, minimum=0), set()
    for index in range(40):
        wanted, number = mixture.pick(0, index)
        drawn = frames[0, index]
        assert drawn.origin.startswith(f"{wanted.name}.csv:")
        assert wanted.name == "b" or drawn.sample.stamp not in (3, 4, 11)
        assert bool(drawn.bad) == (wanted.name == "a" and number in (3, 4, 11))
        assert drawn.origin == frames[0, index].origin and drawn.bad == frames[0, index].bad
        met |= set(drawn.bad)
        ledger.add(1, drawn.bad)
    assert {
        Problem("a.csv:4", "cannot be decoded"),
        Problem("a.csv:5", "cannot be decoded"),
        Problem("a.csv:12", "no pixel has a known depth"),
    } <= met
    assert ledger.drawn == 40 and ledger.count >= 3 and len(ledger.met) == 3
    assert ledger.lines()[0] == f"{ledger.count} of 40 draws hit a bad sample (3 different ones)"
    assert any(line.startswith("a.csv:12: no pixel has a known depth (") for line in ledger.lines())


def test_a_bad_validation_frame_is_replaced_by_its_successor() -> None:
    frames = TolerantFrames(part("a", 5, bad=(1, 2, 4)))
    assert [frames[i].origin for i in range(5)] == ["a.csv:1", "a.csv:4", "a.csv:4", "a.csv:4", "a.csv:1"]
    assert [problem.where for problem in frames[1].bad] == ["a.csv:2", "a.csv:3"]
    with pytest.raises(DataError, match=r"3 samples in a row are bad, the last is a\.csv:3: cannot be decoded"):
        TolerantFrames(part("a", 3, bad=(0, 1, 2)))[0]


def test_too_many_bad_samples_stop_the_run_by_name() -> None:
    ledger = BadSampleLedger(share=0.01, minimum=2)
    ledger.add(100, [Problem("x.csv:7", "cannot be decoded")] * 2)
    resumed = BadSampleLedger(share=0.01, minimum=2)
    resumed.load(ledger.state())
    resumed.add(200, [Problem("x.csv:9", "no pixel has a known depth")])  # 3 of 300 are 1 %
    with pytest.raises(
        DataError,
        match=r"too many bad samples: 4 of 301 draws hit a bad sample \(3 different ones\); "
        r"x\.csv:7: cannot be decoded \(2 times\); .*raise data\.bad_share \(0\.01\)",
    ):
        resumed.add(1, [Problem("y.csv:1", "is missing")])
    assert BadSampleLedger().lines() == []


def test_all_of_it_can_be_pickled_for_workers(pairs: Path) -> None:
    data = open_training_data({"sources": [{**PAIRS, "path": str(pairs)}]}, 4)
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.train[1, 5].rgb, data.train[1, 5].rgb)
    np.testing.assert_array_equal(copy.validation["image_folder"][0].rgb, data.validation["image_folder"][0].rgb)


@pytest.mark.parametrize("name", ["two\nlines", "a\tb", "caf\udce9"])
def test_a_scene_that_a_split_file_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    splits = SplitFile(tmp_path / "splits.txt")
    splits.of(Numbered(name, 40), range(40), (0.5, 0.25, 0.25), 0)
    with pytest.raises(DataError, match=r"splits\.txt: cannot hold the name '.*\\x.*': rename it") as caught:
        splits.write("made")
    assert len(str(caught.value).splitlines()) == 1 and not list(tmp_path.iterdir())


def test_blanks_around_the_fields_of_a_split_file_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "splits.txt").write_text("\ufeff  # by hand\r\n train\tmine\troom 1  \r\n\r\n", encoding="utf-8")
    assert SplitFile(tmp_path / "splits.txt").scenes == {"mine": {"room 1": "train"}}
