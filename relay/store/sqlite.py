"""The memory in an SQLite file, for one relay."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice

from relay.memory import knowledge, record
from relay.memory.knowledge import Network
from relay.memory.record import Record
from relay.store.backend import Change, StoreError, applied

MOST_NETWORKS = 2_000_000
"""The ones learnt from least recently go first."""
MOST_RECORDS = 1_000_000
"""About 200 MB."""
MOST_PAGES = 1_000_000
"""Of 4 KiB: whatever happens, the file does not fill a disk."""
PATIENCE = 1.0
"""Seconds to wait for a lock that another process has."""
VERSION = 1
"""Of the tables, in the file's ``user_version``."""
TOGETHER = 500
"""Keys in one statement; SQLite takes 32,766."""

_TABLES = """
CREATE TABLE IF NOT EXISTS networks (
    key BLOB PRIMARY KEY, at REAL NOT NULL, state BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS networks_at ON networks (at);
CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, at REAL NOT NULL, key BLOB, row BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_at ON records (at);
CREATE INDEX IF NOT EXISTS records_key ON records (key);
"""

_REASONS = {
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_NOTADB": "corrupt",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_FULL": "full",
    "SQLITE_READONLY": "read-only",
    "SQLITE_CANTOPEN": "cannot open",
    "SQLITE_IOERR": "input/output",
}


class SqliteStore:
    """See ``Backend``. ``retention`` is seconds."""

    shared = False

    def __init__(self, path: str, retention: float) -> None:
        self.errors: Counter[str] = Counter()
        self._path = path
        self._retention = retention
        self._connection: sqlite3.Connection | None = None
        self.rows = {"networks": 0, "records": 0}

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Network]:
        """See ``Backend``."""
        with self._errors():
            return self._read(self._open(), keys)

    def update(self, changes: Mapping[bytes, Sequence[Change]], done: dict[bytes, Network]) -> None:
        """See ``Backend``. All or nothing."""
        with self._errors():
            connection = self._open()
            with _transaction(connection):
                known = self._read(connection, list(changes))
                after = {key: applied(known.get(key), many) for key, many in changes.items()}
                rows = ((key, state.at, knowledge.encode(state)) for key, state in after.items())
                connection.executemany("INSERT OR REPLACE INTO networks VALUES (?, ?, ?)", rows)
            self.rows["networks"] += len(after.keys() - known.keys())
            done.update(after)

    def write_down(self, records: Sequence[tuple[float, Record]]) -> None:
        """See ``Backend``."""
        with self._errors():
            connection = self._open()
            with _transaction(connection):
                rows = ((at, one.network, record.encode(one)) for at, one in records)
                connection.executemany("INSERT INTO records (at, key, row) VALUES (?, ?, ?)", rows)
            self.rows["records"] += len(records)

    def forget(self, keys: Sequence[bytes]) -> None:
        """See ``Backend``. The pages are overwritten, and the log of the file emptied."""
        with self._errors():
            connection = self._open()
            with _transaction(connection):
                gone = {}
                for table in self.rows:
                    delete = f"DELETE FROM {table} WHERE key = ?"
                    gone[table] = connection.executemany(delete, ((key,) for key in keys)).rowcount
            for table, count in gone.items():
                self.rows[table] -= count
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def trim(self, now: float) -> None:
        """See ``Backend``."""
        with self._errors():
            connection = self._open()
            with _transaction(connection):
                for table, most in (("networks", MOST_NETWORKS), ("records", MOST_RECORDS)):
                    connection.execute(f"DELETE FROM {table} WHERE at < ?", (now - self._retention,))
                    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                    if count > most:
                        name = "key" if table == "networks" else "id"
                        oldest = f"SELECT {name} FROM {table} ORDER BY at LIMIT ?"
                        connection.execute(f"DELETE FROM {table} WHERE {name} IN ({oldest})", (count - most,))
            self._count(connection)

    def close(self) -> None:
        """See ``Backend``."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)
            self._prepare(self._connection)
            self._count(self._connection)
        return self._connection

    def _count(self, connection: sqlite3.Connection) -> None:
        """A second or so for a file that is full. In between, rows are counted as they come and go."""
        for table in self.rows:
            (self.rows[table],) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {MOST_PAGES}")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power failure may take the last seconds
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            return
        if version != 0:
            raise StoreError("version", f"{self._path} was written by another version of icerelay")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")

    def _read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Network]:
        found = {}
        left: Iterator[bytes] = iter(keys)
        while some := list(islice(left, TOGETHER)):
            marks = ",".join("?" * len(some))
            query = f"SELECT key, state FROM networks WHERE key IN ({marks})"
            for key, state in connection.execute(query, some):
                with suppress(ValueError):  # what we cannot read, we do not know
                    found[key] = knowledge.decode(state)
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """A fault closes the file: the next attempt opens it anew."""
        try:
            yield
        except StoreError:
            self.close()
            raise
        except sqlite3.Error as error:
            self.close()
            name = getattr(error, "sqlite_errorname", "")
            reason = next((word for start, word in _REASONS.items() if name.startswith(start)), "other")
            raise StoreError(reason, f"{self._path}: {error}") from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
