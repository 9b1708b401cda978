"""The plane of two tiers: user space has every rule, and the kernel takes settled streams off it.

    apply, close ---> 1. the kernel forgets the flows concerned   (before it returns)
                      2. user space changes
    refresh      ---> 3. what has settled since goes to the kernel, again

So a stream that changes is user space's for a moment, and neither hold nor
delete has to wait for anything. What user space learns by itself, that a peer
is elsewhere, shows in its latches: an event says so at once, and ``refresh``
looks at all of them. Until then the kernel goes on sending to the old place,
and packets from the new one are user space's already.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from relay.forward.offload.bpf import BpfError
from relay.forward.offload.carried import Carried
from relay.forward.offload.flow import End, Flow, Why, judge
from relay.forward.offload.gates import Gate, obstacle
from relay.forward.offload.kernel import Kernel
from relay.forward.offload.ledger import STREAM, SUMMED, Ledger
from relay.forward.plane import Event, Latched, Plane, Reported
from relay.forward.rule import Address, Change, Drop, Rule
from relay.latching import State
from relay.srtp.profiles import MasterKey, Profile

REFRESH = 0.1
"""Seconds between two ``refresh``: as long a talker may be sent to where he no longer is."""

CHECKED = 8
"""Flows compared with user space in one ``refresh``, in turn, in case an event was lost."""

JUDGED = 64
"""Rules judged in one ``refresh`` that still waited for something: some 1 ms of work."""


LOOK = 10
"""Of how many ``refresh`` one looks what the kernel forwards: talkers send in each second."""

CONFIRMED = 32
"""Neighbours confirmed in one ``refresh``, in turn: less than 1 ms of work, and 3,000 of them in 10 s."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A gate whose program stopped to forward what it was given, or does so again."""

    gate: Gate
    works: bool
    reason: str = ""
    """Why it does not, and what to do, if that can be seen."""


@dataclass(frozen=True, slots=True)
class _Port:
    sock: socket.socket
    local: Address
    gate: Gate


@dataclass(frozen=True, slots=True)
class _Entry:
    """A flow that the kernel has."""

    flow: Flow
    slot: int


class Lending(Plane, Protocol):
    """A plane that lets the kernel track the streams that it forwards."""

    def lend(self, rule: int, track: NDArray[np.void] | None) -> bool:
        """Keep the state of what ``rule`` receives in ``track``, which the kernel has as well; None: here.

        False, and nothing is done, if its worker does not follow.
        """


