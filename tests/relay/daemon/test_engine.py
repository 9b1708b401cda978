from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from relay.config import Interface, Settings
from relay.daemon.engine import Engine, last_seen
from relay.forward.plane import COUNTERS
from relay.ng.request import parse
from tests.blackbox.description import plain


def test_media_and_checks_are_both_signs_of_life() -> None:
    rows = np.zeros(3, COUNTERS)
    rows["last_packet"] = [0, 3_000_000_000, 5_000_000_000]
    rows["last_check"] = [0, 4_500_000_000, 2_000_000_000]
    assert [last_seen(rows)(rule) for rule in range(3)] == [0.0, 4.5, 5.0]


@pytest.fixture
def engine() -> Iterator[Engine]:
    at = Interface("default", "127.0.1.41", "127.0.1.41")
    settings = Settings(
        (at,), port_min=42000, port_max=42019, plane="userspace", range_socket="off", workers=1
    )
    made = Engine(settings)
    yield made
    made.stop()


def fault(reason: str) -> Exception:
    """As raised where something of ours fails."""
    try:
        raise KeyError(reason)
    except KeyError as error:
        return error


def test_a_fault_is_counted_each_time_and_logged_once_with_its_traceback(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    message = {"command": "offer", "call-id": "mine", "from-tag": "A", "sdp": plain()}
    engine.execute(parse(message))
    call = engine.registry.calls["mine"]
    for number in range(3):
        engine.registry.fault(call, fault(f"number {number}"))
    try:
        bytes(-1)
    except ValueError as error:
        engine.registry.fault(call, error)
    assert engine.registry.faults == 4
    told = [record.exc_text or "" for record in caplog.records if record.exc_info]
    assert len(told) == 2
    assert "KeyError: 'number 0'" in caplog.text
    assert "in fault" in caplog.text
