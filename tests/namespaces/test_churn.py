"""Rules change while packets flow."""

from __future__ import annotations

import contextlib
import functools
import select
import socket
import struct
import threading
from dataclasses import dataclass, field, replace

import pytest

from relay.forward.offload.kernel import Kind
from relay.forward.rule import Address, Drop, Learn, Rule
from tests.namespaces.calls import Call, Setting, name, nothing_for, rtp, until
from tests.namespaces.lab import Lab, Namespace, lab
from tests.namespaces.planes import (
    PLANES,
    SECOND_PHONE,
    Kept,
    Subject,
    settle_two_phones_on_one_network,
)

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


CALLS = 500
"""Of two streams each."""

AT_ONCE = 10
PHONES = 40
"""On each side; so many calls later, a phone has another one."""

FIRST_PORT = 20_000


@dataclass
class Stay:
    """A phone is where a call's words go, until word ``last`` was said."""

    phone: socket.socket
    last: int | None = None


@dataclass
class Brief:
    """A call that comes, changes twice and goes. ``stays`` are of callee and caller."""

    number: int
    rules: list[Rule]
    mouths: list[Mouth]
    stays: list[list[Stay]]


@dataclass(frozen=True)
class Mouth:
    """Where a phone sends what it says in a call."""

    sock: socket.socket
    to: Address
    call: int


class Crowd:
    """Phones that all talk, one after the other, without end; every word has a number and its call's."""

    def __init__(self) -> None:
        self.mouths: tuple[Mouth, ...] = ()
        self.said = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        while not self._stopped:
            for mouth in self.mouths:
                self.said += 1
                words = struct.pack("!IQ", mouth.call, self.said)
                mouth.sock.sendto(rtp(self.said & 0xFFFF, ssrc=mouth.call, payload=words), mouth.to)
            select.select([], [], [], 0.0001)

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()

    def goes_round(self) -> None:
        """Everybody says something more."""
        goal = self.said + 2 * len(self.mouths)
        until(lambda: self.said >= goal)


