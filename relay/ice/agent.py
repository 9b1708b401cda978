"""A full ICE agent that only reacts (RFC 8445): the relay's end of one leg.

The relay is reachable, so it has little to find out: it answers checks, and
checks each source back once from which an authenticated request came. Other
candidates are checked only where somebody asks for it (``check``). That makes
two grades of trust in a path:

            authenticated request               own check answered
    unknown --------------------> heard ------------------------------> answered
       |       Validated             |                 Usable              |
       |  own check answered         | nominated and answered: Selected    |
       +-----------------------------+-------------------------------------+

    selected --- 30 s without a sign of the peer: ConsentLost ---> heard

From a validated path media is received: the sender knows our password. Media is
sent on a selected path (before there is one, on a usable path). A request can be
replayed from anywhere, an answer to our own check cannot; therefore a request
alone never selects anything. A lite agent cannot check, and believes requests
the first time that it sees them.

A controlling peer moves by nominating another path; the latest nomination wins.
A controlled peer cannot say that it moved. When a source is new and the selected
path was silent, both are checked, and the first answer wins: a peer that only
has a second interface answers on both. After a move both paths are received
from for a while, then only those on which the peer still checks.

An ICE restart is a new agent.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable

from relay.ice import stun
from relay.ice.check import PATIENT, RTO, UNLIKELY, Check
from relay.ice.consent import Consent
from relay.ice.credentials import Credentials
from relay.ice.grade import grade
from relay.ice.limit import Limit
from relay.ice.outputs import (
    ConsentLost,
    Forgotten,
    Output,
    Path,
    Refused,
    Selected,
    Send,
    Usable,
    Validated,
)
from relay.ice.pace import Pace
from relay.ice.path_state import PathState
from relay.ice.stun import Address, Class, Message, StunError

MAX_PATHS = 32
"""Sources remembered; a client that roams all day has a handful."""
MAX_EARLY_PATHS = 8
"""Sources remembered while the answer, and with it the peer's password, is missing."""
PRIORITY = (110 << 24) + (65535 << 8) + 255
"""Of the peer-reflexive candidate that the peer would learn from our check (5.1.2.1)."""
TOGETHER = 0.1
"""Seconds in which nominations are those of one aggressive peer, and its priorities decide (RFC 5245)."""
DETOUR = 1.0
"""Seconds for which a nominated path is preferred to one by a TURN server.

An aggressive peer nominates all that answers, with one priority for all, and sends media on the first.
"""
OVERLAP = 2.0
"""Seconds after a move in which the path of before is received from: media is still on its way."""
SILENT = 0.06
"""Seconds without a sign of the peer that make a new source a move: three packets of audio."""
LONG_SILENT = 1.0
"""The same for a source that was known: peers check their spare paths now and then."""
PROVEN = 1.0
"""Seconds for which an answered check speaks for a path: a browser nominates after it was answered too."""
MAX_TRANSACTIONS = 64
"""Requests remembered to know a replay: some minutes of checks. An older one has to be answered like any."""
PACKET_HEADERS = 28
"""Octets of IPv4 and UDP."""


