"""The memory in Redis, for several relays that learn together.

Relays add to one network at the same time. Each reads a state, computes the
next, and writes it only if the one it read is still there; else it does so
again. The rules of learning so exist once, in ``relay.memory.knowledge``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

import redis

from relay.memory import knowledge
from relay.memory.knowledge import Network
from relay.memory.record import Record
from relay.store.backend import Change, StoreError, applied

PREFIX = b"icerelay:network:"
PATIENCE = 1.0
"""Seconds for one answer of Redis."""
ATTEMPTS = 50
"""Others may be faster, but not so often."""
TOGETHER = 500
"""Keys in one round trip."""

_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class RedisStore:
    """See ``Backend``. ``retention`` is seconds: what nobody learns from for so long is gone by itself."""

    shared = True
    rows: Mapping[str, int] = MappingProxyType({})
    """Not known: others add some, and they go by themselves."""

    def __init__(self, url: str, retention: float) -> None:
        self._url = url
        self._retention = int(retention)
        self._client: Any = None  # redis-py's own annotations know no difference of bytes and awaitables

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Network]:
        """See ``Backend``."""
        with self._errors():
            raw = self._get(keys)
        return {key: state for key, data in raw.items() if (state := _decoded(data)) is not None}

    def update(self, changes: Mapping[bytes, Sequence[Change]], done: dict[bytes, Network]) -> None:
        """See ``Backend``."""
        with self._errors():
            for _ in range(ATTEMPTS):
                left = [key for key in changes if key not in done][:TOGETHER]
                while left:
                    before = len(done)
                    self._swap(left, changes, done)
                    left = [key for key in changes if key not in done][:TOGETHER]
                    if len(done) == before:
                        break
                if not left:
                    return
            raise StoreError("contention", "other relays change the same networks all the time")

    def write_down(self, records: Sequence[tuple[float, Record]]) -> None:
        """Redis keeps no records."""

    def forget(self, keys: Sequence[bytes]) -> None:
        """See ``Backend``."""
        with self._errors():
            self._open().delete(*(PREFIX + key for key in keys))

    def trim(self, now: float) -> None:
        """Redis does that itself: keys expire, and ``maxmemory`` is the operator's."""

    def close(self) -> None:
        """See ``Backend``."""
        if self._client is not None:
            with suppress(redis.RedisError, OSError):
                self._client.close()
            self._client = None

    def _open(self) -> Any:
        if self._client is None:
            self._client = redis.Redis.from_url(
                self._url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
            )
        return self._client

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        return dict(zip(keys, self._open().mget([PREFIX + key for key in keys]), strict=True)) if keys else {}

    def _swap(
        self, keys: Sequence[bytes], changes: Mapping[bytes, Sequence[Change]], done: dict[bytes, Network]
    ) -> None:
        after = {}
        pipeline = self._open().pipeline(transaction=False)
        for key, data in self._get(keys).items():
            after[key] = applied(_decoded(data), changes[key])
            new = knowledge.encode(after[key])
            pipeline.eval(_SWAP, 1, PREFIX + key, data or b"", new, self._retention)
        for (key, state), swapped in zip(after.items(), pipeline.execute(), strict=True):
            if swapped:
                done[key] = state

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            self.close()
            gone = isinstance(error, (redis.ConnectionError, redis.TimeoutError, OSError))
            raise StoreError("unreachable" if gone else "other", f"Redis: {error}") from error


def _decoded(data: bytes | None) -> Network | None:
    """What we cannot read, we do not know."""
    if data is None:
        return None
    try:
        return knowledge.decode(data)
    except ValueError:
        return None
