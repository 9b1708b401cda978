"""The command ``memory``: off, on, and another secret, while the relay runs."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.calls.report import Reply
from relay.config import Interface, Settings
from relay.daemon.remembering import Remembering
from relay.ice.policy import Place
from relay.memory.arms import Arm
from relay.memory.knowledge import Network, Way
from relay.ng.errors import NgError
from relay.ng.request import parse
from relay.store import secret

CAFE = Place(network="cafe")


def remembering(memory: str, file: str = "") -> Remembering:
    interface = Interface("default", "192.0.2.1", "192.0.2.1")
    return Remembering(Settings((interface,), memory=memory, memory_secret=file))


def teach(memory: Remembering) -> None:
    """Forty calls from the cafe went well."""
    now, key = time.time(), memory.identity(CAFE).network
    known = Network(rows=40, at=now, ways={Arm.U: Way(alpha=40.0, rows=40, at=now)})
    assert memory.keeper is not None
    assert key is not None
    memory.keeper.change(key, functools.partial(_taught, now=known))
    memory.keeper.settle()


def _taught(_: Network | None, now: Network) -> Network:
    return now


def command(memory: Remembering, **keys: str) -> Reply:
    return memory.execute(parse(keys), lambda call_id: None)


def switch(memory: Remembering, action: str) -> object:
    return command(memory, command="memory", action=action)["memory"]


def knows(memory: Remembering) -> bool:
    memory.snapshot(memory.identity(CAFE))
    if memory.keeper is not None:
        memory.keeper.settle()
    return memory.snapshot(memory.identity(CAFE)).network is not None


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembering]:
    memory = remembering(str(tmp_path / "memory.db"))
    teach(memory)
    yield memory
    memory.stop()


def test_off_holds_until_on_and_what_was_learnt_is_still_there(
    memory: Remembering, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert command(memory, command="memory") == {"memory": "on", "result": "ok"}
        assert switch(memory, "off") == "off"
        assert not knows(memory)
        assert memory.hashed(CAFE) == ""
        assert command(memory, command="memory") == {"memory": "off", "result": "ok"}
        assert switch(memory, "on") == "on"
        assert knows(memory)
    assert caplog.messages == [
        "memory: off by command, the static policy holds", "memory: on again by command"
    ]  # fmt: skip


def test_a_network_can_be_forgotten_while_the_memory_is_off(memory: Remembering) -> None:
    switch(memory, "off")
    assert command(memory, command="forget", network="cafe") == {"result": "ok"}
    switch(memory, "on")
    assert not knows(memory)


def test_feedback_goes_nowhere_while_the_memory_is_off(memory: Remembering) -> None:
    switch(memory, "off")
    said = {"call-id": "1", "tag": "A", "ok": "yes"}
    assert command(memory, command="feedback", **said) == {"result": "ok"}


def test_after_another_secret_nothing_of_what_is_stored_is_known(memory: Remembering, tmp_path: Path) -> None:
    before = memory.hashed(CAFE)
    old = secret.read(f"{tmp_path / 'memory.db'}.secret")
    assert switch(memory, "rotate") == "on"
    assert not knows(memory)
    assert memory.hashed(CAFE) != before
    assert secret.read(f"{tmp_path / 'memory.db'}.secret") != old
    teach(memory)
    memory.stop()
    again = remembering(str(tmp_path / "memory.db"))
    assert knows(again), "the new secret holds after a restart"
    again.stop()


def test_a_secret_that_somebody_else_wrote_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("the first of the operator\n")
    memory = remembering(str(tmp_path / "memory.db"), str(file))
    teach(memory)
    file.write_text("the second of the operator\n")
    assert knows(memory)
    switch(memory, "reload")
    assert not knows(memory)
    file.write_text("the first of the operator\n")
    switch(memory, "reload")
    assert knows(memory)
    memory.stop()


def test_where_the_secret_cannot_be_had_the_old_one_holds(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("the first of the operator\n")
    memory = remembering(str(tmp_path / "memory.db"), str(file))
    teach(memory)
    file.write_text("short\n")
    with pytest.raises(NgError, match="a secret has 16 bytes or more"):
        switch(memory, "reload")
    assert knows(memory)
    memory.stop()


@pytest.mark.parametrize("action", ["on", "off", "rotate", "reload"])
def test_a_memory_that_is_not_configured_cannot_be_switched(action: str) -> None:
    memory = remembering("off")
    assert command(memory, command="memory") == {"memory": "off", "result": "ok"}
    with pytest.raises(NgError, match="Memory is off"):
        switch(memory, action)
