"""The memory in Redis, for several relays that learn together.

Relays add to one network at the same time. Each reads a state, computes the
next, and writes it only if the one it read is still there; else it does so
again. The rules of learning so exist once, in ``relay.memory.knowledge``.

A reply that gets lost leaves open whether the state was written. If the next
look finds the very state that was sent, it was.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis

from relay.memory import knowledge
from relay.memory.knowledge import Network
from relay.memory.record import Record
from relay.store.backend import Change, StoreError, applied

log = logging.getLogger("icerelay.memory")

PREFIX = b"icerelay:network:"
PATIENCE = 1.0
"""Seconds for one answer of Redis."""
ATTEMPTS = 50
"""Others may be faster, but not so often."""
TOGETHER = 500
"""Keys in one round trip."""
AT_ONCE = 1000
"""Keys that Redis looks at before it serves others."""
LOOKS = 100
"""Such looks at a time, when networks are counted: our thread has other things to do as well."""
FOREIGN = "foreign"
"""Reason under which is counted what is no network and stood where one belongs."""

_SWAP = """
local there = redis.pcall('GET', KEYS[1])
local foreign = type(there) == 'table' and string.find(there.err, 'WRONGTYPE', 1, true)
if foreign then there = '' elseif type(there) == 'table' then return there end
if (there or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return foreign and 2 or 1
"""
"""0: it is another state by now; 1: written; 2: written over something that is no string, which ``MGET``
says is nothing."""


class RedisStore:
    """See ``Backend``. ``retention`` is seconds: what nobody learns from for so long is gone by itself."""

    shared = True

    def __init__(self, url: str, retention: float) -> None:
        self.errors: Counter[str] = Counter()
        self.rows: Mapping[str, int] = {}
        """As last counted: others add some, and they go by themselves."""
        self._cursor = 0
        self._counted = 0
        self._url = url
        self._retention = int(retention)
        self._sent: dict[bytes, tuple[bytes, tuple[Change, ...]]] = {}
        """By key, the state that may have been written, and the changes in it: no reply came."""
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
            for key in keys:
                self._sent.pop(key, None)
            self._open().delete(*(PREFIX + key for key in keys))

    def trim(self, now: float) -> None:
        """Redis does that itself: keys expire, and ``maxmemory`` is the operator's. Here they are counted."""
        with self._errors(), suppress(redis.ResponseError):  # who may not count can learn all the same
            for _ in range(LOOKS):
                self._cursor, keys = self._open().scan(self._cursor, PREFIX + b"*", AT_ONCE)
                self._counted += len(keys)
                if self._cursor == 0:
                    self.rows, self._counted = {"networks": self._counted}, 0
                    return

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
        """One attempt for each key. What one of them meets keeps no other from being ``done``."""
        after, unread = {}, set()
        pipeline = self._open().pipeline(transaction=False)
        for key, data in self._get(keys).items():
            known, left = _decoded(data), self._unsent(key, data, changes[key])
            if known is not None and not left:
                done[key] = known
                continue
            if data is not None and known is None:
                unread.add(key)
            after[key] = applied(known, left)
            new = knowledge.encode(after[key])
            self._sent[key] = new, tuple(changes[key])
            pipeline.eval(_SWAP, 1, PREFIX + key, data or b"", new, self._retention)
        errors = []
        for (key, state), result in zip(after.items(), pipeline.execute(raise_on_error=False), strict=True):
            del self._sent[key]
            if isinstance(result, redis.RedisError):
                errors.append(result)
            elif result:
                done[key] = state
                if result > 1 or key in unread:
                    self._say_foreign()
        if errors:
            raise errors[0]

    def _unsent(self, key: bytes, data: bytes | None, changes: Sequence[Change]) -> Sequence[Change]:
        """Those of ``changes`` that are not in ``data`` yet."""
        state, sent = self._sent.pop(key, (None, ()))
        if state is not None and state == data and tuple(changes[: len(sent)]) == sent:
            return changes[len(sent) :]
        return changes

    def _say_foreign(self) -> None:
        if not self.errors[FOREIGN]:
            log.warning(
                "memory: something that is no network stood under a key of Redis that begins with %s, and "
                "was replaced; there may be more of them: see icerelay_memory_errors_total",
                PREFIX.decode(),
            )
        self.errors[FOREIGN] += 1

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
