"""What the tests of the stores share."""

from __future__ import annotations

from relay.memory.arms import Arm
from relay.memory.knowledge import Network, learn
from relay.memory.record import Record
from relay.store.backend import Change
from tests.relay.memory.world import START, leg

HOME = b"home" * 4
WORK = b"work" * 4
MONTH = 30 * 86400.0
RECORD = leg((Arm.U,), {Arm.U: 100})


def learnt(record: Record = RECORD, now: float = START) -> Change:
    def change(network: Network | None) -> Network:
        return learn(network, record, now)

    return change
