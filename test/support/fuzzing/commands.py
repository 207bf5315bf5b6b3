"""Command lines of `mono-depth-recon` with odd words in any place, run in a folder of their own."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from mono_depth_recon.errors import ConfigError

from .files import check_line
from .mutations import choice
from .target import Target

_MODEL = "--model.name=unetpp_mobile --model.input_size=64"
_SOUND = tuple(
    line.split()
    for line in (
        f"reconstruct photo.png --hfov 60 --no-mesh --max-side 64 {_MODEL} --filter.max_range 5 --output out",
        "reconstruct photo.png --intrinsics 50 51 31.5 23.5 --distortion 0.1 0 0 0 --max-side 64 --no-mesh "
        f"--scale.source none {_MODEL} --output out",
        "fuse desk --camera 50,50,31.5,23.5 --true-depth --step 2 --fusion.voxel_size 0.05 --fusion.min_weight 0.01 "
        "--poses data --output out",
        "costmap desk --camera 50,50,31.5,23.5 --true-depth --step 2 --floor -1 --resolution 0.1 --output out",
        "scale desk --camera 50,50,31.5,23.5 --true-depth --sources points --step 2 --output out",
        "evaluate desk --camera 50,50,31.5,23.5 --models unetpp_mobile --protocols metric --first 0 --last 2 "
        "--stride 2 --workers 1 --no-report --model.input_size=64 --output out",
        "report results",
        "calibrate photo.png --board 4x3 --square 0.03 --name camera --output out.yaml",
        "models --verbose",
        "parameters --table",
    )
)
_ODD = (
    *("", " ", "0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 19, "9" * 401, "2147483648"),
    *("none", "true", "a", "x" * 300, "x" * 100_000, "a\nb", "\udcff", "é", "[]", "{}", "1,2", "1x1", "0x0", "-", "--"),
    *("photo.png", "desk", "empty", "text.txt", "missing", "-h", "--unknown", "--step", "--camera", "--model.name"),
)
_OUTPUTS = ("out", "out.yaml")  # stay as they are: what a command line names as output is written


def _places() -> Path:
    """A folder with what the sound lines name, made once per process."""
    import cv2
    from made_recordings import Scene, write_folder

    folder = Path(tempfile.mkdtemp(prefix="commands_"))
    write_folder(folder / "desk", Scene(frames=4))
    cv2.imwrite(str(folder / "photo.png"), np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("neither a picture nor settings\n")
    (folder / "results").mkdir()
    (folder / "results" / "summary.json").write_text('{"results": []}')
    return folder


_sound_places = cache(_places)


def _mutated(words: list[str], rng: np.random.Generator) -> list[str]:
    """After one or two changes: another word, one less, one twice, one from another line, two exchanged."""
    for _ in range(int(choice(rng, (1, 1, 1, 2)))):
        at = int(rng.integers(len(words)))
        way = int(rng.integers(5))
        if words[at] in _OUTPUTS or words[max(at - 1, 0)] == "--output":
            continue
        if way == 0:
            del words[at]
        elif way == 1:
            words.insert(at, words[at])
        elif way == 2:
            other = choice(rng, _SOUND)
            words.insert(at, choice(rng, other))
        elif "=" in words[at]:
            words[at] = f"{words[at].partition('=')[0]}={choice(rng, _ODD)}"
        else:
            words[at] = str(choice(rng, _ODD))
    return words


def run_a_line(rng: np.random.Generator | None) -> None:
    """One command line; its usage errors count as the package's own. None: all the sound ones."""
    if rng is not None:
        _ended_well(_mutated(list(choice(rng, _SOUND)), rng))
        return
    for line in _SOUND:
        with contextlib.suppress(ConfigError) if line[0] == "calibrate" else contextlib.nullcontext():  # shows no board
            _ended_well(line)


def _ended_well(words: Sequence[str]) -> None:
    """Raises ConfigError with the last line on stderr where the command failed."""
    status, said = _run(words)
    if status:
        check_line(error := ConfigError(said))
        raise error


def _run(words: Sequence[str]) -> tuple[int, str]:
    """Status and last line on stderr of a command, in a folder with what the sound lines name."""
    from mono_depth_recon.cli import main

    before, stderr = Path.cwd(), io.StringIO()
    with tempfile.TemporaryDirectory(prefix="command_") as place:
        folder = Path(place) / "here"
        shutil.copytree(_sound_places(), folder)
        os.chdir(folder)
        try:
            with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
                status = main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            os.chdir(before)
    lines = [line for line in stderr.getvalue().replace("\r", "\n").splitlines() if line.strip()]
    return status, lines[-1] if lines else ""


COMMANDS = (Target("command line", run_a_line),)
