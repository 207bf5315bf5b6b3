"""Training data as a whole: settings, splits, mixing, bad samples, and the check before a run."""

from __future__ import annotations

import pickle
import re
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
    write_png,
    write_splits,
)

from mono_depth_recon.camera import PinholeCamera
from mono_depth_recon.config import rows_of
from mono_depth_recon.datasets.checking import CheckReport, check_data
from mono_depth_recon.datasets.depth_units import DepthSize, frame_problem, set_problem
from mono_depth_recon.datasets.frame_source import FrameSource, Problem, SourcePart
from mono_depth_recon.datasets.mixing import Mixture
from mono_depth_recon.datasets.source_settings import KINDS, DataSettings, data_settings
from mono_depth_recon.datasets.splits import parse_positions, parse_shares, split_scenes
from mono_depth_recon.datasets.tolerant import BadSampleLedger, TolerantFrames
from mono_depth_recon.datasets.training_data import open_training_data
from mono_depth_recon.errors import ConfigError, DataError
from mono_depth_recon.frames import Sample

DOCS = Path(__file__).resolve().parent.parent / "docs" / "training_data.md"
PAIRS = {"kind": "image_folder", "camera": "60 60 31.5 23.5"}


class Numbered(FrameSource):
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


def part(name: str, count: int, bad: tuple[int, ...] = (), empty: tuple[int, ...] = ()) -> SourcePart:
    return SourcePart(Numbered(name, count, bad, empty), "train", range(count))


# Settings


def test_defaults_and_values_of_a_section() -> None:
    settings = data_settings({"root": "/data", "shares": "70 20 10", "sources": [
        {"kind": "nyu_csv", "path": "nyu"}, {"kind": "rooms", "name": "many rooms", "rooms": 7, "weight": 2}]})
    csv, rooms = settings.sources
    assert (csv.name, csv.split, csv.weight) == ("nyu_csv", "official", 1.0)
    assert (rooms.name, rooms.split, rooms.weight) == ("many rooms", "scene", 2.0)
    assert settings.file("nyu") == Path("/data/nyu") and settings.file("/else/nyu") == Path("/else/nyu")


