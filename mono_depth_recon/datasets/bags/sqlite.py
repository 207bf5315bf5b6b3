"""SQLite files of ROS 2 bags: tables `topics` and `messages`, whether or not their recording was closed."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import DataError
from ..limits import Limits
from .blocks import HEAD_BYTES, IN_FILE, Channel, Entry, Place

MAGIC = b"SQLite format 3\0"
_HARMLESS = ("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ")  # as SQLite writes them into a file
_STEPS = 100_000  # of SQLite's machine, between two looks at whether it is to go on
_STEPS_PER_BYTE = 4  # a row has 12 bytes or more and takes 20 to 40 steps
_MOST_TOPICS = 100_000


class SqliteBag:
    """A .db3 file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self._limits = path, limits
        self._size = path.stat().st_size
        self.notes: list[str] = []
        self.foreign: dict[str, str] = {}
        self._lock = threading.Lock()
        _check_beside(path)
        self._database = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, check_same_thread=False)
        self._looks_left = self._most_looks = 1000 + self._size * _STEPS_PER_BYTE // _STEPS
        self._database.set_progress_handler(self._is_endless, _STEPS)

    def _is_endless(self) -> bool:
        """Whether a query takes longer than the file has rows for; an exception, as that of Ctrl-C, ends it too."""
        self._looks_left -= 1
        return self._looks_left < 0

    def entries(self) -> Iterator[Entry]:
        """Every readable message, in the order of recording; the place is its row."""
        topics, damaged, last = self._topics(), 0, -(1 << 64)
        query = (
            "SELECT id, topic_id, timestamp, "
            f"CASE WHEN length(data) <= {self._size} THEN substr(data, 1, {HEAD_BYTES}) END, length(data) "
            "FROM messages ORDER BY id"
        )
        for row in self._rows(query):
            number, topic, received_ns, head, size = row
            whole = all(isinstance(each, int) for each in (number, received_ns, size)) and isinstance(head, bytes)
            if not whole or number <= last:  # pages that name each other repeat rows
                damaged += 1
                continue
            last = number
            if topic in topics:
                yield Entry(topics[topic], received_ns, head, Place(IN_FILE, number, size))
        if damaged:
            self.notes.append(f"{self.path}: {damaged} messages without time or readable data are left out")

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        self._looks_left = self._most_looks
        try:
            found = self._database.execute(query)
        except sqlite3.DatabaseError as error:
            raise self._no_bag(self._reason(error)) from error
        while True:
            try:
                row = found.fetchone()
            except sqlite3.DatabaseError as error:
                self.notes.append(f"{self.path}: breaks off ({self._reason(error)}); the part before it is used")
                return
            if row is None:
                return
            yield row

    def _reason(self, error: sqlite3.DatabaseError) -> str:
        """Why a query ended. Raises KeyboardInterrupt where that ended it: sqlite3 drops what its handler raises."""
        if str(error) != "interrupted":
            return str(error)
        if self._looks_left >= 0:
            raise KeyboardInterrupt from error
        return "a query takes longer than a file of its size has rows for"

    def _topic_rows(self) -> list[tuple[Any, ...]]:
        self._check_schema()
        query = f"SELECT id, name, type, serialization_format FROM topics LIMIT {_MOST_TOPICS + 1}"
        rows = self._database.execute(query).fetchall()
        if len(rows) > _MOST_TOPICS:
            raise DataError(f"{self.path}: expected a ROS 2 bag, got more than {_MOST_TOPICS} topics")
        return rows

    def _check_schema(self) -> None:
        """DataError where the file has what makes SQLite compute: a query of it may never end."""
        for name, sql in self._database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
            if not str(sql).startswith(_HARMLESS):
                raise self._computed(f"'{name}' is a view, trigger or virtual table")
        for table in ("topics", "messages"):
            for _, column, *_, hidden in self._database.execute(f"PRAGMA table_xinfo({table})"):
                if hidden:
                    raise self._computed(f"column '{column}' of {table} is generated")

    def _computed(self, what: str) -> DataError:
        return DataError(
            f"{self.path}: expected tables and indices alone, as rosbag2 writes them, but {what}: copy topics and "
            "messages into tables of a new file"
        )

    def _topics(self) -> dict[int, Channel]:
        self._looks_left = self._most_looks
        try:
            rows = self._topic_rows()
        except sqlite3.DatabaseError as error:
            problem = self._reason(error)
            try:
                self._database.execute("PRAGMA writable_schema = ON")  # opens a file with fewer pages than it states
                rows = self._topic_rows()
            except sqlite3.DatabaseError as second:
                raise self._no_bag(self._reason(second)) from second
            self.notes.append(f"{self.path}: is cut short or damaged ({problem}); what can be read is used")
        self.foreign = {str(name): f"{encoding}, {kind}" for _, name, kind, encoding in rows if encoding != "cdr"}
        read = [row for row in rows if row[3] == "cdr"]
        return {number: Channel(str(name), str(kind), "cdr") for number, name, kind, _ in read}

    def _no_bag(self, reason: str) -> DataError:
        return DataError(f"{self.path}: expected a ROS 2 bag in SQLite, got another file ({reason})")

    def read(self, place: Place) -> bytes:
        """The serialised message of a row."""
        if problem := self._limits.chunk_problem("has a message", place.size):
            raise DataError(f"{self.path}: {problem}")
        try:
            with self._lock:
                self._looks_left = self._most_looks
                row = self._database.execute("SELECT data FROM messages WHERE id = ?", (place.offset,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: message {place.offset} cannot be read ({self._reason(error)})") from error
        if row is None or not isinstance(row[0], bytes):
            raise DataError(f"{self.path}: message {place.offset} has no data")
        return row[0]

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


def _check_beside(path: Path) -> None:
    """DataError where a file that SQLite opens beside the bag is a link, or one whose opening may never end."""
    real = path.resolve()
    for suffix in ("-journal", "-wal", "-shm"):
        beside = real.with_name(real.name + suffix)
        if os.path.lexists(beside) and not stat.S_ISREG(beside.lstat().st_mode):
            raise DataError(f"{beside}: expected a regular file beside the bag, got a link, pipe or device: remove it")


def is_sqlite(path: Path) -> bool:
    """Whether the file begins as an SQLite file does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
