"""Files of torch.save: their checksums, and what torch raises for damage."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from ..paths import regular_file

_FOLDER = 0x10  # of the attributes of a member
# What torch.load raises for a damaged file, beside OSError: its unpickler checks little.
DAMAGE = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_torch_file(path: Path) -> Any:
    """The content of a file of torch.save, on the CPU; tensors and plain values only.

    torch reads weights without looking at the archive's checksums: they are checked here. Raises OSError or DAMAGE.
    """
    import torch

    regular_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            odd = next((each.filename for each in archive.infolist() if not _is_stored(each)), None)
            if (damaged := odd or archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_stored(member: zipfile.ZipInfo) -> bool:
    """Whether torch reads the member as it is; of one marked as a folder it reads nothing."""
    return member.compress_size == member.file_size and not member.external_attr & _FOLDER