@pytest.mark.parametrize(("tree", "message"), [
    (None, "must be a table with a list 'sources'"),
    ({"sources": []}, "must be a table with a list 'sources'"),
    ({"sources": [{"kind": "nyu_cvs", "path": "x"}]}, r"sources\[0\]\.kind must be one of .*did you mean 'nyu_csv'"),
    ({"sources": [{"kind": "tum"}]}, r"data\.sources\[0\]\.path is needed for tum"),
    ({"sources": [{"kind": "tum", "path": "x", "widht": 3}]}, r"unknown setting 'data\.sources\[0\]\.widht'"),
    ({"sources": [{"kind": "tum", "path": "x", "weight": "much"}]}, r"sources\[0\]\.weight must be of type float"),
    ({"sources": [{"kind": "tum", "path": "x", "weight": 0.0}]}, r"data\.sources\[0\]\.weight must be 1e-06 to"),
    ({"sources": [{"kind": "tum", "path": "x", "split": "official"}]}, r"split must be one of scene, time, positions"),
    ({"sources": [{"kind": "rooms"}], "share": "1 1 1"}, r"unknown setting 'data\.share'; did you mean 'shares'"),
    ({"sources": [{"kind": "rooms"}, {"kind": "rooms"}]}, "two are called 'rooms'"),
])
def test_wrong_settings_are_named(tree: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_settings(tree)


def test_the_documentation_lists_every_key_with_its_default() -> None:
    text = DOCS.read_text(encoding="utf-8")
    sections = dict(section.split("\n", 1) for section in text.split("\n### ") if "\n" in section)
    for name, kind in [("data", DataSettings), *KINDS.items()]:
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
    assert not set.intersection(*[each.scenes() for each in parts[:2]]) and len(set().union(
        *[each.scenes() for each in parts])) == 20
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


@pytest.mark.parametrize(("change", "message"), [
    (("train\t", "training\t"), r"splits\.txt:3: expected 'train\|validation\|test<tab>source<tab>scene'"),
    (("room 05\n", "room 55\n"), r"splits\.txt: does not say in which split scene 'room 05' of image_folder stands"),
    (("# split<tab>source<tab>scene", "train\timage_folder\troom 01\ntest\timage_folder\troom 01"),
     r"splits\.txt:\d+: scene 'room 01' of image_folder stands in two splits"),
])
def test_a_split_file_that_does_not_fit_is_named(pairs: Path, tmp_path: Path, change: tuple[str, str],
                                                 message: str) -> None:
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
    raw, annotated = write_kitti(tmp_path / "kitti", {"2011_09_26_drive_0001_sync": "train",
                                                      "2011_09_26_drive_0002_sync": "train",
                                                      "2011_09_28_drive_0001_sync": "val"}, frames=1)
    data = open_training_data({"sources": [
        {"kind": "nyu_mat", "path": str(mat)}, {"kind": "nyu_csv", "path": str(csv)},
        {"kind": "kitti", "path": str(raw), "depth_path": str(annotated)}]}, 3, tmp_path)
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
    data = open_training_data({"sources": [{**source, "split": "positions", "train": "0-9,15-19",
                                            "validation": "10-12"}]}, 1)
    assert data.train.parts[0].frames == (*range(10), *range(15, 20)) and not data.test
    assert data.validation["tum"].frames == (10, 11, 12)
    data = open_training_data({"sources": [{**source, "split": "time"}]}, 1)
    assert data.train.parts[0].frames == tuple(range(16))
    assert (data.validation["tum"].frames, data.test["tum"].frames) == ((16, 17), (18, 19))
    for settings, message in (
            ({"split": "positions", "train": "0-9", "validation": "20-30"}, "no pair stands at positions 20-30, the "
                                                                            "recording has 0 to 19"),
            ({"split": "positions", "train": "0-9", "validation": "9-12"}, "position 9 stands in train and in valid"),
            ({"split": "time", "train": "0-9"}, "are positions: set split: positions"),
            ({"split": "scene"}, r"1 scenes \(desk\) cannot be split"),
            ({"split": "train"}, "no source has a validation part"),
            ({"kind": "bag", "split": "time"}, "is of kind tum, not bag")):
        with pytest.raises((DataError, ConfigError), match=message):
            open_training_data({"sources": [{**source, **settings}]}, 1)


# Mixing


def test_an_epoch_holds_the_sources_by_weight_and_every_frame_equally_often() -> None:
    mixture = Mixture([part("a", 30), part("b", 7)], [3, 1], seed=5, epoch_frames=40)
    drawn = [mixture.pick(epoch, index) for epoch in range(7) for index in range(40)]
    for epoch in range(7):
        assert Counter(each.name for each, _ in drawn[40 * epoch: 40 * epoch + 40]) == {"a": 30, "b": 10}
    for name, count, times in (("a", 30, 7), ("b", 7, 10)):
        assert Counter(frame for each, frame in drawn if each.name == name) == dict.fromkeys(range(count), times)


def test_a_single_source_is_a_shuffled_pass_that_differs_by_epoch_and_seed() -> None:
    orders = [[Mixture([part("a", 50)], [1.0], seed).pick(epoch, i)[1] for i in range(50)]
              for seed, epoch in ((1, 0), (1, 1), (2, 0))]
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
    assert {Problem("a.csv:4", "cannot be decoded"), Problem("a.csv:5", "cannot be decoded"),
            Problem("a.csv:12", "no pixel has a known depth")} <= met
    assert ledger.drawn == 40 and ledger.count >= 3 and len(ledger.met) == 3
    assert ledger.lines()[0] == f"{ledger.count} of 40 draws met a bad sample (3 different ones)"
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
    with pytest.raises(DataError, match=r"too many bad samples: 4 of 301 draws met a bad sample \(3 different ones\); "
                                        r"x\.csv:7: cannot be decoded \(2 times\); .*raise data\.bad_share \(0\.01\)"):
        resumed.add(1, [Problem("y.csv:1", "is missing")])
    assert BadSampleLedger().lines() == []


# Depth units


@pytest.mark.parametrize(("stored_per_metre", "read_per_metre", "far", "max_depth"), [
    (1000, 5000, 6.0, 10.0), (5000, 1000, 6.0, 10.0), (1000, 1, 6.0, 10.0), (256, 5000, 60.0, 80.0),
    (25.5, 1000, 6.0, 10.0), (1000, 25.5, 6.0, 10.0), (1000, 256, 60.0, 80.0), (100, 1000, 6.0, 10.0)])
def test_a_wrong_factor_is_found_and_the_likely_one_named(stored_per_metre: float, read_per_metre: float, far: float,
                                                          max_depth: float) -> None:
    sizes = [DepthSize.of(depth(i, far=far) * stored_per_metre / read_per_metre) for i in range(5)]
    message = set_problem([size for size in sizes if size is not None], max_depth, read_per_metre)
    median = float(np.median([np.median(depth(i, far=far)) for i in range(5)]))
    found = re.search(rf"read with {read_per_metre:g} per metre, likely is {stored_per_metre:g} \(median (\S+) m",
                      message)
    assert found is not None, message
    assert float(found[1]) == pytest.approx(median, rel=0.05)
    right = DepthSize.of(depth(2, far=far))
    assert right is not None and set_problem([right], max_depth, stored_per_metre) == ""


def test_a_single_frame_is_judged_more_mildly() -> None:
    assert frame_problem(np.full((4, 4), 0.3, np.float32), 10, 1000) == ""  # a close-up
    assert "depth unit implausible: the median is 0.02 m" in frame_problem(np.full((4, 4), 0.02, np.float32), 10, 1000)
    assert "likely is 1000" in frame_problem(depth(0) * 1000, 10, 1)
    assert frame_problem(None, 10, 1) == frame_problem(np.full((4, 4), np.nan, np.float32), 10, 1)


# The check before a run


def checked(sources: list[dict[str, object]], **options: int) -> CheckReport:
    return check_data({"shares": "50 25 25", "sources": sources}, 1, **options)


def texts(report: CheckReport) -> list[str]:
    return [str(problem) for problem in report.problems]


def test_good_data_passes_and_nothing_is_written(pairs: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    report = check_data({"sources": [{**PAIRS, "path": str(pairs)}]}, 1, tmp_path,
                        progress=lambda *step: steps.append(step))
    assert report.ok and report.frames == {"image_folder": 40} and not list(tmp_path.iterdir())
    assert steps == [(i, 40, "image_folder") for i in range(1, 41)]
    assert report.lines()[-1] == "frames read: 40 of image_folder; nothing is wrong"
    quick = check_data({"sources": [{**PAIRS, "path": str(pairs)}]}, 1, frames_per_source=5)
    assert quick.ok and quick.frames == {"image_folder": 5}


def test_every_kind_of_bad_frame_is_named_with_its_file(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a", "b", "c", "d"], frames=10)
    (tmp_path / "a/depth/0.png").write_bytes((tmp_path / "a/depth/0.png").read_bytes()[:300])
    write_png(tmp_path / "a/depth/1.png", np.zeros((48, 64), np.uint16))
    write_png(tmp_path / "b/depth/0.png", np.rint(depth(0, 32, 24) * 1000).astype(np.uint16))
    write_png(tmp_path / "b/depth/1.png", np.rint(depth(0) * 25.5).astype(np.uint8))
    write_png(tmp_path / "c/depth/0.png", np.rint(depth(0) * 25.5).astype(np.uint16))
    (tmp_path / "d/depth/0.png").unlink()
    report = checked([{**PAIRS, "path": str(tmp_path)}])
    found = {problem.where.removeprefix(f"{tmp_path}/"): problem.text for problem in report.bad}
    assert set(found) == {f"{pair[0]}/rgb/{pair[1]}.png" for pair in ("a0", "a1", "b0", "b1", "c0", "d0")}
    assert found["a/rgb/0.png"].endswith("a/depth/0.png is cut short: its end is missing") or (
        "cannot be decoded" in found["a/rgb/0.png"])
    assert found["a/rgb/1.png"] == "no pixel has a known depth"
    assert "depth has 32x24 pixels, expected 64x48" in found["b/rgb/0.png"]
    assert "depth must be one channel of 16 bits, got uint8" in found["b/rgb/1.png"]
    assert "depth unit implausible" in found["c/rgb/0.png"] and "likely is 25.5" in found["c/rgb/0.png"]
    assert "has no depth image" in found["d/rgb/0.png"]
    with pytest.raises(DataError, match="too many bad frames: 1 of 39 lack a file, "):
        report.raise_if_bad()


def test_one_bad_frame_does_not_stop_a_run_but_a_check_fails(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a", "b", "c", "d"], frames=5)
    write_png(tmp_path / "a/depth/1.png", np.zeros((48, 64), np.uint16))
    report = checked([{**PAIRS, "path": str(tmp_path)}])
    report.raise_if_bad()
    assert not report.ok and texts(report) == [f"{tmp_path}/a/rgb/1.png: no pixel has a known depth"]


def test_a_wrong_factor_is_one_problem_of_the_set(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a", "b", "c", "d"], frames=2, per_metre=5000.0)
    report = checked([{**PAIRS, "path": str(tmp_path), "depth_factor": 1000}])
    assert len(report.problems) == 1
    assert "image_folder: depth unit implausible: over 8 frames the median is 14" in texts(report)[0]
    assert "read with 1000 per metre, likely is 5000" in texts(report)[0]
    assert checked([{**PAIRS, "path": str(tmp_path), "depth_factor": 5000}]).ok


def test_lines_of_a_csv_that_point_nowhere_are_all_named(tmp_path: Path) -> None:
    write_nyu_csv(tmp_path, [f"den_{i:04d}" for i in range(4)], frames=2)
    (tmp_path / "data/nyu2_train/den_0001_out/2.png").unlink()
    (tmp_path / "data/nyu2_test/00002_colors.png").unlink()
    report = checked([{"kind": "nyu_csv", "path": str(tmp_path)}])
    assert texts(report) == [
        f"{tmp_path}/data/nyu2_train.csv:4: names {tmp_path}/data/nyu2_train/den_0001_out/2.png, which is missing",
        f"{tmp_path}/data/nyu2_test.csv:3: names {tmp_path}/data/nyu2_test/00002_colors.png, which is missing"]
    assert report.frames == {"nyu_csv": 10}


def test_all_sources_are_checked_even_if_the_first_cannot_be_opened(tmp_path: Path) -> None:
    mat = write_nyu_mat(tmp_path / "nyu.mat", ["den_0001"] * 4)
    mat.write_bytes(mat.read_bytes()[:20_000])
    write_pairs(tmp_path / "two", ["a", "b"], frames=2)
    report = checked([{"kind": "nyu_mat", "path": str(mat)}, {**PAIRS, "path": str(tmp_path / "two")},
                      {"kind": "kitti", "path": str(tmp_path / "no"), "depth_path": str(tmp_path)}])
    where = [problem.where for problem in report.faults]
    assert where == ["nyu_mat", "image_folder", "kitti"]
    assert "nyu.mat is cut short, it has 20000 of" in texts(report)[0]
    assert "2 scenes (a, b) cannot be split into train, validation, test: a split would be empty" in texts(report)[1]
    assert report.frames == {"image_folder": 4} and report.lines()[-1].endswith("3 problems")
    with pytest.raises(DataError, match=r"cut short.*\(and 2 more problems\)"):
        report.raise_if_bad()


def test_rendered_frames_are_looked_at_by_twos_and_not_judged_as_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def close_up(source: FrameSource, i: int) -> Sample:
        read.append(i)
        camera = PinholeCamera.from_intrinsics(64, 48, 60, 60, 31.5, 23.5)
        return Sample(colour(i), camera, np.full((48, 64), 0.3, np.float32))

    monkeypatch.setattr("mono_depth_recon.datasets.room_source.RoomSource.read", close_up)
    report = check_data({"sources": [{"kind": "rooms", "rooms": 20, "frames_per_room": 5}]}, 1)
    assert report.ok and read == [0, 99] and "80 of 16 scenes" in report.splits[1]


def test_a_long_list_of_problems_is_cut() -> None:
    report = CheckReport(bad=[Problem(f"x.csv:{i}", "is missing") for i in range(50)])
    assert report.lines(3)[:4] == ["x.csv:0: is missing", "x.csv:1: is missing", "x.csv:2: is missing", "and 47 more"]


def test_all_of_it_can_be_pickled_for_workers(pairs: Path) -> None:
    data = open_training_data({"sources": [{**PAIRS, "path": str(pairs)}]}, 4)
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.train[1, 5].rgb, data.train[1, 5].rgb)
    np.testing.assert_array_equal(copy.validation["image_folder"][0].rgb, data.validation["image_folder"][0].rgb)


def test_real_desks_are_plausible_and_a_wrong_factor_is_not(data_folder: Path) -> None:
    source = {"kind": "tum", "path": "tum/rgbd_dataset_freiburg1_rpy_part", "split": "positions", "train": "0-100",
              "validation": "101-120", "test": "121-140"}
    assert check_data({"root": str(data_folder), "sources": [source]}, 1, frames_per_source=4).ok
    report = check_data({"root": str(data_folder), "sources": [{**source, "depth_factor": 1000}]}, 1,
                        frames_per_source=4)
    assert len(report.faults) == 1 and "likely is 5000" in texts(report)[0]
