"""The short form of `make fuzz`: a few tries of the kinds that load no large library; and the tools themselves."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import TARGETS
from fuzzing.__main__ import main, table
from fuzzing.mutations import mutated
from fuzzing.pool import REFUSED, RESULT, Tally, outcome_of, run
from misbehaving import TARGETS as MISBEHAVING
from misbehaving import WAYS

from mono_depth_recon.errors import DataError

_QUICK = (
    *("message Image", "message CompressedImage", "message CameraInfo", "message TFMessage", "messages of poses"),
    *("split file", "map", "model card", "splits.mat 5"),
)


@pytest.mark.parametrize("name", _QUICK)
def test_quick_kinds_end_in_a_result_or_one_line(tmp_path: Path, name: str) -> None:
    (target,) = (target for target in TARGETS if target.name == name)
    sound = tmp_path / "sound"
    sound.mkdir()
    target.prepare(sound)
    found: Counter[str] = Counter()
    for number in range(40):
        (folder := tmp_path / str(number)).mkdir()
        found[outcome_of(partial(target.attempt, sound, folder, np.random.default_rng((7, number))))] += 1
    assert found.keys() <= {RESULT, REFUSED} and found[REFUSED] > 3


def test_every_kind_has_its_own_name() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS) > 30


def test_mutations_change_most_inputs_and_repeat_with_their_seed() -> None:
    for data in (b"1.5 rgb/a.png\n2.5 rgb/b.png\n", b'{"a": [1, {"b": "c"}]}', bytes(range(256)), b""):
        made = [mutated(data, np.random.default_rng((3, i))) for i in range(40)]
        assert made == [mutated(data, np.random.default_rng((3, i))) for i in range(40)]
        assert sum(each != data for each in made) > 15 and len(set(made)) > 12


def _raise(error: Exception) -> Any:
    def attempt() -> None:
        raise error

    return attempt


def test_outcomes_are_told_apart() -> None:
    assert outcome_of(lambda: None) == RESULT
    assert outcome_of(_raise(DataError("expected this, got that"))) == REFUSED
    assert outcome_of(_raise(KeyError("a 12"))) == "KeyError at ?: 'a #'"
    tally = Tally("toy")
    for number, outcome in enumerate((RESULT, REFUSED, "killed by SIGSEGV", "killed by SIGSEGV")):
        tally.add(number, outcome)
    assert tally.failed == 2 and tally.failures == {"killed by SIGSEGV": 2}
    assert table([tally]).splitlines()[2:] == ["| toy | 4 | 1 | 1 | 2 |", "| all | 4 | 1 | 1 | 2 |"]


@pytest.mark.slow
def test_deaths_hangs_memory_and_writes_elsewhere_are_counted() -> None:
    (tally,) = run(MISBEHAVING, tries=len(WAYS), seed=1, deadline_s=10, source="misbehaving")
    assert tally.failures == {
        "killed by SIGSEGV": 0,
        "no answer within 10 s": 1,
        "MemoryError at ?: Unable to allocate #.# GiB for an array with shape (#,) and data type uint#": 2,
        "opened /nowhere/file for writing": 3,
        "os.system (b'true',)": 4,
        "DataError: a message of 2 letters in 1 lines: '  '": 5,
    }
    assert tally.counts[RESULT] == len(WAYS) - 6


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "no such kind"])
    assert "no such kind" in capsys.readouterr().err
