"""A plane without threads or sockets: the slow twin of the native one, for tests.

``deliver`` takes a datagram as if it had arrived and returns what would be
sent. The native plane must do the same for the same datagrams.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from relay.forward import fake_stun
from relay.forward.fake_bundle import Sorter
from relay.forward.fake_kind import Kind, kind_of
from relay.forward.fake_rtcp import Reports, blocks, without_feedback
from relay.forward.fake_srtp import Failure, Keys
from relay.forward.fake_stun import Allowance
from relay.forward.fake_track import Track
from relay.forward.plane import COUNTERS, PLANE_WIDE, SUMS, Dtls, Event, Latched, PlaneFull, Reported, Stun
from relay.forward.rule import (
    MAX_ANNOUNCED,
    MAX_MID,
    MAX_OUTPUTS,
    MAX_RATE,
    MAX_SOURCES,
    MAX_USERNAME,
    Address,
    Change,
    Drop,
    Learn,
    Rule,
)
from relay.forward.sockets import set_tos
from relay.latching import WINDOW, Latch, State, Verdict
from relay.srtp.profiles import MasterKey, Profile

LARGEST = 9280
"""Bytes of the largest datagram that is forwarded."""

UP_LIMIT = 1500
"""Bytes of the largest datagram that goes up."""

Sent = tuple[int, Address, bytes]
"""Local port (handle), destination, datagram."""


def check(rule: Rule) -> None:
    """Raises ``ValueError`` for a rule that no plane takes."""
    if rule.opaque and (rule.keys is not None or rule.dtls):
        raise ValueError(f"rule {rule.id}: SRTP for what is not RTP")
    if len(rule.sources) > MAX_SOURCES:
        raise ValueError(f"rule {rule.id}: more than {MAX_SOURCES} sources")
    if max(len(rule.rtp), len(rule.rtcp)) > MAX_OUTPUTS:
        raise ValueError(f"rule {rule.id}: more than {MAX_OUTPUTS} outputs")
    if rule.stun_keys is not None and len(rule.stun_keys.username) > MAX_USERNAME:
        raise ValueError(f"rule {rule.id}: a username of more than {MAX_USERNAME} bytes")
    _check_marks(rule)
    if rule.clock is not None and not 0 < rule.clock.rate <= MAX_RATE:
        raise ValueError(f"rule {rule.id}: a clock of {rule.clock.rate} Hz")
    for host, port in (*rule.sources, *((rule.remote,) if rule.remote else ())):
        ipaddress.ip_address(host)
        if not 0 < port < 65536:
            raise ValueError(f"rule {rule.id}: not a port: {port}")


def _check_marks(rule: Rule) -> None:
    marks = rule.marks
    if marks is None:
        return
    if len(marks.mid) > MAX_MID or len(marks.ssrcs) > MAX_ANNOUNCED:
        raise ValueError(f"rule {rule.id}: a mid of more than {MAX_MID} bytes, or over {MAX_ANNOUNCED} SSRCs")
    if marks.leader != rule.id and (rule.learn is not Learn.NOBODY or rule.sources or rule.stun):
        raise ValueError(f"rule {rule.id}: a bundle is received by its leader")


def _mid(rule: Rule) -> bytes | None:
    return rule.marks.mid if rule.marks is not None else None


@dataclass(slots=True)
class _Port:
    sock: socket.socket
    worker: int
    address: Address
    rules: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Row:
    """A rule in place. ``outputs`` say which life of the other rule is meant, as ids are used again."""

    rule: Rule
    latch: Latch
    rtp: list[tuple[int, int]]
    rtcp: list[tuple[int, int]]
    allowances: dict[Address, Allowance]
    sorter: Sorter
    track: Track

    @property
    def secured(self) -> bool:
        """Whether media may pass protected only, be it that the keys are still to come."""
        return self.rule.keys is not None or self.rule.dtls

    def is_peer(self, source: Address) -> bool:
        return source in self.rule.sources or (self.rule.learn is Learn.WINDOW and source == self.latch.peer)

    def peer(self) -> Address | None:
        learnt = self.rule.learn is Learn.WINDOW and not self.rule.asymmetric
        return self.latch.peer if learnt and self.latch.peer is not None else self.rule.remote


class FakePlane:
    """Implements ``Plane``; see there. What ``send`` was given is in ``sent``.

    ``on_close`` is called with the address and port of a socket after it was
    closed: ``PortPool.release`` fits. ``window`` is the learn window, seconds.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        rules: int = 4096,
        window: float = WINDOW,
        on_close: Callable[[str, int], object] | None = None,
    ) -> None:
        self.workers = workers
        self._beats = 0
        self.sent: list[Sent] = []
        self._window = window
        self._on_close = on_close
        self._counters = np.zeros(rules, COUNTERS)
        self._totals = dict.fromkeys((*SUMS, *PLANE_WIDE), 0)
        self._ports: dict[int, _Port] = {}
        self._next_port = 0
        self._free = deque(range(rules))
        self._life: dict[int, int] = {}
        self._lives = 0
        self._rows: dict[int, _Row] = {}
        self._reports: dict[int, Reports] = {}
        self._keys: dict[int, Keys] = {}
        self._events: list[Event] = []
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._eventfd

    def open(self, sock: socket.socket, worker: int) -> int:
        if not 0 <= worker < self.workers:
            raise ValueError(f"no worker {worker}")
        handle, self._next_port = self._next_port, self._next_port + 1
        self._ports[handle] = _Port(sock, worker, sock.getsockname()[:2])
        return handle

    def close(self, *ports: int) -> None:
        for port in ports:
            closed = self._ports.pop(port)
            closed.sock.close()
            if self._on_close is not None:
                self._on_close(*closed.address)

    def retag(self, port: int, tos: int) -> None:
        set_tos(self._ports[port].sock, tos)

    def allocate(self) -> int:
        if not self._free:
            raise PlaneFull(f"all {len(self._counters)} rules are in use")
        id = self._free.popleft()
        self._lives += 1
        self._life[id] = self._lives
        return id

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        """Raises ``SrtpUnavailable`` for profiles that pylibsrtp's public interface lacks."""
        keys = Keys.open(profile, receive, send, self._keys.get(after) if after is not None else None)
        self._lives += 1
        self._keys[self._lives] = keys
        return self._lives

    def close_keys(self, keys: int) -> None:
        if keys not in self._keys:
            raise ValueError(f"keys {keys} are not open")
        del self._keys[keys]

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Drop):
                self._drop(change.id)
            else:
                self._put(change)

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        if port in self._ports and self._reaches(port, remote):
            self._totals["own_sent"] += 1
            self.sent.append((port, remote, datagram))
        else:
            self._totals["own_send_error"] += 1

    def events(self) -> list[Event]:
        if self._events:
            os.eventfd_read(self._eventfd)
        events, self._events = self._events, []
        return events

    def counters(self) -> NDArray[np.void]:
        return self._counters

    def row(self, rule: int) -> np.void:
        found: np.void = self._counters[rule]
        return found

    def reports(self, rule: int) -> tuple[Reported, ...]:
        return self._reports[rule].told() if rule in self._reports else ()

    def totals(self) -> dict[str, int]:
        return {
            name: value + (int(self._counters[name].sum()) if name in SUMS else 0)
            for name, value in self._totals.items()
        }

    def peer(self, rule: int) -> Address | None:
        return self._rows[rule].peer() if rule in self._rows else None

    def beats(self) -> list[int]:
        self._beats += 1
        return [self._beats] * self.workers

    def stop(self) -> None:
        for port in list(self._ports):
            self.close(port)
        os.close(self._eventfd)

    def deliver(self, port: int, source: Address, datagram: bytes, now: float) -> list[Sent]:
        """A datagram arrives; returns what leaves because of it, in order."""
        at = self._ports[port]
        if not at.rules:
            self._totals["no_rule"] += 1
            return []
        if len(datagram) > LARGEST:
            self._count(at.rules[0], "malformed")
            return []
        kind = kind_of(datagram)
        if kind is Kind.STUN and any(self._rows[id].rule.stun for id in at.rules):
            return self._stun(at, Stun(port, source, datagram), now)
        chosen = self._choose(at.rules, source, now)
        if chosen is None:
            self._count(at.rules[0], "stranger")
            return []
        return self._receive(chosen, source, datagram, kind, now)

    def _stun(self, at: _Port, event: Stun, now: float) -> list[Sent]:
        """Answer a check that is no news, and let Python have all else."""
        for id in at.rules:
            rule, row = self._rows[id].rule, self._rows[id]
            if not rule.stun or rule.stun_keys is None or event.source not in rule.sources:
                continue
            answer = fake_stun.answer(rule.stun_keys, event.source, event.datagram)
            if answer is not None:
                self._counters[id]["last_check"] = round(now * 1e9)
                allowed = row.allowances[event.source].take(now)
                self._count(id, "stun_answered" if allowed else "stun_limited")
                return [(event.port, event.source, answer)] if allowed else []
        self._pass_up(at, event)
        return []

    def _put(self, rule: Rule) -> None:
        check(rule)
        if rule.port not in self._ports or rule.id not in self._life:
            raise ValueError(f"rule {rule.id} at port {rule.port}: one of them does not exist")
        before = self._rows.get(rule.id)
        moved_from = self._ports.get(before.rule.port) if before else None
        if moved_from is not None and moved_from.worker != self._ports[rule.port].worker:
            raise ValueError(f"rule {rule.id} belongs to worker {moved_from.worker}")
        self._give_keys(rule)
        latch = before.latch if before and before.rule.generation == rule.generation else Latch()
        if before and before.rule.described != rule.described:
            latch.reopen(elsewhere=before.rule.hint != rule.hint)
        latch.remote, latch.hint, latch.opaque, latch.window = (
            rule.remote,
            rule.hint,
            rule.opaque,
            self._window,
        )
        latch.authenticated = rule.keys is not None
        shared = self._ports[rule.port].rules
        if rule.id not in shared:
            if len(shared) >= MAX_OUTPUTS:
                raise ValueError(f"port {rule.port} has {MAX_OUTPUTS} rules already")
            self._unlink(rule.id)
            shared.append(rule.id)
        rtp = [(id, self._life.get(id, 0)) for id in rule.rtp]
        rtcp = [(id, self._life.get(id, 0)) for id in rule.rtcp]
        allowances = before.allowances if before else {}
        kept = {source: allowances.get(source, Allowance()) for source in rule.sources}
        sorter = Sorter()
        if before and before.rule.marks is not None and before.rule.generation == rule.generation:
            sorter = before.sorter
        track = before.track if before else Track()
        self._rows[rule.id] = _Row(rule, latch, rtp, rtcp, kept, sorter, track)
        if rule.marks is not None and (before is None or _mid(before.rule) != rule.marks.mid):
            leader = self._rows.get(rule.marks.leader)
            if leader is not None:
                leader.sorter.forget(rule.id)
        self._counters[rule.id]["state"] = latch.state

    def _give_keys(self, rule: Rule) -> None:
        """Keys belong to the worker of the first rule that names them."""
        if rule.keys is None:
            return
        if rule.keys not in self._keys:
            raise ValueError(f"rule {rule.id}: keys {rule.keys} are not open")
        keys, worker = self._keys[rule.keys], self._ports[rule.port].worker
        keys.worker = worker if keys.worker is None else keys.worker
        if keys.worker != worker:
            raise ValueError(f"rule {rule.id}: keys {rule.keys} belong to worker {keys.worker}, not {worker}")

    def _unlink(self, id: int) -> None:
        for port in self._ports.values():
            if id in port.rules:
                port.rules.remove(id)

    def _drop(self, id: int) -> None:
        if id not in self._life:
            raise ValueError(f"rule {id} was not allocated")
        del self._life[id]
        self._rows.pop(id, None)
        self._reports.pop(id, None)
        self._unlink(id)
        for name in SUMS:
            self._totals[name] += int(self._counters[id][name])
        self._counters[id] = np.zeros((), COUNTERS)
        self._free.append(id)

    def _choose(self, ids: list[int], source: Address, now: float) -> int | None:
        """The rule this source belongs to: signalled there, else its peer, else wanted most there."""
        for id in ids:
            self._watch(id, lambda latch: latch.expire(now))
        rows = [self._rows[id] for id in ids]
        for row in rows:
            if row.rule.learn is Learn.WINDOW and row.rule.remote == source:
                return row.rule.id
        for row in rows:
            if row.is_peer(source):
                return row.rule.id
        best = max(ids, key=lambda id: self._wish(self._rows[id], source))
        return best if self._wish(self._rows[best], source) else None

    def _wish(self, row: _Row, source: Address) -> int:
        """How much a rule wants a source that is not its peer: 0 not at all, above 8 at once."""
        rule, latch = row.rule, row.latch
        if rule.learn is not Learn.WINDOW or not latch.listens(source):
            return 0
        if latch.welcomes(source):
            return 8 + self._likelihood(rule, latch, source)
        if latch.state is State.LOCKED and not latch.authenticated:
            return 1
        return self._likelihood(rule, latch, source)

    @staticmethod
    def _likelihood(rule: Rule, latch: Latch, source: Address) -> int:
        return {3: 5, 2: 4 if source[0] == rule.hint else 3, 1: 2}[latch.rank(source)]

    def _receive(self, id: int, source: Address, datagram: bytes, kind: Kind, now: float) -> list[Sent]:
        row = self._rows[id]
        rule = row.rule
        if not rule.opaque and kind is Kind.STUN:
            self._count(id, "stun")
            return []
        if not rule.opaque and kind is Kind.UNKNOWN and not row.is_peer(source):
            self._count(id, "malformed")
            return []
        kind = Kind.UNKNOWN if rule.opaque else kind
        if row.secured:
            return self._receive_secured(id, source, datagram, kind, now)
        if not self._latch(id, source, datagram, kind, now):
            self._count(id, "stranger")
            return []
        return self._accept(id, datagram, datagram, kind, now)

    def _receive_secured(
        self, id: int, source: Address, datagram: bytes, kind: Kind, now: float
    ) -> list[Sent]:
        """Of a peer with SRTP, or soon with SRTP: without a valid tag, nothing is learnt or forwarded."""
        row = self._rows[id]
        if kind is Kind.DTLS and row.rule.dtls:
            keyed = row.rule.keys is not None
            if row.is_peer(source) if keyed else self._latch(id, source, datagram, kind, now):
                self._pass_up(self._ports[row.rule.port], Dtls(row.rule.port, source, datagram))
            else:
                self._count(id, "stranger")
        elif kind not in (Kind.RTP, Kind.RTCP):
            self._count(id, "malformed")
        else:
            owner, plain = self._open_packet(id, source, datagram, kind is Kind.RTCP)
            if isinstance(plain, bytes):
                self._latch(owner, source, datagram, kind, now)
                return self._accept(owner, datagram, plain, kind, now)
            self._count(id, plain.value)
        return []

    def _open_packet(
        self, id: int, source: Address, datagram: bytes, rtcp: bool
    ) -> tuple[int, bytes | Failure]:
        """The rule whose keys open it. A source that is nobody's peer may belong to any rule of the port."""
        first = self._rows[id]
        opened = self._unprotect(first.rule, datagram, rtcp)
        if isinstance(opened, bytes) or first.is_peer(source):
            return id, opened
        for other in self._ports[first.rule.port].rules:
            rule = self._rows[other].rule
            if other != id and rule.keys is not None and rule.learn is Learn.WINDOW:
                plain = self._unprotect(rule, datagram, rtcp)
                if isinstance(plain, bytes):
                    return other, plain
        return id, opened

    def _unprotect(self, rule: Rule, datagram: bytes, rtcp: bool) -> bytes | Failure:
        keys = None if rule.keys is None else self._keys.get(rule.keys)
        return Failure.AUTH if keys is None else keys.arriving.unprotect(datagram, rtcp)

    def _accept(self, id: int, datagram: bytes, plain: bytes, kind: Kind, now: float) -> list[Sent]:
        media = self._media_of(self._rows[id], plain, kind)
        if media is None:
            self._count(id, "no_media")
            return []
        id = media
        row, counters = self._rows[id], self._counters[id]
        rtcp = kind is Kind.RTCP
        self._count(id, "rtcp_packets" if rtcp else "rtp_packets")
        self._count(id, "rtcp_bytes" if rtcp else "rtp_bytes", len(datagram))
        counters["last_packet"] = round(now * 1e9)
        if kind is Kind.RTP:
            counters["ssrc"], counters["seq"] = _ssrc_and_seq(datagram)
            counters["payload_type"] = datagram[1] & 127
            self._track(id, datagram, now)
        if rtcp:
            self._hear_reports(row.rule, plain, now)
        return self._forward(id, row.rtcp if rtcp else row.rtp, plain, kind, now)

    def _hear_reports(self, rule: Rule, compound: bytes, now: float) -> None:
        """Each block is about a stream of this rule, or of one in its bundle."""
        leader = rule.marks.leader if rule.marks is not None else None
        at = [self._rows[id].rule for id in self._ports[rule.port].rules]
        bundle = [one.id for one in at if one.marks is not None and one.marks.leader == leader]
        for block in blocks(compound):
            for id in bundle or [rule.id]:
                if id in self._reports and self._reports[id].take(block, now):
                    break

    def _track(self, id: int, rtp: bytes, now: float) -> None:
        rule, track = self._rows[id].rule, self._rows[id].track
        ssrc, seq = _ssrc_and_seq(rtp)
        clock = rule.clock.rate if rule.clock and rtp[1] & 127 in rule.clock.payload_types else 0
        skipped = track.packet(ssrc, seq, int.from_bytes(rtp[4:8], "big"), clock, round(now * 1e9))
        if skipped:
            self._count(id, "rtp_skipped" if skipped > 0 else "rtp_late", abs(skipped))
        self._counters[id]["jitter"], self._counters[id]["clock"] = track.jitter, track.clock

    def _media_of(self, row: _Row, plain: bytes, kind: Kind) -> int | None:
        """The rule that counts and forwards: in a bundle, that of the packet's media."""
        if row.rule.marks is None:
            return row.rule.id
        leader = row.rule.marks.leader
        at = [self._rows[id].rule for id in self._ports[row.rule.port].rules]
        marks = {rule.id: rule.marks for rule in at if rule.marks is not None and rule.marks.leader == leader}
        if kind is Kind.RTP:
            return row.sorter.media_of(plain, leader, marks)
        if kind is not Kind.RTCP:
            return None
        return row.sorter.media_of_reports(plain, leader, marks, lambda ssrc: self._that_gets(marks, ssrc))

    def _that_gets(self, ids: Iterable[int], ssrc: int) -> int | None:
        """The media whose peer is sent this SSRC at the moment."""
        for id in ids:
            for output, life in self._rows[id].rtp[:1]:
                lives = output in self._rows and self._life.get(output) == life
                if lives and ssrc and self._counters[output]["ssrc"] == ssrc:
                    return id
        return None

    def _latch(self, id: int, source: Address, datagram: bytes, kind: Kind, now: float) -> bool:
        if source in self._rows[id].rule.sources:
            return True
        ssrc, seq = _ssrc_and_seq(datagram) if kind is Kind.RTP else (None, None)
        verdicts: list[Verdict] = []
        self._watch(id, lambda latch: verdicts.append(latch.packet(source, ssrc, seq, now)))
        return verdicts == [Verdict.ACCEPTED]

    def _forward(
        self, id: int, outputs: list[tuple[int, int]], datagram: bytes, kind: Kind, now: float
    ) -> list[Sent]:
        if not outputs:
            self._count(id, "no_output")
        sent: list[Sent] = []
        for output, life in outputs:
            row = self._rows.get(output)
            peer = row.peer() if row else None
            if row is None or peer is None or not self._takes_media(id, output, life):
                self._count(id, "no_peer")
            elif row.secured and kind not in (Kind.RTP, Kind.RTCP):
                self._count(id, "no_output")
            elif not self._reaches(row.rule.port, peer):
                self._count(id, "send_error")
            elif (plain := _readable(row.rule, datagram, kind)) is None:
                self._count(id, "feedback")
            elif (packet := self._seal(row, plain, kind)) is None:
                self._count(id, "send_error")
            else:
                self._count(output, "sent_packets")
                self._count(output, "sent_bytes", len(packet))
                if kind is Kind.RTCP:
                    self._reports.setdefault(output, Reports()).note_sent(datagram, now)
                sent.append((row.rule.port, peer, packet))
        return sent

    def _seal(self, row: _Row, datagram: bytes, kind: Kind) -> bytes | None:
        """What is sent to this rule's peer; None if it cannot be protected."""
        if row.rule.keys is None:
            return datagram
        keys = self._keys.get(row.rule.keys)
        return None if keys is None else keys.leaving.protect(datagram, kind is Kind.RTCP)

    def _takes_media(self, id: int, output: int, life: int) -> bool:
        """Whether the output has keys if it needs them, and an open port on our packet's thread."""
        row = self._rows[output]
        if self._life[output] != life or (row.secured and row.rule.keys is None):
            return False
        ours, other = (self._ports.get(self._rows[rule].rule.port) for rule in (id, output))
        return ours is not None and other is not None and ours.worker == other.worker

    def _reaches(self, port: int, remote: Address) -> bool:
        """A socket sends to its own address family only."""
        return (self._ports[port].sock.family == socket.AF_INET6) == (":" in remote[0])

    def _watch(self, id: int, change: Callable[[Latch], object]) -> None:
        """Let something happen to a latch, and tell when it settles."""
        latch = self._rows[id].latch
        before = latch.state, latch.peer
        change(latch)
        self._counters[id]["state"] = latch.state
        settled = latch.state is State.LOCKED and before != (latch.state, latch.peer)
        if settled and latch.peer is not None:
            self._report(Latched(id, latch.peer))

    def _pass_up(self, at: _Port, event: Stun | Dtls) -> None:
        if len(event.datagram) > UP_LIMIT:
            self._count(at.rules[0], "malformed")
        else:
            self._report(event)

    def _report(self, event: Event) -> None:
        self._events.append(event)
        os.eventfd_write(self._eventfd, 1)

    def _count(self, id: int, name: str, by: int = 1) -> None:
        self._counters[id][name] += np.uint64(by)


def _readable(rule: Rule, datagram: bytes, kind: Kind) -> bytes | None:
    """What a rule's peer understands of a datagram."""
    return without_feedback(datagram) if rule.plain_rtcp and kind is Kind.RTCP else datagram


def _ssrc_and_seq(rtp: bytes) -> tuple[int, int]:
    return int.from_bytes(rtp[8:12], "big"), int.from_bytes(rtp[2:4], "big")
