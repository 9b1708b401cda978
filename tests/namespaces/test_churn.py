"""Rules change while packets flow."""

from __future__ import annotations

import select
import socket
import threading
from dataclasses import dataclass, field, replace

import pytest

from relay.forward.offload.kernel import Kind
from tests.namespaces.calls import Call, Setting, name, rtp, until
from tests.namespaces.lab import lab

ROUNDS = 100


@dataclass
class Talker:
    """Sends numbered packets every 0.1 ms or so."""

    sock: socket.socket
    to: tuple[str, int]
    number: int = 0
    """Of the packet that is being sent, or was sent last."""
    stopped: bool = False
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._talk)
        self.thread.start()

    def _talk(self) -> None:
        while not self.stopped:
            self.number += 1
            self.sock.sendto(rtp(self.number & 0xFFFF, payload=self.number.to_bytes(8, "big")), self.to)
            select.select([], [], [], 0.0001)

    def stop(self) -> None:
        self.stopped = True
        self.thread.join()

    def goes_on(self, packets: int) -> None:
        """Wait for some more."""
        goal = self.number + packets
        until(lambda: self.number >= goal)


@dataclass
class Round:
    """Packets numbered ``first`` .. ``last`` were sent when ``removed`` was the callee no more."""

    removed: socket.socket
    first: int
    last: int


def numbers(phone: socket.socket) -> list[int]:
    """Of the packets that wait at a phone."""
    found = []
    while select.select([phone], [], [], 0)[0]:
        found.append(int.from_bytes(phone.recv(2000)[12:20], "big"))
    return found


def move(call: Call, phone: socket.socket, generation: int) -> None:
    """Signalling gives the callee another address; when this returns, it holds in both planes."""
    call.plane.apply([replace(call.to_callee, remote=name(phone), generation=generation)])
    call.plane.peer(call.to_callee.id)


@pytest.mark.parametrize("kind", [Kind.TCX, Kind.GENERIC], ids=lambda kind: kind.name)
def test_no_packet_goes_to_a_removed_address(kind: Kind) -> None:
    with lab(checksums=kind is Kind.GENERIC) as built, Setting(built, kind).call() as call:
        call.settle()
        here = built.address(built.b)
        with built.b.socket(here) as second, built.b.socket(here) as third:
            phones = (call.callee, second, third)
            arrived: dict[socket.socket, list[int]] = {phone: [] for phone in phones}
            rounds: list[Round] = []
            carried = 0
            talker = Talker(call.caller, call.caller_side)
            for turn in range(1, ROUNDS + 1):
                removed, phone = phones[(turn - 1) % 3], phones[turn % 3]
                move(call, phone, turn)
                first = talker.number + 2  # one may have been on its way
                talker.goes_on(4)
                call.plane.refresh()
                carried += call.plane.given(call.to_caller.id)
                talker.goes_on(4)
                rounds.append(Round(removed, first, talker.number - 1))
                for other in phones:
                    arrived[other] += numbers(other)
            talker.stop()
            for other in phones:
                arrived[other] += numbers(other)
        for one in rounds:
            late = [number for number in arrived[one.removed] if one.first <= number <= one.last]
            assert not late, f"sent to where nobody is any more: {late}"
        assert carried > ROUNDS / 2
        assert len({number for numbers in arrived.values() for number in numbers}) == talker.number
        assert call.count(call.to_caller, "rtp_packets") == talker.number + 1
