from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from relay.memory.knowledge import Network
from relay.store import redis as redis_store
from relay.store.backend import Change, StoreError
from relay.store.keeper import Keeper
from relay.store.redis import PREFIX, RedisStore
from tests.relay.memory.world import START
from tests.relay.store.redis_server import Losing, RedisServer
from tests.relay.store.stores import HOME, MONTH, WORK, learnt


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(server.url, MONTH)
    yield store
    store.close()


def test_what_one_relay_learnt_another_one_knows(server: RedisServer, store: RedisStore) -> None:
    done: dict[bytes, Network] = {}
    store.update({HOME: [learnt()] * 3, WORK: [learnt()]}, done)
    other = RedisStore(server.url, MONTH)
    assert other.read([HOME, WORK, b"x" * 16]) == done
    assert done[HOME].rows == 3
    other.close()


def test_relays_that_learn_at_the_same_time_lose_nothing(server: RedisServer) -> None:
    def work() -> None:
        store = RedisStore(server.url, MONTH)
        for _ in range(25):
            store.update({HOME: [learnt()], WORK: [learnt()]}, {})
        store.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = RedisStore(server.url, MONTH)
    assert {key: state.rows for key, state in store.read([HOME, WORK]).items()} == {HOME: 100, WORK: 100}
    store.close()


def test_a_network_that_nobody_learns_from_expires(server: RedisServer, store: RedisStore) -> None:
    store.update({HOME: [learnt()]}, {})
    client = server.client()
    assert 0 < int(client.ttl(PREFIX + HOME)) <= MONTH
    client.close()


def test_a_forgotten_network_is_gone(store: RedisStore) -> None:
    store.update({HOME: [learnt()], WORK: [learnt()]}, {})
    store.forget([HOME])
    assert list(store.read([HOME, WORK])) == [WORK]


OTHER = b"else" * 4


def rows(store: RedisStore) -> dict[bytes, int]:
    return {key: state.rows for key, state in store.read([HOME, OTHER, WORK]).items()}


