"""What is evaluated: models with their weights, data sets, frames and protocols."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..datasets.dataset import Dataset
from ..datasets.kind import OpenOptions
from ..datasets.rooms.source import is_room
from ..errors import ConfigError
from ..metrics.protocols import INDOOR, PROTOCOLS
from ..models.ensemble import PREFIX
from ..models.hub import HF
from ..models.onnx_files.loading import ONNX
from ..models.table import EMBEDDED, is_prompted
from ..paths import checked, expanded, names_entry
from ..printing import one_line

OUTPUTS = ("metric_depth", "relative_disparity")
_STAMP_TOLERANCE_S = 1e-3
_PROMPT = re.compile(r"true:([1-9]\d{0,4})x([1-9]\d{0,4})")
_ENDINGS = re.compile(r"(\.(tgz|tar|gz|bag|db3|mcap|zstd|mat|csv|txt))+$", re.IGNORECASE)  # of files with recordings


@dataclass(frozen=True)
class ModelChoice:
    """A model of the table, hf:FOLDER or an ensemble, with its own weights (empty: those of the settings).

    `output` is the kind of output of an hf: model (empty: that of the settings). `prompt` is what the model is given
    beside the image ('true:256x192'; empty: nothing), and stands behind its name in every table.
    """

    name: str
    checkpoint: str = ""
    output: str = ""
    prompt: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelChoice:
        """NAME, NAME=WEIGHTS or, for models with their own weights, hf:FOLDER=metric_depth etc. Raises ConfigError."""
        if text.startswith(HF):
            name, _, output = text.rpartition("=")
            if output in OUTPUTS and name:
                return cls(name, output=output)
            return cls(text)
        name, equals, checkpoint = text.partition("=")
        if not name or (equals and not checkpoint):
            raise ConfigError(f"a model is NAME, NAME=WEIGHTS or hf:FOLDER={'|'.join(OUTPUTS)}, got '{text}'")
        return cls(name, checkpoint)

    @property
    def label(self) -> str:
        """The name in tables, with the file name of the weights but not their folder, and with the prompt."""
        return f"{self._label}@{self.prompt}" if self.prompt else self._label

    @property
    def _label(self) -> str:
        if self.checkpoint:
            paths = self.checkpoint.split(os.pathsep) if self.name.startswith(PREFIX) else [self.checkpoint]
            return f"{self.name}={'+'.join(Path(path).name.removesuffix('.json') for path in paths)}"
        if self.name.startswith(ONNX):
            return ONNX + Path(self.name).name
        place = self.name.removeprefix(HF)
        if self.name.startswith(HF) and (place.startswith((".", "/", "~")) or Path(place).exists()):
            return HF + Path(place).name
        return self.name

    def config(self, config: Config) -> Config:
        """`config` for this model alone; model.output applies to hf: models only, the table has that of the others."""
        output = (self.output or config.model.output) if HF in self.name else "auto"
        return replace(
            config,
            model=replace(
                config.model, name=self.name, output=output, checkpoint=self.checkpoint or config.model.checkpoint
            ),
        )

    def fingerprint(self, config: Config) -> str:
        """Names, sizes and times of local weight files, also of the package's own: a change invalidates predictions."""
        given = self.checkpoint or config.model.checkpoint
        names = self.name.removeprefix(PREFIX).split("+") if self.name.startswith(PREFIX) else [self.name]
        found = []
        for text in given.split(os.pathsep) if given else [name.removeprefix(HF).removeprefix(ONNX) for name in names]:
            own = EMBEDDED / f"{text}.json"
            path = own if own.is_file() else expanded(text)
            beside = [path.with_suffix(suffix) for suffix in (".safetensors", ".onnx", ".json")]
            files = list(dict.fromkeys([path, *beside])) if path.is_file() else sorted(path.glob("*"))
            stats = [(file.name, file.stat()) for file in files if file.is_file()]
            found += [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
        return "; ".join(found)


@dataclass(frozen=True)
class PartOfRecording:
    """Positions `first` to `last` of a recording."""

    path: Path
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> PartOfRecording:
        """RECORDING:FIRST:LAST. Raises ConfigError."""
        path, *ends = text.rsplit(":", 2)
        if len(ends) != 2 or not all(end.isdecimal() for end in ends) or int(ends[0]) > int(ends[1]):
            raise ConfigError(f"a part of a recording is RECORDING:FIRST:LAST by position, got '{text}'")
        return cls(recording_path(path), int(ends[0]), int(ends[1]))


@dataclass(frozen=True)
class EvaluationPlan:
    """What is evaluated: every model on every data set, with the results in the folder `output`.

    `models` are texts for ModelChoice. `protocols`, if empty, are those of each data set (`protocols_of`). `first` to
    `last` choose frames by position in the data set (-1: to the end), `stride` every n-th of them; `frame`, a position
    or a stamp with a decimal point, chooses one. `baselines` are the frames from which the baselines are made.
    `workers` processes score in parallel with inference (1: within this process); the result is the same.
    `study_frames` evenly spaced ones of the chosen frames of a data set take part in the expensive parts. `ranges` are
    first and last frame of single data sets, by name. `prompt` (`prompt_size`) is what prompted models are given.
    Frames are rectified before inference and the truth by the same map, whatever `options.rectified` is.
    """

    data: Sequence[Path]
    models: Sequence[str]
    output: Path
    protocols: Sequence[str] = ()
    options: OpenOptions = field(default_factory=OpenOptions)
    config: Config = field(default_factory=Config)
    first: int = 0
    last: int = -1
    stride: int = 1
    frame: str = ""
    baselines: PartOfRecording | None = None
    workers: int = 1
    study_frames: int = 10
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    prompt: str = ""

    def __post_init__(self) -> None:
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown:
            raise ConfigError(f"protocols must be among {', '.join(PROTOCOLS)}, got '{unknown[0]}'")
        numbers = (self.stride, self.workers, self.study_frames)
        if not self.data or not self.models or min(numbers) < 1:
            raise ConfigError("expected recordings, models, and a stride, workers and study frames of at least 1")
        if self.first < 0 or self.last < -1 or 0 <= self.last < self.first:
            raise ConfigError(
                "expected first and last frame by position, from 0 (last: -1 is the end), got "
                f"{self.first} and {self.last}"
            )
        names = [recording_name(path) for path in self.data]
        if len(set(names)) < len(names):
            raise ConfigError(f"recordings must have different names, got {', '.join(names)}")
        labels = [choice.label for choice in self.choices]
        if len(set(labels)) < len(labels):
            raise ConfigError(f"models must differ in name or in the name of their weights, got {', '.join(labels)}")
        if self.config.model.checkpoint and sum(not choice.checkpoint for choice in self.choices) > 1:
            raise ConfigError("model.checkpoint is for one model: give several as NAME=WEIGHTS")
        if self.frame and _number(self.frame) is None:
            raise ConfigError(f"a frame is a position (12) or a stamp (1305031102.175304), got '{self.frame}'")
        self._check_prompt()

    def _check_prompt(self) -> None:
        prompted = [choice.name for choice in self.choices if is_prompted(choice.name)]
        if prompted and not self.prompt:
            raise ConfigError(
                f"{prompted[0]} is given depth beside the image: --prompt true:256x192 gives it the true depth at that "
                "size, which its name in the results says; or leave the model out"
            )
        if self.prompt and not prompted:
            raise ConfigError(f"--prompt is for models that are given depth, none of {', '.join(self.models)} is one")
        if self.prompt:
            prompt_size(self.prompt)

    @property
    def choices(self) -> list[ModelChoice]:
        """The models."""
        choices = [ModelChoice.parse(text) for text in self.models]
        return [replace(each, prompt=self.prompt) if is_prompted(each.name) else each for each in choices]

    def protocols_of(self, dataset: Dataset | None) -> Sequence[str]:
        """The protocols by which a data set is scored; None stands for one that cannot be opened."""
        if self.protocols:
            return self.protocols
        return (dataset.protocol,) if dataset is not None and dataset.protocol else INDOOR

    def chosen(self, recording: Dataset) -> list[int]:
        """The frames of a data set that take part; none if it lacks the requested one."""
        positions = recording.positions
        if "." in self.frame:
            return [
                i
                for i, stamp in enumerate(recording.stamps or ())
                if abs(stamp - float(self.frame)) < _STAMP_TOLERANCE_S
            ][:1]
        if self.frame:
            return [i for i, position in enumerate(positions) if position == int(self.frame)]
        first, last = self.ranges.get(recording_name(recording.path), (self.first, self.last))
        last = last if last >= 0 else positions[-1]
        return [i for i, position in enumerate(positions) if first <= position <= last][:: self.stride]

    @property
    def selection(self) -> dict[str, Any]:
        """What `chosen` and `studied` depend on, as plain values."""
        return {
            "first": self.first,
            "last": self.last,
            "stride": self.stride,
            "frame": self.frame,
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "study_frames": self.study_frames,
        }

    def studied(self, recording: Dataset) -> list[int]:
        """At most `study_frames` of the chosen frames, evenly spaced."""
        chosen = self.chosen(recording)
        places = np.linspace(0, len(chosen) - 1, min(len(chosen), self.study_frames))
        return [chosen[round(place)] for place in places]


def prompt_size(text: str) -> tuple[int, int]:
    """(columns, rows) of a prompt such as true:256x192: the true depth at that size. Raises ConfigError."""
    found = _PROMPT.fullmatch(text)
    if found is None:
        raise ConfigError(f"a prompt is true:COLUMNSxROWS, the true depth at that size (true:256x192), got '{text}'")
    return int(found[1]), int(found[2])


def recording_path(text: str) -> Path:
    """The absolute path of a recording, so that a later run may start from another folder; a room keeps its name."""
    return Path(text) if is_room(text) else checked(Path(os.path.abspath(text)))


def names_part(text: str) -> bool:
    """Whether a text is RECORDING:FIRST:LAST: neither a file with colons in its name nor room:SEED[:FRAMES]."""
    return ":" in text and not is_room(text) and not Path(text).exists()


def recording_name(path: Path) -> str:
    """The name of a recording in tables and folders: that of its folder, or of its file without the ending."""
    names = (_ENDINGS.sub("", path.name), path.name, path.resolve().name)
    return one_line(next(filter(names_entry, names), "root"))


def folder_of(label: str) -> str:
    """The name of a model's folder in `predictions/`."""
    return re.sub(r"[^\w.+:=@-]|^\.+$", "_", label)


def _number(text: str) -> float | None:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return None
