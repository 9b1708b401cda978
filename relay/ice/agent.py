"""A full ICE agent that only reacts (RFC 8445): the relay's end of one leg.

The relay is reachable, so it has nothing to find out: it answers checks, and
checks each source back once from which an authenticated request came. That
makes two grades of trust in a path:

            authenticated request               own check answered
    unknown --------------------> heard ------------------------------> answered
       |       Validated             |                 Usable              |
       |  own check answered         | nominated and answered: Selected    |
       +-----------------------------+-------------------------------------+

From a validated path media is received: the sender knows our password. Media is
sent on a selected path (before there is one, on a usable path). A request can be
replayed from anywhere, an answer to our own check cannot; therefore a request
alone never selects anything. A lite agent cannot check, and believes requests.

An ICE restart is a new agent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from relay.ice import stun
from relay.ice.check import RTO, Check
from relay.ice.credentials import Credentials
from relay.ice.stun import Address, Class, Message, StunError

MAX_PATHS = 32
"""Sources remembered; a client that roams all day has a handful."""
MAX_EARLY_PATHS = 8
"""Sources remembered while the answer, and with it the peer's password, is missing."""
PRIORITY = (110 << 24) + (65535 << 8) + 255
"""Of the peer-reflexive candidate that the peer would learn from our check (5.1.2.1)."""


class Path(NamedTuple):
    """Between one of our ports and one address of the peer."""

    port: int
    """Handle of the local port."""
    remote: Address


@dataclass(frozen=True, slots=True)
class Send:
    """Output: send this now."""

    path: Path
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Validated:
    """Output, once per path: media may be received here. See ``Agent.validated`` for all of them."""

    path: Path


@dataclass(frozen=True, slots=True)
class Usable:
    """Output, once per path: media may be sent here as long as nothing is selected for the port."""

    path: Path


@dataclass(frozen=True, slots=True)
class Selected:
    """Output: from now on, media of this port is sent here."""

    path: Path


@dataclass(frozen=True, slots=True)
class Refused:
    """Output: nothing was believed. ``reason`` is one of a few words, to count by."""

    reason: str


Output: TypeAlias = Send | Validated | Usable | Selected | Refused


@dataclass(slots=True)
class _State:
    """What is known about a path."""

    sender: str | None = None
    """The ufrag that the peer gave in an authenticated request from here."""
    answered: bool = False
    """A check of ours was."""
    nominated: bool = False
    """The peer asked for it, and was not given it yet."""
    check: Check | None = None


