"""Weights and checkpoints with one flipped bit: one line, or the same tensors; never others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from mono_depth_recon.errors import ModelError  # noqa: E402
from mono_depth_recon.models.safetensors_file import read_safetensors  # noqa: E402
from mono_depth_recon.models.transformers.network import read_weights  # noqa: E402
from training.checkpoints import read_checkpoint  # noqa: E402

TENSORS = {"a": torch.arange(5.0), "b.weight": torch.full((2, 3), 0.5)}


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")  # nobody writes: to open it would wait forever
    for read in (lambda path: read_weights((path,)), read_checkpoint, read_safetensors):
        with pytest.raises(ModelError, match=r"pipe.safetensors cannot be read"):
            read(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize(
    ("read", "legacy"),
    [
        (lambda path: read_weights((path,)), False),
        (lambda path: read_weights((path,)), True),
        (read_checkpoint, False),
    ],
    ids=["weights", "weights of old torch", "checkpoint"],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_one_flipped_bit(tmp_path: Path, read: Callable[[Path], dict[str, Any]], legacy: bool) -> None:
    path = tmp_path / "weights.bin"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=not legacy)
    assert read(path).keys() == TENSORS.keys()
    whole, refused = bytearray(path.read_bytes()), 0
    for place in range(len(whole)):
        whole[place] ^= 1 << place % 8
        path.write_bytes(whole)
        whole[place] ^= 1 << place % 8
        try:
            found = read(path)
        except ModelError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
            continue
        if not legacy:  # which has no checksums
            assert found.keys() == TENSORS.keys()
            assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    assert refused > len(whole) // 4
