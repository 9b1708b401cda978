"""A thread for what would hold up the event loop: DTLS handshakes (``relay.dtls.association``)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from relay.dtls.association import Job

log = logging.getLogger("icerelay.dtls")

THREADS = 1
"""A second one gains no speed, for half of the work holds the interpreter's lock, and it takes turns from the
event loop: pings took up to 18 ms in a burst of 200 handshakes, instead of 9."""

MAX_WAITING = 256
"""Jobs: 0.1 s of work. A peer whose ClientHello is dropped repeats it."""


class Computing:
    """Runs jobs in order of arrival. ``notify`` is called, by that thread, whenever one has run."""

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
        except Exception as error:
            kind = {"flood": type(error).__name__}
            log.exception("dtls handshake broke off call-id=%s", job.call_id, extra=kind)
        self._done.append(job)
        self.notify()
