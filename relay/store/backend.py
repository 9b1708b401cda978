"""What a place to keep networks in can do. Everything here may wait, and is called by one thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from relay.memory.knowledge import Network
from relay.memory.record import Record

Change: TypeAlias = Callable[[Network | None], Network]
"""From what is known to what is known then."""


def applied(network: Network | None, changes: Sequence[Change]) -> Network:
    """What is known after all ``changes``, of which there is at least one."""
    for change in changes:
        network = change(network)
    assert network is not None
    return network


class StoreError(Exception):
    """The place cannot be used now. ``reason`` is one of a few words, to count by; the text says more."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Backend(Protocol):
    """A place. Everything raises ``StoreError`` and may be tried again."""

    shared: bool
    """Others write there as well."""
    errors: Counter[str]
    """What was found wrong, by reason. Who calls counts each ``StoreError`` there as well."""

    @property
    def rows(self) -> Mapping[str, int]:
        """How many there are, by table; empty where that is not known."""

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Network]:
        """Those that are there."""

    def update(self, changes: Mapping[bytes, Sequence[Change]], done: dict[bytes, Network]) -> None:
        """Apply changes to what is there. What is in ``done`` is done, also after a ``StoreError``."""

    def write_down(self, records: Sequence[tuple[float, Record]]) -> None:
        """Keep records, with the unix time of each, if this place keeps any."""

    def forget(self, keys: Sequence[bytes]) -> None:
        """Remove everything under these keys."""

    def trim(self, now: float) -> None:
        """Remove what is too old or too much; unix seconds."""

    def close(self) -> None:
        """Let go of everything. Never raises."""
