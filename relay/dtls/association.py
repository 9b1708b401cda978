"""A DTLS association whose computing is done elsewhere, on any thread, one step after the other.

OpenSSL needs up to 0.4 ms for a flight, too long for a thread that has calls to
look after. So the owner writes down what happens as ``Step``s, has a ``Job``
run wherever it likes, and takes over what came out:

    put(step) --> waiting --job()--> Job --run(), on another thread--> finish(job) --> outputs
                     ^                                                     |
                     +--------- more came meanwhile: job() again ----------+

At most one job of an association is out, so steps are computed in order, and the
handshakes belong to the job's thread while it is. Nothing here knows threads:
run at once, a job gives the same outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Role, State
from relay.dtls.identity import Identity
from relay.dtls.peering import Output, Peering

MAX_WAITING = 16
"""Steps that wait while a job is out: the datagrams of two flights with the longest certificates."""

Where = tuple[int, tuple[str, int]]
"""A local port's handle, and the peer's address and port."""


@dataclass(frozen=True, slots=True)
class Step:
    """There is a path, or a datagram came from there, or the deadline has come."""

    now: float
    at: Where
    datagram: bytes | None = None
    earned: float = 0.0
    """Bytes that may go there beyond three times what came: see ``Handshake``."""


@dataclass(eq=False, slots=True)
class Job:
    """What one association has to compute. ``outputs`` is for its owner, once ``run`` has returned."""

    call_id: str
    association: Association
    steps: Sequence[Step]
    optional: bool
    """It begins a handshake for somebody who will ask again: not needed when there is much to do."""
    outputs: list[tuple[Where, Output]] = field(default_factory=list)

    def run(self) -> None:
        """Compute. On any thread, but on one only."""
        peering = self.association.peering
        for step in self.steps:
            found = peering.advance(step.now, step.datagram, step.earned)
            self.outputs.extend((step.at, output) for output in found)


class Association:
    """With the peer of one component. All of it but ``peering`` belongs to the owner's thread."""

    def __init__(self, identity: Identity, role: Role, expected: Sequence[Fingerprint]) -> None:
        self.role = role
        self.peering = Peering(identity, role, expected)
        """Not to be touched while a job is out."""
        self.state = State.IDLE
        """As of the last job that was finished."""
        self.at: Where | None = None
        """Where the peer was last."""
        self.holds_back = False
        """A flight waits until its receiver has earned it, as of the last job that was finished."""
        self._deadline: float | None = None
        self._waiting: list[Step] = []
        self._out: Job | None = None

    @property
    def deadline(self) -> float | None:
        """When a step is due, unless something is received before. None while a job is out."""
        return self._deadline if self._out is None else None

    def put(self, step: Step) -> bool:
        """False if too much waits already: the step is dropped, as a network would."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self.at = step.at
        self._waiting.append(step)
        return True

    def job(self, call_id: str) -> Job | None:
        """All that waits, to be run; None if nothing does, or a job is out."""
        if self._out is not None or not self._waiting:
            return None
        begins = self.role is Role.PASSIVE and self.state is not State.SHAKING
        optional = begins and all(step.datagram is not None for step in self._waiting)
        self._out = Job(call_id, self, self._waiting, optional)
        self._waiting = []
        return self._out

    def forget(self, job: Job) -> None:
        """Nobody will run this job: its steps are lost."""
        assert self._out is job
        self._out = None

    def finish(self, job: Job) -> list[tuple[Where, Output]]:
        """The job has run. Returns what came out, and where to it goes."""
        assert self._out is job
        self._out = None
        self.state, self._deadline = self.peering.state, self.peering.deadline
        self.holds_back = self.peering.holds_back
        return job.outputs