class Agent:
    """One generation of ICE on all ports of one media.

    ``tie_breaker`` (0 .. 2**64 - 1) decides role conflicts. ``random`` makes
    transaction ids.
    """

    def __init__(
        self,
        local: Credentials,
        controlling: bool,
        lite: bool = False,
        *,
        tie_breaker: int,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.local = local
        self.remote: Credentials | None = None
        self.controlling = controlling and not lite
        self.lite = lite
        self.selected: dict[int, Path] = {}
        """The selected path of each port."""
        self._tie_breaker = tie_breaker
        self._random = random
        self._paths: dict[Path, _State] = {}
        self._checks: dict[bytes, Path] = {}

    @property
    def validated(self) -> tuple[Path, ...]:
        """Where media may come from, oldest first; at most ``MAX_PATHS``."""
        return tuple(
            path for path, state in self._paths.items() if state.sender is not None or state.answered
        )

    def settled(self, port: int) -> tuple[Address, ...]:
        """Where a further request of this peer is only to be answered, unless it nominates another path.

        Nothing else depends on it, so that somebody else may answer it.
        """
        if self.remote is None or (self.controlling and port not in self.selected):
            return ()
        return tuple(
            path.remote
            for path, state in self._paths.items()
            if path.port == port
            and not state.nominated
            and (state.answered or (self.lite and state.sender is not None))
        )

    @property
    def deadline(self) -> float | None:
        """When to call ``timeout``."""
        return min((check.due for _, check in self._running()), default=None)

    def set_remote(self, remote: Credentials | None, now: float, lite: bool = False) -> list[Output]:
        """The peer's credentials came (in its answer, say). Towards a lite peer we are in control.

        Early requests of others, who got the same offer, are forgotten: see ``validated``.
        """
        self.remote = remote
        self._forget_others()
        if lite and not self.lite:
            self.controlling = True
        output: list[Output] = []
        for path, state in self._paths.items():
            if state.check is None and not state.answered:
                output += self._start(path, state, now)
        return output

    def _forget_others(self) -> None:
        for path, state in list(self._paths.items()):
            if self.remote is not None and state.sender not in (None, self.remote.ufrag):
                self._forget(path)

    def check(self, path: Path, now: float) -> list[Output]:
        """Checks a candidate that has not shown itself: a lite peer never does."""
        state = self._remember(path)
        return self._start(path, state, now) if state.check is None else []

    def received(self, path: Path, datagram: bytes, now: float) -> list[Output]:
        """A datagram came in that looks like STUN. Never raises."""
        try:
            message = stun.parse(datagram)
        except StunError as error:
            return [Refused(error.reason)]
        match message.type:
            case Class.REQUEST:
                return self._request(path, message, now)
            case Class.INDICATION:
                return []
            case _:
                return self._response(path, message, now)

    def timeout(self, now: float) -> list[Output]:
        """``deadline`` has come: repeats or gives up what is due."""
        output: list[Output] = []
        for path, check in list(self._running()):
            if check.due > now:
                continue
            datagram = check.repeat(now)
            if datagram is None:
                self._end(path)
            else:
                output.append(Send(path, datagram))
        return output

    def _request(self, path: Path, message: Message, now: float) -> list[Output]:
        if not self._is_for_us(message):
            return self._refuse(path, message, 401, "integrity")
        if message.unknown:
            return self._refuse(path, message, 420, "unknown attribute")
        if not self._role_agreed(message):
            return self._refuse(path, message, 487, "role conflict")
        answer = stun.success(message, path.remote, self.local.key)
        return [Send(path, answer), *self._heard(path, message, now)]

    def _is_for_us(self, message: Message) -> bool:
        username = message.username
        if username is None or username[0] != self.local.ufrag:
            return False
        if self.remote is not None and username[1] != self.remote.ufrag:
            return False
        return message.is_signed_with(self.local.key)

    def _refuse(self, path: Path, message: Message, code: int, reason: str) -> list[Output]:
        """An error response, unless it would be larger than what it answers."""
        answer = stun.failure(message, code, None if code == 401 else self.local.key)
        refused = Refused(reason)
        return [Send(path, answer), refused] if len(answer) <= message.length else [refused]

    def _role_agreed(self, message: Message) -> bool:
        """Settles a role conflict (7.3.1.1): we give in, or the peer has to."""
        claim = "ICE-CONTROLLING" if self.controlling else "ICE-CONTROLLED"
        theirs: int | None = message.attributes.get(claim)
        if theirs is None:
            return True
        if self.lite:
            return False
        we_control = self._tie_breaker >= theirs
        agreed = we_control != self.controlling
        self.controlling = we_control
        return agreed

    def _heard(self, path: Path, message: Message, now: float) -> list[Output]:
        """An authenticated request came from ``path``."""
        state = self._remember(path)
        output: list[Output] = [] if state.sender is not None or state.answered else [Validated(path)]
        state.sender = message.username[1] if message.username else None
        nominated = "USE-CANDIDATE" in message.attributes
        if self.lite:
            return output + (self._select(path) if nominated else [])
        if nominated and not self.controlling:
            if state.answered and path.port not in self.selected:
                return output + self._select(path)
            state.nominated = self.selected.get(path.port) != path
        wanted = self.controlling and path.port not in self.selected
        if state.check is None and (state.nominated or wanted or not state.answered):
            output += self._start(path, state, now)
        return output

    def _remember(self, path: Path) -> _State:
        """Adds a path if it is new; if there are too many, the least trusted and oldest one goes."""
        limit = MAX_EARLY_PATHS if self.remote is None else MAX_PATHS
        if path not in self._paths and len(self._paths) >= limit:
            self._forget(min(self._paths, key=self._trust))
        return self._paths.setdefault(path, _State())

    def _trust(self, path: Path) -> int:
        return 2 if self.selected.get(path.port) == path else int(self._paths[path].answered)

    def _forget(self, path: Path) -> None:
        self._end(path)
        del self._paths[path]
        if self.selected.get(path.port) == path:
            del self.selected[path.port]

    def _start(self, path: Path, state: _State, now: float) -> list[Output]:
        """A check on ``path``; as controlling agent one at a time nominates, on the first path that came."""
        if self.lite or self.remote is None:
            return []
        nominate = self.controlling and path.port not in self.selected and not self._is_nominating(path.port)
        return self._send(path, state, nominate, now)

    def _send(self, path: Path, state: _State, nominate: bool, now: float) -> list[Output]:
        assert self.remote is not None
        transaction = self._random(12)
        datagram = stun.request(
            transaction,
            f"{self.remote.ufrag}:{self.local.ufrag}",
            self.remote.key,
            PRIORITY,
            self._tie_breaker,
            self.controlling,
            nominate,
        )
        state.check = Check(transaction, datagram, nominate, self.controlling, now + RTO)
        self._checks[transaction] = path
        return [Send(path, datagram)]

    def _is_nominating(self, port: int) -> bool:
        return any(check.nominate for path, check in self._running() if path.port == port)

    def _running(self) -> list[tuple[Path, Check]]:
        return [(path, state.check) for path, state in self._paths.items() if state.check is not None]

    def _end(self, path: Path) -> Check | None:
        """The check on ``path`` is over."""
        state = self._paths[path]
        check, state.check = state.check, None
        if check is not None:
            del self._checks[check.transaction]
        return check

    def _response(self, path: Path, message: Message, now: float) -> list[Output]:
        """An answer counts if it comes from where the check went, signed by whom it was for."""
        if self._checks.get(message.transaction) != path:
            return [Refused("unknown transaction")]
        if self.remote is None or not message.is_signed_with(self.remote.key):
            return [Refused("integrity")]
        if message.unknown:
            return [Refused("unknown attribute")]
        check = self._end(path)
        assert check is not None
        state = self._paths[path]
        if message.type is Class.SUCCESS:
            return self._answered(path, state, check, now)
        if message.error != 487:
            return [Refused("check failed")]
        if check.controlling == self.controlling:
            self.controlling = not self.controlling
        return self._start(path, state, now)

    def _answered(self, path: Path, state: _State, check: Check, now: float) -> list[Output]:
        output: list[Output] = []
        if not state.answered:
            output = [Usable(path)] if state.sender is not None else [Validated(path), Usable(path)]
        state.answered = True
        if self.controlling and path.port not in self.selected:
            return output + (self._select(path) if check.nominate else self._send(path, state, True, now))
        if state.nominated and not self.controlling:
            state.nominated = False
            return output + self._select(path)
        return output

    def _select(self, path: Path) -> list[Output]:
        if self.selected.get(path.port) == path:
            return []
        self.selected[path.port] = path
        return [Selected(path)]
