"""SQLite files of ROS 2 bags: tables `topics` and `messages`, whether or not their recording was closed."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ...errors import DataError
from .blocks import HEAD_BYTES, IN_FILE, Channel, Entry, Place

MAGIC = b"SQLite format 3\0"


class SqliteBag:
    """A .db3 file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self._lock = threading.Lock()
        self._database = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro", uri=True, check_same_thread=False)

    def entries(self) -> Iterator[Entry]:
        """Every readable message, in the order of recording; the place is its row."""
        topics = self._topics()
        try:
            found = self._database.execute(
                f"SELECT id, topic_id, timestamp, substr(data, 1, {HEAD_BYTES}), length(data) FROM messages ORDER BY id"
            )
        except sqlite3.DatabaseError as error:
            raise self._no_bag(error) from error
        while True:
            try:
                row = found.fetchone()
            except sqlite3.DatabaseError as error:
                self.notes.append(f"{self.path}: breaks off ({error}); what stands before is used")
                return
            if row is None:
                return
            if row[1] in topics and topics[row[1]].encoding == "cdr":
                yield Entry(topics[row[1]], row[2], bytes(row[3]), Place(IN_FILE, row[0], row[4]))

    def _topics(self) -> dict[int, Channel]:
        query = "SELECT id, name, type, serialization_format FROM topics"
        try:
            rows = self._database.execute(query).fetchall()
        except sqlite3.DatabaseError as problem:
            try:
                self._database.execute("PRAGMA writable_schema = ON")  # opens a file with fewer pages than it says
                rows = self._database.execute(query).fetchall()
            except sqlite3.DatabaseError as error:
                raise self._no_bag(error) from error
            self.notes.append(f"{self.path}: is cut short or damaged ({problem}); what can be read is used")
        return {row[0]: Channel(row[1], row[2], row[3]) for row in rows}

    def _no_bag(self, error: sqlite3.DatabaseError) -> DataError:
        return DataError(f"{self.path}: expected a ROS 2 bag in SQLite, got a file that says: {error}")

    def read(self, place: Place) -> bytes:
        """The serialised message of a row."""
        try:
            with self._lock:
                row = self._database.execute("SELECT data FROM messages WHERE id = ?", (place.offset,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self.path}: message {place.offset} cannot be read ({error})") from error
        return bytes(row[0])

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


def is_sqlite(path: Path) -> bool:
    """Whether the file begins as an SQLite file does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC
