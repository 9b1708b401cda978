"""The log: an event is one line, whatever a peer wrote into it, and a flood of them is two.

Nothing that logs needs to think of either. Where a peer or an app can cause as many lines as it
likes, the line has ``extra={"flood": kind}``: the first of a kind is logged at once, those that come
soon after it are counted, and the number of them is logged later.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LONGEST = 2048
"""Characters of a line. ICE of a call with four parties has 800."""
LONGEST_TRACE = 16_384
"""Characters of a traceback."""
SOON = 10.0
"""Seconds after the first line of a kind: who reads the log wants to know soon how bad it is."""
LATER = 60.0
"""Seconds between numbers while it goes on."""
MOST_KINDS = 256
"""Kinds that are told apart; a flood may come from many addresses."""
OTHERS = "others"


def start(level: str) -> Flood:
    """Log to stderr. What is returned has to be asked now and then to ``sum_up``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
    flood = Flood()
    handler.addFilter(flood)
    logging.basicConfig(level=level, handlers=[handler])
    return flood


class OneLine(logging.Formatter):
    """What could break or disguise a line is shown as Python writes it; a long line loses its middle."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line."""
        return _plain(_shortened(super().formatMessage(record), LONGEST))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, indented: no line of it looks like one of the log."""
        text = _shortened(super().formatException(ei), LONGEST_TRACE)
        return "\n".join(f"  {_plain(line)}" for line in text.split("\n"))


def _shortened(text: str, most: int) -> str:
    """What a line is about stands at its beginning, and what came of it at its end."""
    if len(text) <= most:
        return text
    left = most // 2
    return f"{text[:left]}...({len(text) - 2 * left} characters)...{text[-left:]}"


def _plain(text: str) -> str:
    """Line ends of all kinds, escape sequences and marks of the direction of writing are not printable."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


@dataclass(slots=True)
class _Kind:
    """Lines of one kind that came of late."""

    name: str
    level: int
    first: str
    since: float
    until: float
    more: int = 0


class Flood(logging.Filter):
    """Lets the first line of a kind through, and counts the rest. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged."""
        kind = getattr(record, "flood", None)
        if kind is None:
            return True
        with self._lock:
            key = (record.name, kind)
            if key not in self._kinds and len(self._kinds) >= MOST_KINDS:
                key = (record.name, OTHERS)
            found = self._kinds.get(key)
            if found is None:
                now = self._clock()
                text = _shortened(record.getMessage(), LONGEST // 2)
                self._kinds[key] = _Kind(record.name, record.levelno, text, now, now + SOON)
            else:
                found.more += 1
        return found is None

    def sum_up(self, at_once: bool = False) -> None:
        """Say how many lines of each kind there were, where it is time to; ``at_once``: everywhere."""
        now = self._clock()
        told = []
        with self._lock:
            for key, one in list(self._kinds.items()):
                if now < one.until and not at_once:
                    continue
                if one.more:
                    told.append((one.name, one.level, one.first, one.more, now - one.since))
                    one.more, one.since, one.until = 0, now, now + LATER
                else:
                    del self._kinds[key]
        for name, level, first, more, seconds in told:
            logging.getLogger(name).log(level, "%s: %d more like this in %.0f s", first, more, seconds)
