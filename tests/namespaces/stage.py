"""Where a scenario is played: phones, a plane between them, and a record of all that happened."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from relay.forward.plane import SUMS, Stun
from relay.forward.rule import Address, Drop, Learn, Rule
from tests.namespaces.calls import PCMA, local_port, name, nothing_for, until
from tests.namespaces.lab import Lab, Namespace
from tests.namespaces.planes import SECOND_PHONE, Kept, Subject

TAKEN = ("rtp_packets", "rtcp_packets")
REFUSED = ("stranger", "malformed", "stun", "auth", "replay", "no_rule", "stun_limited", "no_media")
ENDS = ("sent_packets", "no_output", "no_peer", "send_error", "feedback")
"""What becomes of a packet that was taken, once for each output."""
FIRST_PORT = 4000
STATES = ("ssrc", "seq", "payload_type", "state", "clock")


@dataclass
class Record:
    """What is compared: nothing in it depends on time or on port numbers."""

    arrived: dict[str, list[tuple[bytes, str]]] = field(default_factory=dict)
    """By phone: datagrams, and the side of the relay that each came from."""
    raised: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Side, phone and datagram of what went up."""
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    peers: dict[str, str | None] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)


class Stage:
    """Phones: ``caller`` and ``stranger`` in one place, ``callee``, ``third`` and ``behind`` in another.

    A call is up between the first two: rules and sides of the relay are named like the phone they are for.
    """

    def __init__(self, lab: Lab, kept: Kept, subject: Subject, v6: bool) -> None:
        self.subject, self.plane = subject, subject.plane
        self.record = Record()
        self.phones: dict[str, socket.socket] = {}
        self.sides: dict[str, tuple[int, Address]] = {}
        self.rules: dict[str, Rule] = {}
        far = lab.a if kept.one_network else lab.b
        self._lab = lab
        self._near = (lab.a, lab.address(lab.a, v6))
        self._far = (far, SECOND_PHONE[v6] if kept.one_network else lab.address(far, v6))

    def open(self) -> None:
        for phone in ("caller", "stranger"):
            self.add_phone(phone, *self._near)
        for phone in ("callee", "third", "behind"):
            self.add_phone(phone, *self._far)
        for side, (machine, address) in (("caller", self._near), ("callee", self._far)):
            self.add_side(side, machine, ":" in address)
        one, two = self.plane.allocate(), self.plane.allocate()
        self.rules = {
            "caller": self._rule(one, "caller", rtp=(two,), rtcp=(two,)),
            "callee": self._rule(two, "callee", rtp=(one,), rtcp=(one,)),
        }
        self.plane.apply(list(self.rules.values()))

    def close(self) -> None:
        for phone in self.phones.values():
            phone.close()

    def add_phone(self, phone: str, machine: Namespace, address: str) -> None:
        """At a port that is the same on every stage: answers to checks name it."""
        self.phones[phone] = machine.socket(address, FIRST_PORT + len(self.phones))
        self.record.arrived[phone] = []

    def add_side(self, side: str, machine: Namespace, v6: bool) -> None:
        self.sides[side] = local_port(self.plane, self._lab.relay, self._lab.gateway(machine, v6))

    def _rule(self, id: int, phone: str, **fields: Any) -> Rule:
        return Rule(id, self.sides[phone][0], self.address(phone), Learn.WINDOW, clock=PCMA, **fields)

    def address(self, phone: str) -> Address:
        return name(self.phones[phone])

    def change(self, **rules: Any) -> None:
        """Signalling changes fields of rules."""
        for rule, fields in rules.items():
            self.rules[rule] = replace(self.rules[rule], **fields)
        self.plane.apply([self.rules[rule] for rule in rules])

    def add_rule(self, rule: str, side: str, **fields: Any) -> None:
        """For the phone of that name, at the port that another has already."""
        self.rules[rule] = Rule(
            self.plane.allocate(), self.sides[side][0], self.address(rule), Learn.WINDOW, **fields
        )
        self.plane.apply([self.rules[rule]])

    def drop(self, rule: str) -> None:
        self._note_rule(rule)
        self.plane.apply([Drop(self.rules.pop(rule).id)])

    def says(self, phone: str, datagram: bytes, to: str | None = None, outputs: int = 1) -> None:
        """A phone sends to the relay's side ``to``, its own if not given. Returns when all has come of it.

        What has to arrive somewhere is waited for there: counters are believed only about how much that is.
        """
        before, raised = Counter(self.plane.totals()), len(self.record.raised)
        self.phones[phone].sendto(datagram, self.sides[to or phone][1])

        def grown(names: tuple[str, ...]) -> int:
            return sum(now[each] - before[each] for each in names)

        def is_over() -> bool:
            self._take_turn()
            now.update(self.plane.totals())
            noticed = grown((*TAKEN, *REFUSED, "stun_answered")) + len(self.record.raised) - raised
            return noticed == 1 and grown(ENDS) == outputs * grown(TAKEN)

        now: dict[str, int] = {}
        until(is_over)
        for _ in range(grown(("sent_packets", "stun_answered"))):
            self._hear()
        self._take_turn()

    def exchange(self, packets: list[bytes]) -> None:
        """Both say the same, in turn."""
        for packet in packets:
            self.says("caller", packet)
            self.says("callee", packet)

    def _take_turn(self) -> None:
        self.subject.turn()
        for event in self.plane.events():
            if isinstance(event, Stun):
                (side,) = (side for side, (port, _) in self.sides.items() if port == event.port)
                self.record.raised.append((side, self._named(event.source) or "", event.datagram))

    def _hear(self) -> None:
        ready, _, _ = select.select(list(self.phones.values()), [], [], 5.0)
        assert ready, "counted as sent, and nobody has it"
        (phone,) = (phone for phone, sock in self.phones.items() if sock is ready[0])
        datagram, source = ready[0].recvfrom(10_000)
        (side,) = (side for side, (_, address) in self.sides.items() if address == source[:2])
        self.record.arrived[phone].append((datagram, side))

    def _named(self, address: Address | None) -> str | None:
        return next((phone for phone in self.phones if self.address(phone) == address), None)

    def _note_rule(self, rule: str) -> None:
        id = self.rules[rule].id
        row = self.plane.row(id)
        self.record.rows[rule] = {field: int(row[field]) for field in (*SUMS, *STATES)}
        self.record.peers[rule] = self._named(self.plane.peer(id))

    def finish(self) -> Record:
        """The whole record. Nobody has heard anything that is not in it."""
        for rule in self.rules:
            self._note_rule(rule)
        self.record.totals = self.plane.totals()
        assert all(map(nothing_for, self.phones.values()))
        return self.record


@contextlib.contextmanager
def stage(lab: Lab, kept: Kept, subject: Subject, v6: bool) -> Iterator[Stage]:
    opened = Stage(lab, kept, subject, v6)
    try:
        opened.open()
        yield opened
    finally:
        opened.close()
