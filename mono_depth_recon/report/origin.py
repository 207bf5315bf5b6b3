"""The origin of results: command, version, machine and time, stored with them for the head of the report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from .. import __version__
from ..atomic import write_atomically
from ..benchmark.machine import commit, device, versions
from ..printing import encoded_json


def write_origin(folder: Path, command: Sequence[str]) -> None:
    """Writes origin.json: the command line (sys.argv), version and commit, CPU, libraries, UTC time. DataError."""
    program = Path(command[0]).name
    words = ["mono-depth-recon" if program == "__main__.py" else program, *command[1:]]
    origin = {
        "command": shlex.join(words),
        "version": __version__,
        "commit": commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "device": device(),
        "libraries": versions(),
    }
    write_atomically(folder / "origin.json", [encoded_json(json.dumps(origin, indent=1, ensure_ascii=False))])
