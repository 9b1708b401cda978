"""Threads for what would keep the event loop from its calls: DTLS handshakes (``relay.dtls.association``)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from relay.dtls.association import Job

log = logging.getLogger("icerelay.dtls")

THREADS = 2
"""OpenSSL computes without the interpreter's lock; what surrounds it does not, so more would gain little."""

MAX_WAITING = 256
"""Jobs: 50 ms of work. A peer whose ClientHello is dropped repeats it."""


class Computing:
    """Runs jobs in order of arrival. ``notify`` is called by a thread of its own whenever one has run."""

    def __init__(self) -> None:
        self.notify: Callable[[], object] = lambda: None
        self.waiting = 0
        """Jobs that were handed in, and not yet taken back."""
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="dtls")
        self._done: deque[Job] = deque()

    def compute(self, job: Job) -> bool:
        """See ``Resources.compute``."""
        if job.optional and self.waiting >= MAX_WAITING:
            return False
        self.waiting += 1
        self._pool.submit(self._run, job)
        return True

    def computed(self) -> list[Job]:
        """See ``Resources.computed``."""
        done = [self._done.popleft() for _ in range(len(self._done))]
        self.waiting -= len(done)
        return done

    def stop(self) -> None:
        """What waits is not run any more."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, job: Job) -> None:
        try:
            job.run()
        except Exception:
            log.exception("dtls handshake broke off call-id=%s", job.call_id)
        self._done.append(job)
        self.notify()
