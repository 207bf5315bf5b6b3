"""SQLite files of ROS 2 bags: tables `topics` and `messages`, whether or not their recording was closed."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import DataError
from ..limits import Limits
from .blocks import HEAD_BYTES, IN_FILE, Channel, Entry, Place

MAGIC = b"SQLite format 3\0"


class SqliteBag:
    """A .db3 file."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self._limits = path, limits
        self._size = path.stat().st_size
        self.notes: list[str] = []
        self.foreign: dict[str, str] = {}
        self._lock = threading.Lock()
        self._database = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, check_same_thread=False)

    def entries(self) -> Iterator[Entry]:
        """Every readable message, in the order of recording; the place is its row."""
        topics, damaged = self._topics(), 0
        query = (
            "SELECT id, topic_id, timestamp, "
            f"CASE WHEN length(data) <= {self._size} THEN substr(data, 1, {HEAD_BYTES}) END, length(data) "
            "FROM messages ORDER BY id"
        )
        for row in self._rows(query):
            number, topic, received_ns, head, size = row
            whole = all(isinstance(each, int) for each in (number, received_ns, size)) and isinstance(head, bytes)
            if not whole:
                damaged += 1
            elif topic in topics:
                yield Entry(topics[topic], received_ns, head, Place(IN_FILE, number, size))
        if damaged:
            self.notes.append(f"{self.path}: {damaged} messages without time or readable data are left out")

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            found = self._database.execute(query)
        except sqlite3.DatabaseError as error:
            raise self._no_bag(error) from error
        while True:
            try:
                row = found.fetchone()
            except sqlite3.DatabaseError as error:
                self.notes.append(f"{self.path}: breaks off ({error}); the part before it is used")
                return
            if row is None:
                return
            yield row

    def _topics(self) -> dict[int, Channel]:
        query = "SELECT id, name, type, serialization_format FROM topics"
        try:
            rows = self._database.execute(query).fetchall()
        except sqlite3.DatabaseError as problem:
            try:
                self._database.execute("PRAGMA writable_schema = ON")  # opens a file with fewer pages than it states
                rows = self._database.execute(query).fetchall()
            except sqlite3.DatabaseError as error:
                raise self._no_bag(error) from error
            self.notes.append(f"{self.path}: is cut short or damaged ({problem}); what can be read is used")
        self.foreign = {str(name): f"{encoding}, {kind}" for _, name, kind, encoding in rows if encoding != "cdr"}
        read = [row for row in rows if row[3] == "cdr"]
        return {number: Channel(str(name), str(kind), "cdr") for number, name, kind, _ in read}

    def _no_bag(self, error: sqlite3.DatabaseError) -> DataError:
        return DataError(f"{self.path}: expected a ROS 2 bag in SQLite, got another file ({error})")

    def read(self, place: Place) -> bytes:
        """The serialised message of a row."""
        if problem := self._limits.chunk_problem("has a message", place.size):
            raise DataError(f"{self.path}: {problem}")
        try:
            with self._lock:
                row = self._database.execute("SELECT data FROM messages WHERE id = ?", (place.offset,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: message {place.offset} cannot be read ({error})") from error
        if row is None or not isinstance(row[0], bytes):
            raise DataError(f"{self.path}: message {place.offset} has no data")
        return row[0]

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


def is_sqlite(path: Path) -> bool:
    """Whether the file begins as an SQLite file does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