class Agent:
    """One generation of ICE on all ports of one media.

    ``tie_breaker`` (0 .. 2**64 - 1) decides role conflicts. ``random`` makes
    transaction ids, and spreads the times of consent checks.
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
        self.turned: frozenset[Address] = frozenset()
        """Where the peer's candidates of type relay are."""
        self._tie_breaker = tie_breaker
        self._random = random
        self._paths: dict[Path, PathState] = {}
        self._checks: dict[bytes, Path] = {}
        self._pace: Pace[Path] = Pace()
        self._moved: dict[int, float] = {}
        """When the peer moved, by port, while the path of before is still received from."""
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._answers = Limit()
        self._refusals = Limit()

    @property
    def validated(self) -> tuple[Path, ...]:
        """Where media may come from, oldest first; at most ``MAX_PATHS``."""
        return tuple(path for path, state in self._paths.items() if state.valid)

    def pairs(self) -> list[tuple[Path, str]]:
        """Every path, and what it has come to in a word: see ``relay.ice.grade``."""
        live, paths = self.selected.values(), self._paths.items()
        return [(path, grade(state, path in live, path in self._pace)) for path, state in paths]

    def settled(self, port: int) -> tuple[Address, ...]:
        """Where a further request of this peer only wants an answer: the selected path, if nothing is open.

        Nothing else depends on it, so that somebody else may answer it. Whoever
        does says so by ``alive``, for it renews consent.
        """
        path = self.selected.get(port)
        state = self._paths.get(path) if path is not None else None
        if self.remote is None or path is None or state is None or state.nominated:
            return ()
        return (path.remote,) if state.answered or (self.lite and state.sender is not None) else ()

    def has_answered(self, path: Path) -> bool:
        """A check of ours was answered from there, so whoever was there is reached there."""
        return path in self._paths and self._paths[path].answered

    def exchanged(self, path: Path) -> tuple[int, int]:
        """Octets, with headers, of authenticated requests from there, and of our answers to them."""
        state = self._paths.get(path)
        return (state.octets_in, state.octets_out) if state is not None else (0, 0)

    @property
    def round_trip(self) -> float | None:
        """Seconds to the peer and back, on a selected path; None: that was never timed."""
        trips = (self._paths[path].trip.seconds for path in self.selected.values())
        return next((trip for trip in trips if trip is not None), None)

    @property
    def deadline(self) -> float | None:
        """When to call ``timeout``."""
        times = [check.due for _, check in self._running()]
        times += [moved + OVERLAP for moved in self._moved.values()]
        times += [consent.deadline for _, _, consent in self._consents()]
        if self._pace.deadline is not None:
            times.append(self._pace.deadline)
        return min(times, default=None)

    def set_remote(self, remote: Credentials | None, now: float, lite: bool = False) -> list[Output]:
        """The peer's credentials came (in its answer, say). Towards a lite peer we are in control.

        Early requests of others, who got the same offer, are forgotten: see ``validated``.
        """
        self.remote = remote
        self._forget_others()
        if lite and not self.lite:
            self.controlling = True
        return self.resume(now)

    def resume(self, now: float) -> list[Output]:
        """Checks once more what is unanswered: only now does the peer open its NAT or TURN server for us."""
        output: list[Output] = []
        for path, state in list(self._paths.items()):
            if state.check is None and not state.answered:
                output += self._start(path, state, now)
            elif state.check is not None and state.check.since < now:
                output.append(Send(path, state.check.again(now)))
        return output

    def _forget_others(self) -> None:
        for path, state in list(self._paths.items()):
            if self.remote is not None and state.sender not in (None, self.remote.ufrag):
                self._forget(path)

    def check(self, path: Path, now: float) -> list[Output]:
        """Checks a candidate that has not shown itself: a lite peer never does."""
        state = self._remember(path)
        return self._start(path, state, now) if state.check is None else []

    def alive(self, path: Path, now: float) -> list[Output]:
        """Media that came from here just now is a sign of the peer: consent goes on.

        Nobody has to say so; it saves checks, and keeps a peer that answers none. Moves do not depend on it.
        """
        state = self._paths.get(path)
        if state is None or not state.valid:
            return []
        if state.consent is not None:
            state.consent.renew(now)
        return self._start(path, state, now) if state.lost and state.check is None else []

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
        """``deadline`` has come: does what is due."""
        output: list[Output] = []
        for path, check in list(self._running()):
            if check.due <= now and self._paths[path].check is check:
                output += self._repeat(path, check, now)
        for path, state, consent in list(self._consents()):
            output += self._keep_consent(path, state, consent, now)
        for port, moved in list(self._moved.items()):
            if moved + OVERLAP <= now:
                output += self._finish_move(port, moved)
        return output + self._take_turns(now)

    # Requests of the peer.

    def _request(self, path: Path, message: Message, now: float) -> list[Output]:
        if not self._answers.allows(path.remote, now):
            return [Refused("too many")]
        if not self._is_for_us(message):
            return self._refuse(path, message, 401, "integrity", now)
        if message.unknown:
            return self._refuse(path, message, 420, "unknown attribute", now)
        if not self._role_agreed(message):
            return self._refuse(path, message, 487, "role conflict", now)
        answer = stun.success(message, path.remote, self.local.key)
        output = [Send(path, answer), *self._heard(path, message, now)]
        self._paths[path].octets_out += len(answer) + PACKET_HEADERS
        return output

    def _is_for_us(self, message: Message) -> bool:
        username = message.username
        if username is None or username[0] != self.local.ufrag:
            return False
        if self.remote is not None and username[1] != self.remote.ufrag:
            return False
        return message.is_signed_with(self.local.key)

    def _refuse(self, path: Path, message: Message, code: int, reason: str, now: float) -> list[Output]:
        """An error response, unless it is larger than what it answers, or strangers got many already."""
        answer = stun.failure(message, code, None if code == 401 else self.local.key)
        refused = Refused(reason)
        if len(answer) > message.length or (code == 401 and not self._refusals.allows(None, now)):
            return [refused]
        return [Send(path, answer), refused]

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
        output: list[Output] = [] if state.valid else [Validated(path)]
        if state.sender is None and state.check is not None:
            # Sent before the peer's NAT let it in; the next repeat may be far.
            output.append(Send(path, state.check.again(now)))
        state.sender = message.username[1] if message.username else None
        if self._is_new(message):
            state.heard = now
            state.octets_in += message.length + PACKET_HEADERS
            self._is_alive(path, state, now)
            self._hasten(path, state)
            if "USE-CANDIDATE" in message.attributes and not self.controlling:
                return output + self._nominated(path, state, message, now)
            output += self._race(path, state, now)
        return output + self._check_back(path, state, now)

    def _is_new(self, message: Message) -> bool:
        """Not a repeat, nor a replay, of a request that was heeded already."""
        if message.transaction in self._seen:
            return False
        self._seen[message.transaction] = None
        if len(self._seen) > MAX_TRANSACTIONS:
            self._seen.popitem(last=False)
        return True

    def _is_alive(self, path: Path, state: PathState, now: float) -> None:
        """The peer spoke STUN: if this is the selected path, others need not take over."""
        if state.consent is not None:
            state.consent.renew(now)
        if self.selected.get(path.port) == path:
            for other, rival in self._paths.items():
                rival.racing = rival.racing and other.port != path.port

    def _hasten(self, path: Path, state: PathState) -> None:
        """The peer is there: a check that was lost several times begins anew (7.3.1.4)."""
        if state.check is not None and state.check.sends >= UNLIKELY and self.selected.get(path.port) != path:
            self._end(path)

    def _nominated(self, path: Path, state: PathState, message: Message, now: float) -> list[Output]:
        """The controlling peer wants media here: once a check of ours is answered, for it may be a replay."""
        if self.selected.get(path.port) == path:
            return []
        state.nominated, state.nominated_at = True, now
        state.priority = message.attributes.get("PRIORITY", 0)
        proven = state.answered and (path.port not in self.selected or now - state.answered_at < PROVEN)
        if self.lite or proven:
            return self._grant(path, state, now)
        return self._check_back(path, state, now)

    def _grant(self, path: Path, state: PathState, now: float) -> list[Output]:
        """The latest nomination wins; of those that came together, the one with the highest priority."""
        state.nominated = False
        current = self.selected.get(path.port)
        if current is not None:
            other = self._paths[current]
            if self._is_detour(path, current, state.nominated_at - other.nominated_at):
                wins = False
            elif abs(state.nominated_at - other.nominated_at) < TOGETHER:
                wins = state.priority >= other.priority
            else:
                wins = state.nominated_at > other.nominated_at
            if not wins:
                return []
        return self._select(path, state, now)

    def _is_detour(self, path: Path, current: Path, after: float) -> bool:
        """``after``: seconds from the nomination of ``current`` to that of ``path``."""
        return path.remote in self.turned and current.remote not in self.turned and 0 <= after < DETOUR

    def _race(self, path: Path, state: PathState, now: float) -> list[Output]:
        """As controlling agent: has the peer moved here? If the selected path is silent, both are checked."""
        current = self.selected.get(path.port)
        if not self.controlling or current in (None, path):
            return []
        assert current is not None
        other = self._paths[current]
        silence = now - max(other.heard, other.answered_at)
        if silence < (LONG_SILENT if state.raced else SILENT):
            return []
        if not state.raced:
            state.raced = state.racing = True
        elif state.answered and state.check is None:
            self._pace.add(path, triggered=True)
        return self._send(current, other, False, now) if other.check is None else []

    def _check_back(self, path: Path, state: PathState, now: float) -> list[Output]:
        wanted = self.controlling and path.port not in self.selected
        nominated = state.nominated and not self.controlling
        if state.check is None and (nominated or wanted or state.racing or state.lost or not state.answered):
            return self._start(path, state, now)
        return self._take_turns(now)

    # Paths.

    def _remember(self, path: Path) -> PathState:
        """Adds a path if it is new; if there are too many, the least trusted and oldest one goes."""
        limit = MAX_EARLY_PATHS if self.remote is None else MAX_PATHS
        if path not in self._paths and len(self._paths) >= limit:
            self._forget(min(self._paths, key=self._trust))
        return self._paths.setdefault(path, PathState())

    def _trust(self, path: Path) -> int:
        return 2 if self.selected.get(path.port) == path else int(self._paths[path].answered)

    def _forget(self, path: Path) -> None:
        self._end(path)
        self._pace.remove(path)
        del self._paths[path]
        if self.selected.get(path.port) == path:
            del self.selected[path.port]
            self._moved.pop(path.port, None)

    def _select(self, path: Path, state: PathState, now: float) -> list[Output]:
        before = self.selected.get(path.port)
        if before == path:
            return []
        if before is not None:
            self._paths[before].consent = None
        if before is not None or self._has_lost(path.port):
            self._moved[path.port] = now
        self.selected[path.port] = path
        state.lost = state.racing = False
        state.consent = Consent(now)
        state.consent.plan(now, self._chance())
        return [Selected(path)]

    def _has_lost(self, port: int) -> bool:
        return any(state.lost for path, state in self._paths.items() if path.port == port)

    def _finish_move(self, port: int, moved: float) -> list[Output]:
        """Only the new path and those on which the peer still checks are received from."""
        del self._moved[port]
        left = [
            path
            for path, state in self._paths.items()
            if path.port == port and path != self.selected[port] and state.heard <= moved
        ]
        for path in left:
            self._forget(path)
        return [Forgotten(path) for path in left]

    # Consent.

    def _consents(self) -> list[tuple[Path, PathState, Consent]]:
        """Of the selected paths, where there is somebody to ask."""
        if self.lite or self.remote is None:
            return []
        found = [(path, self._paths[path]) for path in self.selected.values()]
        return [(path, state, state.consent) for path, state in found if state.consent is not None]

    def _keep_consent(self, path: Path, state: PathState, consent: Consent, now: float) -> list[Output]:
        if consent.is_over(now):
            self._end(path)
            del self.selected[path.port]
            self._moved.pop(path.port, None)
            state.consent, state.lost = None, True
            return [ConsentLost(path)]
        if consent.deadline > now:
            return []
        asked, untimed = consent.is_asked_for(now), state.trip.seconds is None
        consent.plan(now, self._chance())
        if state.check is not None or not (asked or untimed):
            return []
        return self._send(path, state, False, now, RTO if asked else PATIENT)

    def _chance(self) -> float:
        return int.from_bytes(self._random(2), "big") / 0xFFFF

    # Checks of ours.

    def _start(self, path: Path, state: PathState, now: float) -> list[Output]:
        """A check on ``path`` when it is its turn; a path that the peer may have moved to comes first."""
        if self.lite or self.remote is None:
            return []
        self._pace.add(path, state.nominated or state.racing, triggered=state.sender is not None)
        return self._take_turns(now)

    def _take_turns(self, now: float) -> list[Output]:
        path = self._pace.take(now)
        if path is None:
            return []
        return self._send(path, self._paths[path], self._nominates(path.port), now)

    def _nominates(self, port: int) -> bool:
        """As controlling agent one check at a time nominates, on the first path that came."""
        nominating = any(check.nominate for path, check in self._running() if path.port == port)
        return self.controlling and port not in self.selected and not nominating

    def _send(
        self, path: Path, state: PathState, nominate: bool, now: float, rto: float = RTO
    ) -> list[Output]:
        if self.remote is None:
            return []
        self._pace.remove(path)
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
        self._end(path)
        state.check = Check(transaction, datagram, nominate, self.controlling, now, rto)
        self._checks[transaction] = path
        return [Send(path, datagram)]

    def _repeat(self, path: Path, check: Check, now: float) -> list[Output]:
        needless = path.port in self.selected and not self._paths[path].valid
        datagram = None if needless else check.repeat(now)
        if datagram is None:
            self._end(path)
            return []
        output: list[Output] = [Send(path, datagram)]
        rival = self._rival(path, check)
        return output + self._move(rival, now) if rival is not None else output

    def _rival(self, path: Path, check: Check) -> Path | None:
        """Another path that answered while the selected one seems dead; a controlled agent waits."""
        if not self.controlling or self.selected.get(path.port) != path or check.sends < UNLIKELY:
            return None
        others = [other for other in self._paths if other.port == path.port and other != path]
        latest = max(others, key=lambda other: self._paths[other].answered_at, default=None)
        return latest if latest and self._paths[latest].answered_at >= check.since else None

    def _running(self) -> list[tuple[Path, Check]]:
        return [(path, state.check) for path, state in self._paths.items() if state.check is not None]

    def _end(self, path: Path) -> Check | None:
        """The check on ``path`` is over."""
        state = self._paths[path]
        check, state.check = state.check, None
        if check is not None:
            del self._checks[check.transaction]
        return check

    # Answers to them.

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
        return self._send(path, state, self._nominates(path.port), now)

    def _answered(self, path: Path, state: PathState, check: Check, now: float) -> list[Output]:
        output: list[Output] = []
        if not state.answered:
            output = [Usable(path)] if state.valid else [Validated(path), Usable(path)]
        state.answered, state.answered_at = True, now
        if check.once:
            state.trip.took(now - check.since)
        self._is_alive(path, state, now)
        if self.controlling:
            return output + self._decide(path, state, check, now)
        if state.nominated:
            return output + self._grant(path, state, now)
        if state.lost and path.port not in self.selected:
            return output + self._select(path, state, now)
        return output

    def _decide(self, path: Path, state: PathState, check: Check, now: float) -> list[Output]:
        """As controlling agent: whether media is sent on the path that answered."""
        current = self.selected.get(path.port)
        if current is None:
            if check.nominate:
                return self._select(path, state, now)
            return self._send(path, state, True, now)
        if current != path and (state.racing or self._is_dead(current)):
            return self._move(path, now)
        return []

    def _is_dead(self, path: Path) -> bool:
        check = self._paths[path].check
        return check is not None and check.sends >= UNLIKELY

    def _move(self, path: Path, now: float) -> list[Output]:
        """Send on another path at once, and tell the peer."""
        state = self._paths[path]
        return self._select(path, state, now) + self._send(path, state, True, now)