class Exchange:
    """Calls between ``PHONES`` on either side of a plane."""

    def __init__(self, machines: Lab, kept: Kept, subject: Subject, opened: contextlib.ExitStack) -> None:
        self._machines, self._kept, self._subject = machines, kept, subject
        far = (
            (machines.a, SECOND_PHONE[0]) if kept.one_network else (machines.b, machines.address(machines.b))
        )
        near = (machines.a, machines.address(machines.a))
        self._callers, self._callees = (
            [opened.enter_context(machine.socket(address)) for _ in range(PHONES)]
            for machine, address in (near, far)
        )
        self._ports = iter(range(FIRST_PORT, FIRST_PORT + 2 * CALLS))
        self._heard: dict[tuple[int, socket.socket], list[int]] = {}
        self.crowd = Crowd()
        opened.callback(self.crowd.stop)

    def _port(self, machine: Namespace) -> tuple[int, Address]:
        sock = self._machines.relay.socket(self._machines.gateway(machine), next(self._ports))
        sock.setblocking(False)
        with self._machines.relay.inside():
            return self._subject.plane.open(sock, 0), name(sock)

    def add(self, number: int) -> Brief:
        plane = self._subject.plane
        caller, callee = self._callers[number % PHONES], self._callees[number % PHONES]
        near, caller_side = self._port(self._machines.a)
        far, callee_side = self._port(self._machines.a if self._kept.one_network else self._machines.b)
        one, two = plane.allocate(), plane.allocate()
        rules = [
            Rule(one, near, name(caller), Learn.NOBODY, sources=(name(caller),), rtp=(two,)),
            Rule(two, far, name(callee), Learn.NOBODY, sources=(name(callee),), rtp=(one,)),
        ]
        plane.apply(rules)
        mouths = [Mouth(caller, caller_side, number), Mouth(callee, callee_side, number)]
        self.crowd.mouths += tuple(mouths)
        return Brief(number, rules, mouths, [[Stay(callee)], [Stay(caller)]])

    def move(self, call: Brief) -> None:
        """The callee is elsewhere from now on. Whoever was the callee talks on, which nobody hears."""
        phone = self._callees[(call.number + PHONES // 2) % PHONES]
        self._change(call, replace(call.rules[1], remote=name(phone), sources=(name(phone),)))
        call.stays[0][-1].last = self.crowd.said
        call.stays[0].append(Stay(phone))

    def hold(self, call: Brief) -> None:
        """The callee hears nothing from now on."""
        self._change(call, replace(call.rules[1], rtp=()), replace(call.rules[0], rtp=()))
        for stays in call.stays:
            stays[-1].last = self.crowd.said

    def _change(self, call: Brief, *rules: Rule) -> None:
        self._subject.plane.apply(rules)
        for rule in rules:
            call.rules[rule.id == call.rules[1].id] = rule

    def remove(self, call: Brief) -> None:
        """What is said from now on, nobody hears."""
        self._subject.plane.apply([Drop(rule.id) for rule in call.rules])
        self._subject.plane.close(*(rule.port for rule in call.rules))
        for stays in call.stays:
            stays[-1].last = self.crowd.said if stays[-1].last is None else stays[-1].last

    def silence(self, call: Brief) -> None:
        """Its phones hang up."""
        self.crowd.mouths = tuple(mouth for mouth in self.crowd.mouths if mouth.call != call.number)

    def listen(self) -> None:
        """Take down what the phones have heard by now, as call, phone and word."""
        ready, _, _ = select.select([*self._callers, *self._callees], [], [], 0)
        for phone in ready:
            while not nothing_for(phone):
                call, word = struct.unpack("!IQ", phone.recv(2000)[12:24])
                self._heard.setdefault((call, phone), []).append(word)

    def is_heard(self, call: Brief) -> bool:
        """By everybody who is to hear it now."""
        self.listen()
        return all((call.number, stays[-1].phone) in self._heard for stays in call.stays)

    def misdelivered(self, calls: list[Brief]) -> list[str]:
        """What was heard where it must not be, or when."""
        found = []
        stays = {(call.number, stay.phone): stay for call in calls for each in call.stays for stay in each}
        for key, words in self._heard.items():
            stay = stays.get(key)
            if stay is None:
                found.append(f"call {key[0]} was heard by a phone of another")
            elif stay.last is not None and max(words) > stay.last:
                found.append(f"call {key[0]}: word {max(words)} was heard, {stay.last} was the last")
        return found


@pytest.mark.parametrize("kept", PLANES.values(), ids=PLANES.keys())
def test_a_thousand_streams_come_change_and_go_while_packets_flow(kept: Kept) -> None:
    calls: list[Brief] = []
    with contextlib.ExitStack() as opened:
        machines = opened.enter_context(lab(checksums=kept.checksums))
        if kept.one_network:
            settle_two_phones_on_one_network(machines)
        subject = opened.enter_context(kept.open(machines))
        exchange = Exchange(machines, kept, subject, opened)
        ages = {1: exchange.move, 4: exchange.hold, 6: exchange.remove, AT_ONCE - 1: exchange.silence}
        for number in range(CALLS + AT_ONCE):
            if number < CALLS:
                calls.append(exchange.add(number))
                until(functools.partial(exchange.is_heard, calls[-1]))
            for age, step in ages.items():
                if 0 <= number - age < CALLS:
                    step(calls[number - age])
            subject.turn()
            exchange.crowd.goes_round()
            subject.turn()
            subject.plane.events()
            if number < CALLS:
                until(functools.partial(exchange.is_heard, calls[max(0, number - 1)]))
        exchange.crowd.stop()
        exchange.listen()
        assert not exchange.misdelivered(calls)
        assert (subject.in_kernel() > exchange.crowd.said / 10) == kept.has_kernel
        assert (subject.by_shared() > exchange.crowd.said / 10) == kept.has_shared
