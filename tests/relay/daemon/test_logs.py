from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.daemon.logs import LATER, LONGEST, LONGEST_TRACE, MOST_KINDS, SOON, Flood, OneLine


class Log:
    """A logger with a clock of its own. ``lines`` are what stands in the log."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.flood = Flood(lambda: self.now)
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
        handler.addFilter(self.flood)
        self.logger = logging.getLogger("icerelay.test")
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        self.logger.handlers = [handler]

    def refuse(self, reason: str, times: int = 1) -> None:
        for _ in range(times):
            self.logger.info("refused: %s", reason, extra={"flood": reason})

    def sum_up_after(self, seconds: float) -> None:
        self.now += seconds
        self.flood.sum_up()

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().split("\n")[:-1]


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.logger.handlers = []


# One event, one line.


@pytest.mark.parametrize(
    ("call_id", "shown"),
    [
        ("a84b4c76e66710@192.0.2.1", "a84b4c76e66710@192.0.2.1"),
        ("log\nERROR fake: line", "log\\nERROR fake: line"),
        ("log\r\nERROR fake: line", "log\\r\\nERROR fake: line"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31mred", "\\x9b31mred"),
        ("a\u2028b\u2029c\x85d\x0be", "a\\u2028b\\u2029c\\x85d\\x0be"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("a\x00b\u200bc\ufeffd", "a\\x00b\\u200bc\\ufeffd"),
        ("\udcff", "\\udcff"),
        ("J\u00f6rg", "J\u00f6rg"),
    ],
)
def test_a_call_id_forges_no_line(log: Log, call_id: str, shown: str) -> None:
    log.logger.info("call started call-id=%s", call_id)
    assert log.lines == [f"INFO icerelay.test: call started call-id={shown}"]


@given(st.text(max_size=40))
def test_whatever_a_peer_writes_stays_in_its_line(text: str) -> None:
    log = Log()
    log.logger.info("call started call-id=%s", text)
    (line,) = log.lines
    assert line.isprintable()


def test_a_long_line_keeps_its_beginning_and_its_end(log: Log) -> None:
    log.logger.info("call ended call-id=%s reason=%s", "x" * 60_000, "timeout")
    (line,) = log.lines
    assert line.startswith("INFO icerelay.test: call ended call-id=xxx")
    assert line.endswith("xxx reason=timeout")
    assert len(line) < LONGEST + 50
    log.logger.info("y" * (LONGEST - 100))
    assert log.lines[1].endswith("y" * (LONGEST - 100))


def test_an_exception_forges_no_line(log: Log) -> None:
    try:
        raise ValueError("bad\nERROR fake: line\r\x1b[2J" + "\n" * 100_000)
    except ValueError:
        log.logger.exception("a command failed")
    first, second, *rest = log.lines
    assert first == "ERROR icerelay.test: a command failed"
    assert second == "  Traceback (most recent call last):"
    assert "  ERROR fake: line\\r\\x1b[2J" in rest
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert len("".join(rest)) < 3 * LONGEST_TRACE


# A flood.


def test_a_flood_is_one_line_and_then_how_many_there_were(log: Log) -> None:
    log.refuse("too much feedback", 1000)
    log.sum_up_after(SOON - 0.1)
    assert log.lines == ["INFO icerelay.test: refused: too much feedback"]
    log.sum_up_after(0.1)
    assert log.lines[1:] == ["INFO icerelay.test: refused: too much feedback: 999 more like this in 10 s"]


def test_of_a_flood_that_goes_on_the_number_is_told_once_a_minute(log: Log) -> None:
    for _ in range(130):
        log.refuse("too much feedback", 10)
        log.sum_up_after(1.0)
    assert [line.rpartition("feedback")[2] for line in log.lines] == [
        "", ": 99 more like this in 10 s", ": 600 more like this in 60 s", ": 600 more like this in 60 s",
    ]  # fmt: skip


def test_single_refusals_are_all_seen(log: Log) -> None:
    for reason in ("Unknown call-id", "Ran out of ports", "Unknown call-id"):
        log.refuse(reason)
        log.sum_up_after(SOON)
    log.logger.info("call started call-id=1")
    log.logger.info("call started call-id=1")
    assert [line.rpartition(": ")[2] for line in log.lines] == [
        "Unknown call-id", "Ran out of ports", "Unknown call-id",
        "call started call-id=1", "call started call-id=1",
    ]  # fmt: skip


def test_a_flood_hides_no_other_kind(log: Log) -> None:
    log.refuse("too much feedback", 1000)
    log.refuse("Ran out of ports")
    assert log.lines[1] == "INFO icerelay.test: refused: Ran out of ports"


def test_after_a_flood_a_refusal_is_a_line_again(log: Log) -> None:
    log.refuse("too much feedback", 3)
    log.sum_up_after(SOON)
    log.sum_up_after(LATER)
    log.refuse("too much feedback")
    assert [line.rpartition("feedback")[2] for line in log.lines] == ["", ": 2 more like this in 10 s", ""]


def test_what_was_held_back_is_told_at_the_end(log: Log) -> None:
    log.refuse("too much feedback", 3)
    log.flood.sum_up(at_once=True)
    assert log.lines[1:] == ["INFO icerelay.test: refused: too much feedback: 2 more like this in 0 s"]


def test_kinds_that_a_peer_makes_up_take_no_memory(log: Log) -> None:
    for number in range(MOST_KINDS + 1000):
        log.refuse(f"reason {number}")
    log.sum_up_after(SOON)
    assert len(log.lines) == MOST_KINDS + 2
    assert log.lines[-1].endswith("999 more like this in 10 s")
