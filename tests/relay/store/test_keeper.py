from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.memory.knowledge import Network
from relay.store import keeper as keeping
from relay.store import sqlite
from relay.store.keeper import Keeper
from relay.store.redis import RedisStore
from relay.store.sqlite import SqliteStore
from tests.relay.memory.world import START
from tests.relay.store.redis_server import RedisServer
from tests.relay.store.stores import HOME, MONTH, RECORD, WORK, learnt


def keeper_of(path: Path) -> Keeper:
    return Keeper(SqliteStore(str(path), MONTH), clock=lambda: START)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@pytest.fixture
def keeper(path: Path) -> Iterator[Keeper]:
    keeper = keeper_of(path)
    yield keeper
    keeper.stop()


def known(keeper: Keeper, key: bytes = HOME) -> Network | None:
    """What is known once it was fetched."""
    keeper.recall(key)
    keeper.settle()
    return keeper.recall(key)


def rows(keeper: Keeper, key: bytes = HOME) -> int:
    network = known(keeper, key)
    return network.rows if network is not None else 0


def test_what_is_not_at_hand_is_unknown_and_there_the_next_time(keeper: Keeper, path: Path) -> None:
    keeper.change(HOME, learnt())
    keeper.stop()
    again = keeper_of(path)
    assert again.recall(HOME) is None
    assert rows(again) == 1
    again.stop()


def test_what_was_learnt_is_known_after_the_batch(keeper: Keeper) -> None:
    for _ in range(3):
        keeper.change(HOME, learnt())
    keeper.write_down(RECORD)
    keeper.settle()
    assert (rows(keeper), keeper.waiting, keeper.errors) == (3, 0, {})


def test_nobody_waits_for_a_store_that_hangs(path: Path) -> None:
    """The store's own thread does. What is asked meanwhile is unknown, and learnt later."""
    let_go, hanging = threading.Event(), threading.Event()

    class Hanging(SqliteStore):
        def read(self, keys: object) -> dict[bytes, Network]:
            hanging.set()
            assert let_go.wait(10)
            return {}

    keeper = Keeper(Hanging(str(path), MONTH))
    assert keeper.recall(HOME) is None
    assert hanging.wait(10)
    assert keeper.recall(WORK) is None
    keeper.change(HOME, learnt())
    assert keeper.waiting == 1
    let_go.set()
    keeper.settle()
    assert keeper.waiting == 0
    keeper.stop()


def while_the_lock_is_held(keeper: Keeper, *told: Callable[[], object]) -> None:
    """Another thread than the one that has it says all of that."""
    with keeper._wake:
        thread = threading.Thread(target=lambda: [one() for one in told])
        thread.start()
        thread.join(10.0)
        assert not thread.is_alive(), "it waits for the lock"


def test_what_was_told_while_the_lock_was_held_is_carried_out_in_order(keeper: Keeper) -> None:
    while_the_lock_is_held(
        keeper,
        lambda: keeper.change(HOME, learnt()),
        lambda: keeper.change(WORK, learnt()),
        lambda: keeper.forget(HOME),
        lambda: keeper.change(WORK, learnt()),
    )
    assert (rows(keeper, HOME), rows(keeper, WORK), keeper.lost) == (0, 2, 0)


def test_a_network_forgotten_while_the_lock_was_held_is_unknown_to_the_next_who_asks(keeper: Keeper) -> None:
    keeper.change(HOME, learnt())
    assert rows(keeper) == 1
    while_the_lock_is_held(keeper, lambda: keeper.forget(HOME))
    assert keeper.recall(HOME) is None


