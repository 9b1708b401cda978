"""Latching: learn where a peer is from where its media arrives (RFC 7362, section 4).

A peer behind a NAT announces an address that does not reach it. Its first
packets show the one that does. This module decides which source to trust. It
is the specification: the native plane does the same and is compared with it on
random packets. ``now`` is seconds on any monotonic clock.

    rank of a source: 3  the signalled address itself
                      2  the same host as the signalled address or as the signalling
                      1  anybody else

               first packet             5 consistent packets, or rank 3,
               (window opens)           or rank 2 and the window is over
    WAITING ------------------> LATCHED ---------------------------------> LOCKED
                                 |   ^                                  this source, or one
                                 +---+                                  of a higher rank
                     a higher rank, or the same rank
                     with 5 consistent packets first

"Consistent" is one SSRC with sequence numbers that go up by 1 .. 10: a stray or
forged packet has no such company, so it does not capture a stream, not even
one whose phone stays silent at first. A stranger never takes over a LOCKED one.
Who is likelier than the peer is no stranger: what locked before the signalled
address, or a host that signalling knows, was another phone on the same port, or
somebody who was quicker.

A peer behind a NAT gets another port there after a pause, and none of its
descriptions says so. Two things help it, and no stranger:

- It goes on with its SSRC: 5 consistent packets of the SSRC that was accepted
  last, from the host of the peer, move a LOCKED one. Nobody else knows it.
- It describes itself again (hold and resume, an answer after early media):
  ``Latch.reopen``. For three windows from the next packet on, a source of the
  same rank may take over with 5 consistent packets between which the peer is
  silent, and so may any at the peer's host. One of rank 1 at another host may
  only if the signalling comes from elsewhere now: it is a stranger otherwise.

With SRTP that ends here, only packets with a valid authentication tag, and none
of them twice, come this far (``Latch.authenticated``). Then there are no
strangers, only a peer that moves, and rank and window mean nothing:

               first packet               two in a row from another source
    WAITING, LATCHED --------> LOCKED ---------------------------------> LOCKED

Every packet is accepted; what is learnt is where to send to. Two, as one may
have been held back by somebody who saw it and sent it from elsewhere, or have
been on its way when the peer moved. In a row: none from the peer in between.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

Address = tuple[str, int]

WINDOW = 1.0
"""Seconds in which a better source may still take over: the phone's own packets come every 20 ms,
and after a second of speech a change would be heard."""

PROOF = 5
"""Consistent packets that settle it: 100 ms of audio, and five guesses no blind sender gets right."""

REOPENED = 3
"""Windows in which a peer that has described itself again may be found elsewhere: early media from one
device, then the phone's own, after it has been answered."""

STEP = 10
"""Sequence numbers that may be missing in a consistent run: a burst of loss of 200 ms."""


class State(enum.IntEnum):
    """How sure we are of the peer."""

    WAITING = 0
    LATCHED = 1
    LOCKED = 2


class Opened(enum.IntEnum):
    """Who may take over from a peer that had locked, and has described itself again."""

    NOT = 0
    FOR_HOST = 1
    """Who is at the peer's host, and who is as likely, unless his rank is 1."""
    FOR_ALL = 2
    """Those, and who is as likely."""


class Verdict(enum.IntEnum):
    """What becomes of the packet."""

    STRANGER = 0
    ACCEPTED = 1


@dataclass(slots=True)
class Run:
    """Length of the latest run of consistent packets of one source."""

    length: int = 0
    ssrc: int = 0
    seq: int = 0

    def add(self, ssrc: int, seq: int) -> None:
        """One more RTP packet; ``seq`` is 0 .. 65535 and wraps."""
        follows = self.length > 0 and ssrc == self.ssrc and 1 <= (seq - self.seq) & 0xFFFF <= STEP
        self.length = self.length + 1 if follows else 1
        self.ssrc, self.seq = ssrc, seq


