"""The section `data` of a training configuration: which sources take part, how each is read, split and mixed.

All values are numbers, switches or texts; `docs/training_data.md` lists them, a test holds it against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...config import build, nearest, param, shown
from ...errors import ConfigError

_WHOLE = ("train", "validation", "test")  # of `split`: all of a source goes there


@dataclass(frozen=True)
class SourceSettings:
    """What every source has."""

    kind: ClassVar[str] = ""

    name: str = param("", "name in tables and in the split file; empty = the kind")
    weight: float = param(
        1.0, "share of the training draws, relative to the other sources' weights", low=1e-6, high=1e6
    )
    split: str = param("scene", "how it is cut", choices=("scene", *_WHOLE))


@dataclass(frozen=True)
class NyuMatSettings(SourceSettings):
    """NYU Depth V2, the labelled .mat file."""

    kind = "nyu_mat"

    path: str = param("", "nyu_depth_v2_labeled.mat")
    split: str = param("official", "official = splits.mat", choices=("official", "scene", *_WHOLE))
    splits: str = param("", "splits.mat; empty = beside the file")
    depth: str = param("filled", "in-filled depth, or raw with holes", choices=("filled", "raw"))
    mask_border: bool = param(False, "depth is unknown outside the depth camera's view")


@dataclass(frozen=True)
class NyuCsvSettings(SourceSettings):
    """NYU Depth V2 in the csv layout."""

    kind = "nyu_csv"

    path: str = param("", "folder with data/nyu2_train.csv")
    split: str = param("official", "official = the two lists", choices=("official", "scene", *_WHOLE))
    mask_border: bool = param(False, "depth is unknown outside the depth camera's view")


@dataclass(frozen=True)
class TumSettings(SourceSettings):
    """TUM folders and archives."""

    kind = "tum"

    path: str = param("", "folder or archive; * and ? name several")
    split: str = param(
        "scene",
        "a recording is a scene; time = stretches of each recording",
        choices=("scene", "time", "positions", *_WHOLE),
    )
    train: str = param("", "of split positions: '0-100' or '0-40,60-100', both ends included")
    validation: str = param("", "likewise")
    test: str = param("", "likewise")
    camera: str = param("", "preset or 'fx fy cx cy [k1 k2 p1 p2 [k3]]', pixels; empty = as the recording says")
    depth_factor: float = param(0.0, "integer depth per metre; 0 = 5000 (TUM), 1000 (bags)", low=0.0, high=1e6)
    max_difference: float = param(0.02, "between colour and depth", unit="s", low=0.0, high=10.0)
    max_depth: float = param(10.0, "farthest depth there can be", unit="m", low=0.1, high=1000.0)


@dataclass(frozen=True)
class BagSettings(TumSettings):
    """ROS 1 and ROS 2 bags."""

    kind = "bag"

    path: str = param("", "bag file or folder; * and ? name several")
    colour_topic: str = param("", "empty = found by type, encoding and name")
    depth_topic: str = param("", "likewise")


@dataclass(frozen=True)
class ImageFolderSettings(SourceSettings):
    """Folders of image pairs."""

    kind = "image_folder"

    path: str = param("", "folder that the patterns start from")
    split: str = param("scene", "time = stretches of each scene, in natural order", choices=("scene", "time", *_WHOLE))
    colour: str = param("{scene}/rgb/{frame}.png", "pattern of the colour images")
    depth: str = param("{scene}/depth/{frame}.png", "pattern of the 16-bit depth images")
    depth_factor: float = param(1000.0, "integer depth per metre", low=1e-3, high=1e6)
    camera: str = param("", "'fx fy cx cy [k1 k2 p1 p2 [k3]]' in pixels, or a text file with that or with a matrix")
    max_depth: float = param(10.0, "farthest depth there can be", unit="m", low=0.1, high=1000.0)


@dataclass(frozen=True)
class KittiSettings(SourceSettings):
    """KITTI depth."""

    kind = "kitti"

    path: str = param("", "folder of the raw recordings")
    depth_path: str = param("", "folder of the annotated depth")
    split: str = param(
        "official", "official = folders train and val, or the lists", choices=("official", "scene", *_WHOLE)
    )
    camera: str = param("left", "colour camera", choices=("left", "right", "both"))
    train_list: str = param("", "Eigen's list of training images")
    validation_list: str = param("", "likewise")
    test_list: str = param("", "likewise")


@dataclass(frozen=True)
class RoomsSettings(SourceSettings):
    """Synthetic rooms."""

    kind = "rooms"

    rooms: int = param(100, "number of rooms", low=1, high=10_000_000)
    frames_per_room: int = param(10, "views of each", low=1, high=100_000)
    first_seed: int = param(0, "seed of the first room", low=0, high=2**31)
    width: int = param(160, "of a view", unit="px", low=8, high=8192)
    height: int = param(128, "of a view", unit="px", low=8, high=8192)
    min_hfov_deg: float = param(45.0, "horizontal field of view, from", unit="deg", low=1.0, high=170.0)
    max_hfov_deg: float = param(95.0, "to", unit="deg", low=1.0, high=170.0)
    tilt_deg: float = param(20.0, "random pitch and roll, either way", unit="deg", low=0.0, high=90.0)


KINDS: dict[str, type[SourceSettings]] = {
    kind.kind: kind
    for kind in (
        NyuMatSettings,
        NyuCsvSettings,
        TumSettings,
        BagSettings,
        ImageFolderSettings,
        KittiSettings,
        RoomsSettings,
    )
}


@dataclass(frozen=True)
class DataSettings:
    """The whole section; `sources` is a list of sources by kind."""

    root: str = param("", "where relative paths start; empty = the working directory")
    split_file: str = param("", "scenes of each split; empty = splits.txt in the run's folder")
    shares: str = param("80 10 10", "training, validation and test")
    epoch_frames: int = param(0, "draws of an epoch; 0 = as many as there are training frames", low=0, high=10**9)
    bad_share: float = param(0.01, "share of the draws that may be bad", low=0.0, high=1.0)
    bad_minimum: int = param(20, "bad draws that are always allowed", low=0, high=10**9)
    sources: tuple[SourceSettings, ...] = ()

    def file(self, path: str) -> Path:
        """A path of the configuration, `~` and `root` counted."""
        return Path(self.root).expanduser() / Path(path).expanduser()


def data_settings(tree: object) -> DataSettings:
    """The settings of a tree of plain values, as YAML gives it. ConfigError names the key that is wrong."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get("sources"), list | tuple) or not tree["sources"]:
        raise ConfigError(
            f"data must be a table with a list 'sources', each with a 'kind': {', '.join(KINDS)}; got {shown(tree)}"
        )
    settings = build(DataSettings, {key: value for key, value in tree.items() if key != "sources"}, section="data")
    sources = [_source(each, f"data.sources.{number}") for number, each in enumerate(tree["sources"])]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"data.sources: two are called '{twice}': give each a name of its own")
    return replace(settings, sources=tuple(sources))


def _source(tree: object, section: str) -> SourceSettings:
    kind = tree.get("kind") if isinstance(tree, Mapping) else tree
    if not isinstance(tree, Mapping) or str(kind) not in KINDS:
        raise ConfigError(
            f"{section}.kind must be one of {', '.join(KINDS)}, got {shown(kind)}{nearest(str(kind), list(KINDS))}"
        )
    kind_of = KINDS[str(kind)]
    made = build(kind_of, {key: value for key, value in tree.items() if key != "kind"}, section=section)
    for key in ("path", "depth_path"):
        if getattr(made, key, None) == "":
            raise ConfigError(f"{section}.{key} is needed for {kind_of.kind}")
    return replace(made, name=made.name or kind_of.kind)
