from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.memory.knowledge import Network
from relay.store.backend import StoreError
from relay.store.redis import PREFIX, RedisStore
from tests.relay.store.redis_server import RedisServer
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


def test_something_else_under_a_key_is_a_network_that_is_not_known(
    server: RedisServer, store: RedisStore
) -> None:
    client = server.client()
    client.set(PREFIX + HOME, b"\x00 something else")
    assert store.read([HOME]) == {}
    done: dict[bytes, Network] = {}
    store.update({HOME: [learnt()]}, done)
    assert done[HOME].rows == 1
    client.close()


def test_a_redis_that_is_away_is_an_error_and_comes_back(server: RedisServer, store: RedisStore) -> None:
    store.update({HOME: [learnt()]}, {})
    server.stop()
    with pytest.raises(StoreError) as caught:
        store.read([HOME])
    assert caught.value.reason == "unreachable"
    server.start()
    assert store.read([HOME]) == {}, "this Redis keeps nothing on disk"
