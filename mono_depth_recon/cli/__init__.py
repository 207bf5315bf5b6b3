"""The command line `mono-depth-recon`: one module per command, each a thin shell around the package."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from .. import __version__
from ..errors import MonoDepthError
from ..paths import name_too_long
from ..printing import escape_on, one_line
from . import (
    benchmark,
    calibrate,
    costmap,
    doctor,
    evaluate,
    explain,
    export,
    fuse,
    models,
    parameters,
    reconstruct,
    report,
    scale,
)

_COMMANDS = (
    reconstruct,
    fuse,
    models,
    parameters,
    evaluate,
    report,
    scale,
    benchmark,
    explain,
    export,
    calibrate,
    costmap,
    doctor,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0, 1 where something failed (one line on stderr says what), 130 after Ctrl-C, 143
    after SIGTERM, 141 where the reader of stdout has gone. A second Ctrl-C or SIGTERM ends the process where it stands.

    A wrong command line ends in argparse's SystemExit with status 2.
    """
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what it logs is also said in our lines
    escape_on(sys.stdout, sys.stderr)  # names of files may hold what the terminal's encoding has not
    with _ended_cleanly(), _ended_by_the_second_signal():
        return _main(argv)


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """SIGTERM ends the command with 143 as an exception does, so that unpacked files and processes do not stay."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _ended_by_the_second_signal() -> Iterator[None]:
    """The first signal waits until a call of a library returns to Python, which a network may put off for long."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=(reader,), name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _end_at_the_second(reader: int) -> None:
    """Ends the process when `reader` has the number of a signal that should have ended it before."""
    first = False
    with open(reader, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                if first:
                    os._exit(128 + number[0])
                first = True


def _main(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # what cannot be written is known here
    except MonoDepthError as error:
        print(f"mono-depth-recon: error: {one_line(str(error))}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # as with `| head`
        _leave_stdout()
        return 141
    except OSError as error:
        print(f"mono-depth-recon: error: {_told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mono-depth-recon: stopped", file=sys.stderr)
        return 130
    return status


def _told(error: OSError) -> str:
    """What a command did not foresee: a name that is too long, or stdout that takes no more. Raises the others."""
    if error.errno == errno.ENAMETOOLONG:
        return name_too_long(Path(error.filename or ""))
    if error.errno not in _FULL or error.filename is not None:
        raise error
    _leave_stdout()
    return f"standard output cannot be written ({error.strerror}): free some space, or send it elsewhere"


def _leave_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's last flush fails


class _Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line, where argparse prints a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "mono-depth-recon",
        allow_abbrev=False,
        description="Metric depth, coloured point clouds and meshes from single images.",
    )
    parser.add_argument("--version", action="version", version=f"mono-depth-recon {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