@dataclass(slots=True)
class Latch:
    """Trusts one source for one stream.

    >>> latch = Latch(remote=("192.0.2.7", 4000))
    >>> latch.packet(("203.0.113.9", 7000), ssrc=1, seq=10, now=0.0)
    <Verdict.ACCEPTED: 1>
    >>> latch.packet(("192.0.2.7", 4000), ssrc=2, seq=77, now=0.1)
    <Verdict.ACCEPTED: 1>
    >>> latch.packet(("203.0.113.9", 7000), ssrc=1, seq=11, now=0.2)
    <Verdict.STRANGER: 0>
    >>> latch.state, latch.peer
    (<State.LOCKED: 2>, ('192.0.2.7', 4000))
    """

    remote: Address | None = None
    hint: str | None = None
    opaque: bool = False
    """Not RTP: every packet counts as consistent."""
    authenticated: bool = False
    """Every packet that comes here carried a valid tag, and is no replay."""
    window: float = WINDOW
    state: State = field(default=State.WAITING, init=False)
    peer: Address | None = field(default=None, init=False)
    opened: Opened = field(default=Opened.NOT, init=False)
    _ssrc: int | None = field(default=None, init=False)
    """Of the RTP that was accepted last."""
    _until: float | None = field(default=None, init=False)
    """None: the window opens with the next packet."""
    _run: Run = field(default_factory=Run, init=False)
    _challenger: Address | None = field(default=None, init=False)
    _challenge: Run = field(default_factory=Run, init=False)

    def rank(self, source: Address) -> int:
        """How likely this is the peer, 1 .. 3."""
        if source == self.remote:
            return 3
        host = source[0]
        return 2 if host == self.hint or (self.remote is not None and host == self.remote[0]) else 1

    def welcomes(self, source: Address) -> bool:
        """Whether a packet from this source, which is not the peer, would make it the peer at once."""
        if self.peer is None:
            return True
        if self.authenticated:
            return self.state is not State.LOCKED
        return self.rank(source) > self.rank(self.peer)

    def listens(self, source: Address) -> bool:
        """Whether a packet from this source, which is not the peer, counts as evidence."""
        if self.peer is None or self.authenticated:
            return True
        ours, theirs = self.rank(source), self.rank(self.peer)
        if ours > theirs or (source[0] == self.peer[0] and (self.state is State.LOCKED or self.opened)):
            return True
        if self.state is State.LOCKED or ours < theirs:
            return False
        return ours > 1 or self.opened is not Opened.FOR_HOST

    def reopen(self, elsewhere: bool) -> None:
        """The peer has described itself again, or its signalling comes from ``elsewhere`` now."""
        if self.authenticated or self.state is State.WAITING:
            return
        if self.state is State.LOCKED or self.opened:
            wide = elsewhere or self.opened is Opened.FOR_ALL
            self.state, self.opened, self._until = State.LATCHED, Opened(1 + wide), None
            self._challenger, self._challenge = None, Run()

    def expire(self, now: float) -> None:
        """Lock a likely peer when the window is over; anybody else has to prove himself."""
        if self.state is not State.LATCHED or self._until is None or now < self._until:
            return
        if self.opened or (self.peer and self.rank(self.peer) > 1):
            self._lock()

    def packet(self, source: Address, ssrc: int | None, seq: int | None, now: float) -> Verdict:
        """A packet that looks like media arrived.

        ``ssrc`` and ``seq`` are None if it has none (RTCP, DTLS): it is judged
        by its source, and neither lengthens nor breaks a run.
        """
        self.expire(now)
        if self.authenticated:
            self._follow(source)
            return Verdict.ACCEPTED
        verdict = self._judge(source, ssrc, seq, now)
        if verdict is Verdict.ACCEPTED and ssrc is not None:
            self._ssrc = ssrc
        return verdict

    def _judge(self, source: Address, ssrc: int | None, seq: int | None, now: float) -> Verdict:
        if source == self.peer:
            if self.state is State.LOCKED:
                return Verdict.ACCEPTED
            self._hear_peer(ssrc, seq, now)
        elif self.welcomes(source):
            if self.state is State.WAITING or self._until is None:
                self._until = now + self.window
            self._adopt(source, Run())
            self._count(self._run, ssrc, seq)
        elif not self._proves_itself(source, ssrc, seq, now):
            return Verdict.STRANGER
        self.state = State.LATCHED
        if self.rank(source) == 3 or (self._run.length >= PROOF and not self.opened):
            self._lock()
        return Verdict.ACCEPTED

    def _hear_peer(self, ssrc: int | None, seq: int | None, now: float) -> None:
        if self.opened:
            self._open(now)
            self._challenger, self._challenge = None, Run()
        self._count(self._run, ssrc, seq)

    def _open(self, now: float) -> None:
        """The first packet since the peer has described itself again."""
        if self._until is None:
            self._until = now + REOPENED * self.window

    def _lock(self) -> None:
        self.state, self.opened = State.LOCKED, Opened.NOT

    def _follow(self, source: Address) -> None:
        """A packet that nobody but the peer can have made came from here."""
        if source in (self.peer, self._challenger) or self.state is not State.LOCKED:
            self._adopt(source, Run())
            self.state = State.LOCKED
        else:
            self._challenger = source

    def _proves_itself(self, source: Address, ssrc: int | None, seq: int | None, now: float) -> bool:
        """Count the packet of a source no better than the peer; it wins with PROOF consistent ones.

        Only the latest such source is remembered: that bounds the memory.
        """
        if not self.listens(source):
            return False
        if self.state is State.LOCKED and (ssrc is None or ssrc != self._ssrc):
            return False
        if self.opened:
            self._open(now)
        if source != self._challenger:
            self._challenger, self._challenge = source, Run()
        self._count(self._challenge, ssrc, seq)
        if self._challenge.length < PROOF:
            return False
        self._adopt(source, self._challenge)
        return True

    def _adopt(self, source: Address, run: Run) -> None:
        self.peer, self._run, self.opened = source, run, Opened.NOT
        self._challenger, self._challenge = None, Run()

    def _count(self, run: Run, ssrc: int | None, seq: int | None) -> None:
        if self.opaque:
            run.length += 1
        elif ssrc is not None and seq is not None:
            run.add(ssrc, seq)
