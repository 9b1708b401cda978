"""Keeps what is known of networks at hand, and in step with where it is stored.

Nobody who asks waits for the store: what is not at hand is unknown for now, and
fetched by a thread. That thread alone talks to the store, and collects changes
for a second. While the store cannot be used, changes are applied to what is at
hand, and wait (to a limit) until it can.

The lock of what is at hand is held for moments, by both sides. Who asks waits
for it for so long and no longer; who tells something never waits: while the other side
has the lock, it goes into a queue that whoever has the lock next empties first.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from relay.memory.knowledge import Network
from relay.memory.record import Record
from relay.store.backend import Backend, Change, StoreError, applied

log = logging.getLogger("icerelay.memory")

BATCH = 1.0
"""Seconds in which changes are collected."""
RETRY = 5.0
"""Seconds from a failure to the next attempt."""
TRIM = 600.0
"""Seconds between looks for what is too old."""
FRESH = 5.0
"""Seconds for which a state is believed that other relays change as well."""
AT_HAND = 100_000
"""Networks; about 100 MB if all of them are well known."""
PATIENCE = 0.002
"""Seconds that all look-ups of a command may wait for the thread; then networks are unknown this time."""
TOGETHER = 25
"""Networks that are read, learnt and written in one piece."""
MOST_WAITING = 50_000
"""Changes, records and look-ups each that wait for the store."""


class Keeper:
    """The memory at hand. All methods but ``recall_all``, ``stop`` and ``settle`` take microseconds."""

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.time) -> None:
        self.errors = backend.errors
        """Failures of the store, by reason."""
        self.lost = 0
        """Changes, records and look-ups for which no room was left."""
        self._backend = backend
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[Network | None, float]] = OrderedDict()
        self._wanted: dict[bytes, None] = {}
        self._changes: dict[bytes, list[Change]] = {}
        self._waiting = 0
        self._records: list[tuple[float, Record]] = []
        self._writing: list[tuple[float, Record]] = []
        self._forget: dict[bytes, None] = {}
        self._at_hand: dict[bytes, int] = {}
        """How many of the waiting changes of a key ``_known`` has already, for the store fails."""
        self._failed_at: float | None = None
        self._trimmed = 0.0
        self._stopping = False
        self._queue: deque[Callable[[], None]] = deque()
        """What was told while the lock was not to be had."""
        self._hurry = 0
        self._rounds = 0
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    @property
    def networks(self) -> int:
        """At hand."""
        return len(self._known)

    @property
    def rows(self) -> Mapping[str, int]:
        """See ``Backend``."""
        return self._backend.rows

    @property
    def waiting(self) -> int:
        """Changes and records that are not stored yet."""
        return self._waiting + len(self._records) + len(self._writing) + len(self._queue)

    @property
    def broken(self) -> bool:
        """The store could not be used the last time."""
        return self._failed_at is not None

    def recall(self, key: bytes) -> Network | None:
        """What is known of one network, as far as it is at hand."""
        return self.recall_all((key,))[key]

    def recall_all(self, keys: Sequence[bytes], patience: float = PATIENCE) -> dict[bytes, Network | None]:
        """What is known of each, as far as it is at hand; for so many seconds it may wait."""
        if not self._wake.acquire(timeout=patience):
            self.lost += 1
            return dict.fromkeys(keys)
        try:
            self._take_in()
            return {key: self._recall(key) for key in keys}
        finally:
            self._wake.release()

    def _recall(self, key: bytes) -> Network | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        if found is None or (self._backend.shared and time.monotonic() - found[1] > FRESH):
            if len(self._wanted) < MOST_WAITING:
                self._wanted[key] = None
                self._wake.notify()
            else:
                self.lost += 1
        return found[0] if found is not None else None

    def change(self, key: bytes, change: Change) -> None:
        """Something was learnt of it."""
        self._tell(functools.partial(self._change, key, change))

    def write_down(self, record: Record) -> None:
        """Keep the record itself."""
        self._tell(functools.partial(self._write_down, self._clock(), record))

    def forget(self, key: bytes) -> None:
        """Nothing is to be left of it."""
        self._tell(functools.partial(self._forget_it, key))

    def _tell(self, told: Callable[[], None]) -> None:
        """Carry it out after all that was told before: now, or when the lock is free."""
        if len(self._queue) >= MOST_WAITING:
            self.lost += 1
            return
        self._queue.append(told)
        if self._wake.acquire(blocking=False):
            try:
                self._take_in()
            finally:
                self._wake.release()

    def _take_in(self) -> None:
        """With the lock held."""
        while self._queue:
            self._queue.popleft()()

    def _change(self, key: bytes, change: Change) -> None:
        if self._waiting >= MOST_WAITING:
            self.lost += 1
            return
        self._changes.setdefault(key, []).append(change)
        self._waiting += 1

    def _write_down(self, at: float, record: Record) -> None:
        if len(self._records) < MOST_WAITING:
            self._records.append((at, record))
        else:
            self.lost += 1

    def _forget_it(self, key: bytes) -> None:
        self._known[key] = (None, time.monotonic())
        self._waiting -= len(self._changes.pop(key, ()))
        self._at_hand.pop(key, None)
        self._records = [one for one in self._records if one[1].network != key]
        self._forget[key] = None
        self._wake.notify()

    def settle(self, timeout: float = 10.0) -> None:
        """Wait until whatever was asked of the store before has been tried."""
        with self._wake:
            self._hurry += 1
            target = self._rounds + 2  # the one that runs may have begun before
            self._wake.notify()
            self._wake.wait_for(lambda: self._rounds >= target or not self._thread.is_alive(), timeout)
            self._hurry -= 1

    def stop(self) -> None:
        """Store what waits, if the store can be used, and let go of it."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    # The thread.

    def _run(self) -> None:
        stop = False
        next_batch = time.monotonic() + BATCH
        while not stop:
            with self._wake:
                self._wake.wait_for(self._urgent, max(0.0, next_batch - time.monotonic()))
                self._take_in()
                stop = self._stopping
            everything = stop or bool(self._hurry) or time.monotonic() >= next_batch
            if everything:
                next_batch = time.monotonic() + BATCH
            self._try(everything)
            with self._wake:
                self._rounds += 1
                self._wake.notify_all()
        self._backend.close()

    def _urgent(self) -> bool:
        resting = self._failed_at is not None and time.monotonic() < self._failed_at + RETRY
        return self._stopping or bool(self._hurry) or bool((self._wanted or self._forget) and not resting)

    def _try(self, everything: bool) -> None:
        urged = self._stopping or self._hurry
        if self._failed_at is not None and time.monotonic() < self._failed_at + RETRY and not urged:
            return
        try:
            self._do_forget()
            self._fetch()
            if everything:
                self._store()
        except StoreError as error:
            self._fail(error.reason, str(error))
        except Exception:  # ours: the relay goes on without memory rather than with half a thread
            log.exception("memory: a fault of icerelay")
            self._fail("fault", "see above")
        else:
            if self._failed_at is not None:
                log.warning("memory: the store works again")
            self._failed_at = None

    def _fail(self, reason: str, text: str) -> None:
        self.errors[reason] += 1
        if self._failed_at is None:
            log.error(
                "memory: the store cannot be used (%s), calls go on with what is at hand: %s", reason, text
            )
        self._failed_at = time.monotonic()
        self._learn_at_hand()

    def _do_forget(self) -> None:
        with self._wake:
            keys = list(self._forget)
        if keys:
            self._backend.forget(keys)
            with self._wake:
                for key in keys:
                    self._forget.pop(key, None)

    def _fetch(self) -> None:
        with self._wake:
            wanted, self._wanted = list(self._wanted), {}
        for keys in _pieces(wanted):
            found = self._backend.read(keys)
            with self._wake:
                for key in keys:
                    if key not in self._forget and key not in self._at_hand:
                        self._keep(key, found.get(key))

    def _store(self) -> None:
        with self._wake:
            waiting = list(self._changes)
        for keys in _pieces(waiting):
            self._update(keys)
        self._write()
        now = time.monotonic()
        if not self._trimmed or now >= self._trimmed + TRIM:
            self._backend.trim(self._clock())
            self._trimmed = now

    def _update(self, keys: list[bytes]) -> None:
        with self._wake:
            changes = {key: tuple(self._changes[key]) for key in keys if key in self._changes}
        done: dict[bytes, Network] = {}
        try:
            self._backend.update(changes, done)
        finally:
            with self._wake:
                for key, state in done.items():
                    self._stored(key, len(changes[key]), state)

    def _write(self) -> None:
        with self._wake:
            self._writing, self._records = self._records, []
        try:
            if self._writing:
                self._backend.write_down(self._writing)
                self._writing = []
        finally:
            with self._wake:
                self._records[:0] = [one for one in self._writing if one[1].network not in self._forget]
                self._writing = []

    def _stored(self, key: bytes, number: int, state: Network) -> None:
        """The first ``number`` changes of ``key`` are in the store, unless it was forgotten meanwhile."""
        waiting = self._changes.get(key)
        if waiting is None or key in self._forget:
            return
        self._waiting -= number
        self._at_hand.pop(key, None)
        if len(waiting) == number:
            del self._changes[key]
        else:
            self._changes[key] = waiting[number:]
        self._keep(key, state)

    def _learn_at_hand(self) -> None:
        """What waits is known here already. It is stored later on top of what is stored then."""
        with self._wake:
            waiting = list(self._changes)
        for keys in _pieces(waiting):
            for key in keys:
                self._learn_one(key)
            time.sleep(0)  # whoever waits for the interpreter gets it

    def _learn_one(self, key: bytes) -> None:
        with self._wake:
            known, _ = self._known.get(key, (None, 0.0))
            changes = self._changes.get(key, [])[self._at_hand.get(key, 0) :]
        if changes:
            after = applied(known, changes)
            with self._wake:
                if key not in self._forget:
                    self._keep(key, after)
                    self._at_hand[key] = self._at_hand.get(key, 0) + len(changes)

    def _keep(self, key: bytes, state: Network | None) -> None:
        self._known[key] = (state, time.monotonic())
        self._known.move_to_end(key)
        while len(self._known) > AT_HAND:
            self._known.popitem(last=False)


def _pieces(keys: list[bytes]) -> Iterator[list[bytes]]:
    """A few at a time: neither the lock nor the interpreter is held for longer than a millisecond or two."""
    for start in range(0, len(keys), TOGETHER):
        yield keys[start : start + TOGETHER]