FOREIGN: dict[str, Callable[[redis.Redis, bytes], object]] = {
    "text": lambda client, key: client.set(key, b"\x00 something else"),
    "empty text": lambda client, key: client.set(key, b""),
    "list": lambda client, key: client.lpush(key, "x"),
    "hash": lambda client, key: client.hset(key, "x", "y"),
    "set": lambda client, key: client.sadd(key, "x"),
    "sorted set": lambda client, key: client.zadd(key, {"x": 1.0}),
    "stream": lambda client, key: client.xadd(key, {"x": "y"}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_something_else_under_a_key_is_a_network_that_is_not_known(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    client = server.client()
    keys = [HOME, OTHER, WORK]
    FOREIGN[kind](client, PREFIX + OTHER)
    assert store.read(keys) == {}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            done: dict[bytes, Network] = {}
            store.update({key: [learnt()] for key in keys}, done)
            assert done.keys() == set(keys)
    assert rows(store) == {HOME: 2, OTHER: 2, WORK: 2}
    assert 0 < int(client.ttl(PREFIX + OTHER)) <= MONTH
    assert store.errors == {"foreign": 1}
    (line,) = caplog.messages
    assert "something that is no network stood under a key" in line
    client.close()


def test_something_else_under_one_key_keeps_no_call_from_being_learnt_once(server: RedisServer) -> None:
    client = server.client()
    client.lpush(PREFIX + OTHER, "x")
    client.close()
    keeper = Keeper(RedisStore(server.url, MONTH))
    for key in (HOME, OTHER, WORK):
        keeper.change(key, learnt())
    keeper.settle()
    assert (keeper.waiting, keeper.broken, keeper.errors) == (0, False, {"foreign": 1})
    keeper.stop()
    store = RedisStore(server.url, MONTH)
    assert rows(store) == {HOME: 1, OTHER: 1, WORK: 1}
    store.close()


def allow(client: redis.Redis, *keys: str) -> None:
    client.execute_command("ACL", "SETUSER", "default", *keys)  # type: ignore[no-untyped-call]


def test_what_redis_refuses_for_one_network_is_done_for_the_others(
    server: RedisServer, store: RedisStore
) -> None:
    """An operator may have given us the right to write some keys alone."""
    client = server.client()
    allow(client, "resetkeys", "%R~*", f"~{PREFIX.decode()}{HOME.decode()}")
    done: dict[bytes, Network] = {}
    with pytest.raises(StoreError, match="permission") as caught:
        store.update({WORK: [learnt()], HOME: [learnt()]}, done)
    assert caught.value.reason == "other"
    assert list(done) == [HOME]
    allow(client, "allkeys")
    store.update({WORK: [learnt()]}, done)
    assert rows(store) == {HOME: 1, WORK: 1}
    client.close()


# How many there are.


def test_networks_are_counted_a_part_at_a_time(
    server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "AT_ONCE", 50)
    monkeypatch.setattr(redis_store, "LOOKS", 2)
    client = server.client()
    client.mset({b"of somebody else:%d" % number: b"" for number in range(300)})
    client.close()
    store.update({b"%16d" % number: [learnt()] for number in range(200)}, {})
    store.trim(START)
    assert store.rows == {}, "it is not through yet"
    for _ in range(20):
        store.trim(START)
    assert store.rows == {"networks": 200}


def test_who_may_not_count_can_learn(server: RedisServer, store: RedisStore) -> None:
    client = server.client()
    allow(client, "-scan")
    store.update({HOME: [learnt()]}, {})
    store.trim(START)
    assert (store.rows, rows(store)) == ({}, {HOME: 1})
    client.close()


# A reply that gets lost.


@pytest.fixture
def losing(server: RedisServer, tmp_path: Path) -> Iterator[Losing]:
    losing = Losing(server, tmp_path)
    yield losing
    losing.stop()


@pytest.fixture
def distant(losing: Losing) -> Iterator[RedisStore]:
    store = RedisStore(losing.url, MONTH)
    yield store
    store.close()


def lose(losing: Losing, store: RedisStore, changes: dict[bytes, list[Change]]) -> None:
    losing.lose()
    done: dict[bytes, Network] = {}
    with pytest.raises(StoreError) as caught:
        store.update(changes, done)
    assert (caught.value.reason, done) == ("unreachable", {})


def test_a_lost_reply_makes_no_call_count_twice(losing: Losing, distant: RedisStore) -> None:
    changes = {HOME: [learnt()], WORK: [learnt()]}
    lose(losing, distant, changes)
    changes[HOME].append(learnt())
    done: dict[bytes, Network] = {}
    distant.update(changes, done)
    assert rows(distant) == {HOME: 2, WORK: 1}
    assert {key: state.rows for key, state in done.items()} == {HOME: 2, WORK: 1}


def test_what_was_learnt_after_a_lost_reply_and_a_forget_is_new(losing: Losing, distant: RedisStore) -> None:
    lose(losing, distant, {HOME: [learnt()]})
    distant.forget([HOME])
    distant.update({HOME: [learnt()]}, {})
    assert rows(distant) == {HOME: 1}


def test_other_calls_after_a_lost_reply_count(losing: Losing, distant: RedisStore) -> None:
    lose(losing, distant, {HOME: [learnt()]})
    distant.update({HOME: [learnt()]}, {})
    assert rows(distant) == {HOME: 2}


def test_a_redis_that_is_away_is_an_error_and_comes_back(server: RedisServer, store: RedisStore) -> None:
    store.update({HOME: [learnt()]}, {})
    server.stop()
    with pytest.raises(StoreError) as caught:
        store.read([HOME])
    assert caught.value.reason == "unreachable"
    server.start()
    assert store.read([HOME]) == {}, "this Redis keeps nothing on disk"
