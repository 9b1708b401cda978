from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from relay.memory import record
from relay.memory.knowledge import Network
from relay.store import sqlite
from relay.store.backend import StoreError
from relay.store.sqlite import SqliteStore
from tests.interop.process import find_program
from tests.relay.memory.world import START
from tests.relay.store.stores import HOME, MONTH, RECORD, WORK, learnt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(path), MONTH)
    yield store
    store.close()


def add(store: SqliteStore, key: bytes = HOME, now: float = START, times: int = 1) -> Network:
    done: dict[bytes, Network] = {}
    store.update({key: [learnt(now=now)] * times}, done)
    return done[key]


def test_what_was_learnt_is_there_for_the_next_process(store: SqliteStore, path: Path) -> None:
    add(store, times=3)
    known = add(store, times=2)
    store.close()
    again = SqliteStore(str(path), MONTH)
    assert again.read([HOME, WORK]) == {HOME: known}
    assert known.rows == 5
    again.close()


def test_a_forgotten_network_leaves_no_byte_in_the_files(store: SqliteStore, path: Path) -> None:
    add(store)
    add(store, WORK)
    store.write_down([(START, msgspec.structs.replace(RECORD, network=HOME))])
    store.forget([HOME])
    assert list(store.read([HOME, WORK])) == [WORK]
    assert all(HOME not in file.read_bytes() for file in path.parent.iterdir())


def test_what_is_older_than_the_retention_goes(store: SqliteStore, path: Path) -> None:
    add(store, HOME, START - MONTH - 1)
    add(store, WORK, START - MONTH + 1)
    store.write_down([(START - MONTH - 1, RECORD), (START, RECORD)])
    store.trim(START)
    assert list(store.read([HOME, WORK])) == [WORK]
    ((row,),) = sqlite3.connect(path).execute("SELECT row FROM records").fetchall()
    assert record.decode(row) == RECORD


def test_the_networks_learnt_from_least_recently_make_room(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_NETWORKS", 3)
    keys = [bytes([number]) * 16 for number in range(5)]
    for number, key in enumerate(keys):
        add(store, key, START - number)
    store.trim(START)
    assert set(store.read(keys)) == set(keys[:3])


def test_a_file_that_is_no_database_is_reported_and_left_alone(path: Path) -> None:
    path.write_bytes(b"something else " * 1000)
    store = SqliteStore(str(path), MONTH)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            store.read([HOME])
        assert caught.value.reason == "corrupt"
    assert path.read_bytes().startswith(b"something else")


def test_a_row_that_cannot_be_read_is_a_network_that_is_not_known(store: SqliteStore, path: Path) -> None:
    add(store)
    other = sqlite3.connect(path)
    other.execute("UPDATE networks SET state = x'00'")
    other.commit()
    other.close()
    assert store.read([HOME]) == {}
    assert add(store).rows == 1


def test_a_locked_file_is_an_error_until_the_lock_goes(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    add(store)
    store.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught:
        add(store)
    assert caught.value.reason == "locked"
    assert store.read([HOME])[HOME].rows == 1, "reading goes on"
    other.execute("COMMIT")
    other.close()
    assert add(store).rows == 2


def test_a_full_disk_is_an_error_and_what_was_there_stays(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store)
    store.close()
    monkeypatch.setattr(sqlite, "MOST_PAGES", 12)
    done: dict[bytes, Network] = {}
    with pytest.raises(StoreError) as caught:
        store.update({bytes([number]) * 16: [learnt()] for number in range(256)}, done)
    assert (caught.value.reason, done) == ("full", {})
    assert store.read([HOME])[HOME].rows == 1


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        SqliteStore(str(tmp_path / "missing" / "memory.db"), MONTH).read([HOME])
    assert caught.value.reason == "cannot open"


def test_a_file_of_another_version_is_not_touched(store: SqliteStore, path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another version"):
        add(store)
    assert path.read_bytes() == before


READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1/memory.db"
"""
TRY = """
import sys
from relay.store.sqlite import SqliteStore
from tests.relay.store.test_sqlite import HOME, MONTH, StoreError, add
store = SqliteStore(sys.argv[1], MONTH)
print(store.read([HOME])[HOME].rows)
try:
    add(store)
except StoreError as error:
    print(error.reason)
"""


def test_a_disk_that_can_only_be_read_is_an_error_and_what_was_there_is_known(
    store: SqliteStore, path: Path
) -> None:
    """As after a fault of the disk. The superuser writes whatever files say, so it takes a mount."""
    add(store)
    enter = [find_program("unshare"), "--user", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"]
    tried = subprocess.run([*enter, path.parent, sys.executable, TRY], capture_output=True, text=True)
    assert tried.stdout.split() == ["1", "read-only"], tried.stderr
    assert add(store).rows == 2


def test_rows_are_counted_as_they_come_and_go_and_anew_when_the_file_is_opened(
    store: SqliteStore, path: Path
) -> None:
    assert store.rows == {"networks": 0, "records": 0}
    add(store)
    add(store, times=3)
    add(store, WORK, START - MONTH - 1)
    store.write_down([(START, msgspec.structs.replace(RECORD, network=HOME)), (START, RECORD)])
    assert store.rows == {"networks": 2, "records": 2}
    store.close()
    again = SqliteStore(str(path), MONTH)
    again.read([HOME])
    assert again.rows == {"networks": 2, "records": 2}
    again.trim(START)
    assert again.rows == {"networks": 1, "records": 2}
    again.forget([HOME])
    assert again.rows == {"networks": 0, "records": 1 if RECORD.network != HOME else 0}
    again.close()