def test_what_is_told_while_the_lock_is_held_for_long_has_a_limit(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_WAITING", 5)
    while_the_lock_is_held(keeper, *[lambda: keeper.change(HOME, learnt())] * 8)
    assert keeper.lost == 3
    assert rows(keeper) == 5


def test_who_asks_while_the_lock_is_held_knows_nothing(keeper: Keeper) -> None:
    keeper.change(HOME, learnt())
    assert rows(keeper) == 1
    found: list[object] = []
    while_the_lock_is_held(keeper, lambda: found.append(keeper.recall_all((HOME, WORK))))
    assert found == [{HOME: None, WORK: None}]
    assert keeper.lost == 1
    assert keeper.recall(HOME) is not None


def test_a_corrupt_file_is_one_line_in_the_log_and_learning_goes_on_at_hand(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"something else " * 1000)
    with caplog.at_level(logging.WARNING):
        keeper = keeper_of(path)
        for number in range(1, 4):
            keeper.change(HOME, learnt())
            assert rows(keeper) == number
        keeper.write_down(RECORD)
        keeper.stop()
    (line,) = caplog.messages
    assert "the store cannot be used (corrupt)" in line
    assert str(path) in line
    assert keeper.errors["corrupt"] >= 3


def test_what_was_learnt_while_the_file_was_locked_is_stored_once_afterwards(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    keeper = keeper_of(path)
    keeper.change(HOME, learnt())
    assert rows(keeper) == 1
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    keeper.change(HOME, learnt())
    keeper.write_down(RECORD)
    assert rows(keeper) == 2
    keeper.change(HOME, learnt())
    assert rows(keeper) == 3
    assert keeper.broken
    other.execute("ROLLBACK")
    other.close()
    assert (rows(keeper), keeper.waiting, keeper.broken) == (3, 0, False)
    assert caplog.messages[-1] == "memory: the store works again"
    keeper.stop()
    assert SqliteStore(str(path), MONTH).read([HOME])[HOME].rows == 3
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM records").fetchone() == (1,)


def test_a_record_that_could_not_be_written_is_written_later(path: Path) -> None:
    keeper = keeper_of(path)
    keeper.settle()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DROP TABLE records")
    keeper.write_down(RECORD)
    keeper.settle()
    assert (keeper.waiting, keeper.broken) == (1, True)
    other.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, at REAL, key BLOB, row BLOB)")
    keeper.settle()
    assert (keeper.waiting, keeper.broken) == (0, False)
    assert other.execute("SELECT count(*) FROM records").fetchone() == (1,)
    other.close()
    keeper.stop()


def test_a_redis_that_can_only_be_read_does_not_hide_what_was_learnt_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "FRESH", 0.0)
    server = RedisServer(tmp_path)
    server.start()
    keeper = Keeper(RedisStore(server.url, MONTH))
    keeper.change(HOME, learnt())
    assert rows(keeper) == 1
    client = server.client()
    client.config_set("maxmemory", 1)
    keeper.change(HOME, learnt())
    keeper.settle()
    assert keeper.broken
    assert rows(keeper) == 2
    client.config_set("maxmemory", 0)
    assert (rows(keeper), keeper.broken) == (2, False)
    keeper.stop()
    client.close()
    server.stop()


def test_a_full_disk_leaves_what_is_at_hand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MOST_PAGES", 12)
    keeper = keeper_of(path)
    keys = [bytes([number]) * 16 for number in range(256)]
    for key in keys:
        keeper.change(key, learnt())
    keeper.settle()
    assert keeper.errors["full"] > 0
    assert all(keeper.recall(key) is not None for key in keys)
    keeper.stop()


def test_what_waits_has_a_limit_and_what_is_beyond_is_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_WAITING", 5)
    path.write_bytes(b"something else " * 1000)
    keeper = keeper_of(path)
    for _ in range(8):
        keeper.change(HOME, learnt())
        keeper.write_down(RECORD)
    assert (keeper.waiting, keeper.lost) == (10, 6)
    keeper.stop()


def test_the_networks_at_hand_have_a_limit(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "AT_HAND", 10)
    for number in range(100):
        keeper.change(bytes([number]) * 16, learnt())
    keeper.settle()
    assert keeper.networks == 10
    assert rows(keeper, bytes(16)) == 1, "it is in the file"


def test_a_forgotten_network_is_forgotten_at_once_and_in_the_file(keeper: Keeper, path: Path) -> None:
    keeper.change(HOME, learnt())
    keeper.settle()
    keeper.change(HOME, learnt())
    keeper.forget(HOME)
    assert keeper.recall(HOME) is None
    keeper.settle()
    keeper.stop()
    assert SqliteStore(str(path), MONTH).read([HOME]) == {}


def test_without_redis_what_is_at_hand_serves_and_is_added_when_it_comes_back(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    keeper = Keeper(RedisStore(server.url, MONTH))
    keeper.change(HOME, learnt())
    assert rows(keeper) == 1
    server.stop()
    keeper.change(HOME, learnt())
    assert rows(keeper) == 2
    assert keeper.broken
    server.start()
    assert rows(keeper) == 1, "what this Redis had is gone, what waited is not"
    keeper.stop()
    client = server.client()
    assert client.dbsize() == 1
    client.close()
    server.stop()