class TieredPlane:
    """Implements ``Plane`` over another one, whose ``counters`` are a live view.

    ``gates`` are those of all local addresses.
    """

    def __init__(self, below: Lending, kernel: Kernel, gates: Sequence[Gate]) -> None:
        self._below = below
        self._kernel = kernel
        self._gates = {gate.address: gate for gate in gates}
        self._rows = below.counters()
        self._state, self._heard = self._rows["state"], self._rows["rtp_packets"]
        self._ledger = Ledger(kernel.counts, self._heard)
        self._carried = Carried(kernel.counts, self._heard)
        self._numbers = {gate: number for number, gate in enumerate(self._gates.values())}
        self._failing: set[Gate] = set()
        self._hops: dict[bytes, None] = {}  # neighbours to be confirmed; the next one first
        self._until_look = LOOK
        self._highest = -1
        self._rules: dict[int, Rule] = {}
        self._ports: dict[int, _Port] = {}
        self._at_port: dict[int, set[int]] = {}
        self._feeders: dict[int, set[int]] = {}  # by output: the rules that have it in ``rtp``
        self._entries: dict[int, _Entry] = {}  # by receiving rule; the next one to be checked first
        self._why: dict[int, Why] = {}  # the other rules
        self._waiting: dict[int, None] = {}  # those of them that packets may help; the next one first
        self._dirty: dict[int, None] = {}  # to be judged at the next refresh; in order

    # What the kernel does.

    def given(self, rule: int) -> bool:
        """Whether the kernel has what it needs to forward what arrives for this rule."""
        return rule in self._entries

    def carries(self, rule: int) -> bool:
        """Whether it does: it may find no way out, and then leaves every packet to user space.

        True from its first packet, until in ``LOOK`` times ``REFRESH`` all that came went by user space.
        """
        entry = self._entries.get(rule)
        return entry is not None and self._carried.carries(entry.slot)

    def declined(self) -> Mapping[Why, int]:
        """Rules that user space keeps, by reason."""
        reasons = Counter(self._why.values())
        reasons[Why.NO_WAY] = sum(not self.carries(rule) for rule in self._entries)
        return {why: count for why, count in reasons.items() if count}

    def kernel_totals(self) -> dict[str, int]:
        """The part of ``totals`` that the kernel forwarded."""
        self._ledger.settle()
        packets, octets, flaws = self._ledger.packets, self._ledger.bytes, self._ledger.flaws
        return dict(zip(SUMMED, (packets, octets, packets, octets, *flaws.values()), strict=True))

    def totals_and_share(self) -> tuple[dict[str, int], dict[str, int]]:
        """``totals`` and ``kernel_totals`` of one moment: what is left of the first never grows less."""
        share, sums = self.kernel_totals(), self._below.totals()
        for name, value in share.items():
            sums[name] += value
        return sums, share

    def refresh(self) -> list[Turn]:
        """Every ``REFRESH`` seconds: give the kernel what has settled, take back what has not stayed so.

        And keep the neighbours fresh to whom it sends. Returns the gates that work otherwise than before.
        """
        self._ledger.rest()
        suspects, waiting = self._unsettled(), self._ready()
        for id in {**dict.fromkeys(suspects), **dict.fromkeys(waiting), **self._dirty}:
            self._judge(id)
        self._dirty.clear()
        for id in list(islice(self._entries, CHECKED)):
            self._entries[id] = self._entries.pop(id)  # behind the others
            self._judge(id)
        for hop in list(islice(self._hops, CONFIRMED)):
            del self._hops[hop]
            self._kernel.confirm(hop)
        self._until_look -= 1
        return [] if self._until_look else list(self._look())

    def _look(self) -> Iterator[Turn]:
        """What has the kernel forwarded since the last look?"""
        self._until_look = LOOK
        self._kernel.look_at_devices()
        found = self._carried.look()
        self._hops.update(dict.fromkeys(found.hops))
        for gate, number in self._numbers.items():
            if number in found.works and gate in self._failing:
                self._failing.remove(gate)
                yield Turn(gate, True)
            elif number in found.fails and gate not in self._failing:
                reason = obstacle(gate)
                if reason or number in found.ceased:
                    self._failing.add(gate)
                    yield Turn(gate, False, reason)

    def _unsettled(self) -> list[int]:
        """Entries of which an end is in a state that it was not in when it was judged."""
        ids, outs = self._ledger.pairs()
        odd = (self._state[ids] == State.LATCHED) | (self._state[outs] == State.LATCHED)
        return [int(id) for id in ids[odd] if id in self._entries]

    def _ready(self) -> list[int]:
        """Rules that wait for RTP or for a latch, and to which RTP has come."""
        waiting = np.fromiter(self._waiting, np.intp, len(self._waiting))
        return [int(id) for id in waiting[self._heard[waiting] > 0][:JUDGED]]

    def _judge(self, id: int) -> None:
        rule = self._rules.get(id)
        if rule is None:
            return
        found = self._verdict(rule)
        entry = self._entries.get(id)
        if entry is not None and entry.flow == found:
            return
        if entry is not None:
            self._withdraw(id)
        self._why.pop(id, None)
        self._waiting.pop(id, None)
        why = found if isinstance(found, Why) else self._install(id, rule.rtp[0], found)
        if why is not None:
            self._why[id] = why
        if why in (Why.QUIET, Why.UNSETTLED, Why.FULL):
            self._waiting[id] = None

    def _verdict(self, rule: Rule) -> Flow | Why:
        out = self._rules.get(rule.rtp[0]) if len(rule.rtp) == 1 else None
        end, leaving = self._end(rule), self._end(out) if out is not None else None
        if end is None:
            return Why.OUTPUTS
        return judge(end, leaving)

    def _end(self, rule: Rule) -> End | None:
        """None once its port is closed."""
        port = self._ports.get(rule.port)
        if port is None:
            return None
        return End(
            rule=rule,
            local=port.local,
            gate=port.gate,
            alone=len(self._at_port[rule.port]) == 1,
            state=State(int(self._state[rule.id])),
            heard=bool(self._heard[rule.id]),
            peer=self._below.peer(rule.id),
            tos=_tos(port.sock),
        )

    def _install(self, id: int, out: int, flow: Flow) -> Why | None:
        slot = self._ledger.open(id, out)
        if slot is None:
            return Why.FULL
        if not self._below.lend(id, self._kernel.counts["track"][slot : slot + 1]):
            self._ledger.close(slot)
            return Why.UNSETTLED
        self._carried.begin(slot, id, self._numbers[self._gates[flow.at[0]]])
        try:
            self._kernel.put(flow.key(), flow.value(slot))
        except BpfError:
            self._below.lend(id, None)
            self._carried.end(slot)
            self._ledger.close(slot)
            return Why.FULL
        self._entries[id] = _Entry(flow, slot)
        return None

    def _withdraw(self, id: int) -> None:
        entry = self._entries.pop(id, None)
        if entry is not None:
            self._kernel.remove(entry.flow.key())
            self._below.lend(id, None)
            self._carried.end(entry.slot)
            self._ledger.close(entry.slot)
            self._dirty[id] = None

    def _withdraw_all_of(self, ids: Iterable[int]) -> None:
        """All flows that these rules receive or send."""
        for id in ids:
            self._withdraw(id)
            for feeder in self._feeders.get(id, ()):
                self._withdraw(feeder)

    # Plane.

    @property
    def workers(self) -> int:
        """See ``Plane.workers``."""
        return self._below.workers

    def fileno(self) -> int:
        """See ``Plane.fileno``."""
        return self._below.fileno()

    def open(self, sock: socket.socket, worker: int) -> int:
        """See ``Plane.open``."""
        local: Address = sock.getsockname()[:2]
        handle = self._below.open(sock, worker)
        gate = self._gates.get(local[0], Gate(local[0], "", 0, None))
        self._ports[handle] = _Port(sock, local, gate)
        self._at_port[handle] = set()
        return handle

    def close(self, *ports: int) -> None:
        """See ``Plane.close``."""
        for port in ports:
            self._withdraw_all_of(self._at_port.pop(port, ()))
            self._ports.pop(port, None)
        self._below.close(*ports)

    def retag(self, port: int, tos: int) -> None:
        """See ``Plane.retag``."""
        self._below.retag(port, tos)

    def allocate(self) -> int:
        """See ``Plane.allocate``."""
        id = self._below.allocate()
        self._ledger.forget(id)
        self._highest = max(self._highest, id)
        return id

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        """See ``Plane.open_keys``."""
        return self._below.open_keys(profile, receive, send, after)

    def close_keys(self, keys: int) -> None:
        """See ``Plane.close_keys``."""
        self._below.close_keys(keys)

    def apply(self, changes: Sequence[Change]) -> None:
        """See ``Plane.apply``. When this returns, the kernel forwards nothing by the rules before."""
        for change in changes:
            self._withdraw_all_of((change.id,))
            if isinstance(change, Rule):
                self._withdraw_all_of(self._at_port.get(change.port, ()))
        self._below.apply(changes)
        for change in changes:
            self._forget(change.id)
            if isinstance(change, Drop):
                self._ledger.forget(change.id)
            else:
                self._remember(change)

    def _forget(self, id: int) -> None:
        before = self._rules.pop(id, None)
        self._why.pop(id, None)
        self._waiting.pop(id, None)
        self._dirty.pop(id, None)
        if before is None:
            return
        self._company(before.port).discard(id)
        for out in before.rtp:
            self._feeders[out].discard(id)
            if not self._feeders[out]:
                del self._feeders[out]
        self._dirty.update(dict.fromkeys(self._company(before.port)))

    def _remember(self, rule: Rule) -> None:
        self._rules[rule.id] = rule
        self._company(rule.port).add(rule.id)
        for out in rule.rtp:
            self._feeders.setdefault(out, set()).add(rule.id)
        self._dirty.update(dict.fromkeys((*self._company(rule.port), *self._feeders.get(rule.id, ()))))

    def _company(self, port: int) -> set[int]:
        return self._at_port.get(port, set())

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        """See ``Plane.send``."""
        self._below.send(port, remote, datagram)

    def events(self) -> list[Event]:
        """See ``Plane.events``."""
        found = self._below.events()
        for event in found:
            if isinstance(event, Latched):
                for id in (event.rule, *self._feeders.get(event.rule, ())):
                    self._judge(id)
        return found

    def counters(self) -> NDArray[np.void]:
        """The rows of all rules there are, user space and kernel together: a copy, of this moment."""
        self._ledger.settle()
        rows, shares = self._rows[: self._highest + 1].copy(), self._ledger.shares[: self._highest + 1]
        newer = (shares["last_packet"] > rows["last_packet"]) | (
            (shares["rtp_packets"] > 0) & (shares["below"] == rows["rtp_packets"])
        )
        for name in SUMMED:
            rows[name] += shares[name]
        for name in STREAM:
            rows[name][newer] = shares[name][newer]
        np.maximum(rows["last_packet"], shares["last_packet"], out=rows["last_packet"])
        return rows

    def row(self, rule: int) -> np.void:
        """See ``Plane.row``."""
        for id in (rule, *self._feeders.get(rule, ())):
            if id in self._entries:
                self._ledger.settle_slot(self._entries[id].slot)
        row: np.void = self._rows[rule].copy()
        share = self._ledger.shares[rule]
        quiet = share["rtp_packets"] > 0 and share["below"] == row["rtp_packets"]
        if quiet or share["last_packet"] > row["last_packet"]:
            for name in STREAM:
                row[name] = share[name]
        row["last_packet"] = max(row["last_packet"], share["last_packet"])
        for name in SUMMED:
            row[name] = int(row[name]) + int(share[name])
        return row

    def reports(self, rule: int) -> tuple[Reported, ...]:
        """See ``Plane.reports``: user space forwards all RTCP."""
        return self._below.reports(rule)

    def totals(self) -> dict[str, int]:
        """See ``Plane.totals``."""
        return self.totals_and_share()[0]

    def peer(self, rule: int) -> Address | None:
        """See ``Plane.peer``."""
        return self._below.peer(rule)

    def beats(self) -> list[int]:
        """See ``Plane.beats``."""
        return self._below.beats()

    def stop(self) -> None:
        """See ``Plane.stop``."""
        self._entries.clear()
        self._kernel.close()
        self._below.stop()


def _tos(sock: socket.socket) -> int:
    if sock.family == socket.AF_INET6:
        return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
    return sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS)
