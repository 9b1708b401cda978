"""Candidates that come after the description: trickle ICE by fragments (RFC 8838, RFC 8840).

                  its media is described
    fragment ------------------------------------> added to the media of its sender
        |                                               ^
        | the description is still to come              | it comes
        +---------------------------------> waiting ----+
                                               |
                                               +-- 10 s, or no room: dropped, counted

Checks show us where a peer is, so its candidates change nothing for media. Only
a lite peer never checks: there the candidates are checked by us. Where the peers
check each other through us, they need them and we do not: see ``passing_on``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from relay.calls import leg_ice
from relay.calls.distrust import Distrust
from relay.calls.state import Call, Leg, Media, MediaIce
from relay.ice.outputs import Output
from sdp.candidate import Candidate
from sdp.fragment import Fragment, Part
from sdp.values import valueclass

WAIT = 10.0
"""Seconds until a description that was overtaken by its fragments is not coming any more."""
MAX_WAITING = 32
"""Fragments of one call: browsers gather a dozen candidates, and there are two parties."""
MAX_LENGTH = 65_536
"""Characters of one call that wait."""
MAX_CALLS = 256
"""Calls with fragments that wait."""

REASONS = ("ufrag", "no such media", "after the end", "too many", "malformed", "expired", "no room")
"""Why something is left out; ``docs/operator.md`` explains them."""

Where = tuple[int, str, str, int]
"""Component, transport, address and port."""
Checks = list[tuple[Media, list[Output]]]
"""What ICE agents want done."""


@valueclass
class _Early:
    tag: str
    fragment: Fragment
    until: float


@dataclass(slots=True)
class Trickle:
    """Fragments of all calls, on their way to the medias that they are for."""

    refused: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REASONS, 0)))
    """What was left out, by reason: fragments, parts of them, or single candidates."""
    _waiting: dict[str, list[_Early]] = field(default_factory=dict)
    """By Call-ID, which need not be that of a call."""

    def received(
        self, call_id: str, call: Call | None, tag: str, fragment: Fragment, now: float, distrust: Distrust
    ) -> Checks:
        """The party with this ``tag`` sent a fragment. It makes no call and no leg."""
        self.refused["malformed"] += len(fragment.invalid)
        leg = call.leg_of(tag) if call is not None else None
        if leg is None or _is_early(leg, fragment):
            self._keep(call_id, _Early(tag, fragment, now + WAIT), now)
            return []
        return self._apply(leg, fragment, now, distrust)

    def described(self, call: Call, now: float, distrust: Distrust) -> Checks:
        """A description came: fragments that waited for it are used, in the order in which they came."""
        checks: Checks = []
        left = []
        self._expire(call.call_id, now)
        for early in self._waiting.pop(call.call_id, []):
            leg = call.leg_of(early.tag)
            if leg is None or _is_early(leg, early.fragment):
                left.append(early)
            else:
                checks += self._apply(leg, early.fragment, now, distrust)
        if left:
            self._waiting[call.call_id] = left
        return checks

    def tick(self, now: float) -> None:
        """Drop what has waited in vain."""
        for call_id in list(self._waiting):
            self._expire(call_id, now)

    def forget(self, call_id: str) -> None:
        """The call is over."""
        self._waiting.pop(call_id, None)

    @property
    def waiting(self) -> int:
        """Fragments whose description has not come."""
        return sum(len(early) for early in self._waiting.values())

    def _keep(self, call_id: str, early: _Early, now: float) -> None:
        self._expire(call_id, now)
        found = self._waiting.get(call_id, [])
        length = sum(other.fragment.length for other in found) + early.fragment.length
        is_one_call_more = not found and len(self._waiting) >= MAX_CALLS
        if len(found) >= MAX_WAITING or length > MAX_LENGTH or is_one_call_more:
            self.refused["no room"] += 1
        else:
            self._waiting[call_id] = [*found, early]

    def _expire(self, call_id: str, now: float) -> None:
        found = self._waiting.get(call_id, [])
        left = [early for early in found if early.until > now]
        self.refused["expired"] += len(found) - len(left)
        if left:
            self._waiting[call_id] = left
        else:
            self._waiting.pop(call_id, None)

    def _apply(self, leg: Leg, fragment: Fragment, now: float, distrust: Distrust) -> Checks:
        checks: Checks = []
        for part in fragment.parts:
            media = media_of(leg, part)
            if media is None or media.ice is None:
                self.refused["no such media"] += 1
            elif is_of_another_generation(media.ice, part.ufrag):
                self.refused["ufrag"] += 1
            else:
                added = self._add(leg, media.ice, part)
                checks.append((media, leg_ice.check_added(media, added, now, distrust)))
        return checks

    def _add(self, leg: Leg, ice: MediaIce, part: Part) -> tuple[Candidate, ...]:
        """The candidates of ``part`` that are new."""
        remembered = (len(media.ice.candidates) for media in leg.medias if media.ice is not None)
        room = leg_ice.MAX_CANDIDATES - sum(remembered)
        known = {where(candidate) for candidate in ice.candidates}
        added: list[Candidate] = []
        for candidate in part.candidates:
            if where(candidate) in known:
                continue
            if reason := self._objection(ice, candidate, room - len(added)):
                self.refused[reason] += 1
                continue
            known.add(where(candidate))
            added.append(candidate)
        ice.candidates += tuple(added)
        ice.ended = ice.ended or part.end_of_candidates
        return tuple(added)

    def _objection(self, ice: MediaIce, candidate: Candidate, room: int) -> str | None:
        if is_of_another_generation(ice, candidate.extension("ufrag")):
            return "ufrag"
        if ice.ended:
            return "after the end"
        return "too many" if room <= 0 else None


def is_of_another_generation(ice: MediaIce, ufrag: str | None) -> bool:
    """The peer's latest description has another ufrag."""
    return ufrag is not None and (ice.remote is None or ice.remote.ufrag != ufrag)


def where(candidate: Candidate) -> Where:
    """What makes two candidates one."""
    return candidate.component, candidate.transport.lower(), candidate.address, candidate.port


def _is_early(leg: Leg, fragment: Fragment) -> bool:
    """The peer has not described what the fragment is for."""
    if not any(media.described for media in leg.medias):
        return True
    medias = [media_of(leg, part) for part in fragment.parts]
    return any(media is not None and media.ice is not None and media.ice.remote is None for media in medias)


def media_of(leg: Leg, part: Part) -> Media | None:
    """By mid, else by place; without an m= line, the first media that has ICE. In a bundle, its leader."""
    found = _named(leg, part)
    return leg.carrier(found) if found is not None else None


def _named(leg: Leg, part: Part) -> Media | None:
    if part.mid is not None and any(media.mid is not None for media in leg.medias):
        return next((media for media in leg.medias if media.mid == part.mid), None)
    if part.index is not None:
        return leg.medias[part.index] if part.index < len(leg.medias) else None
    return next((media for media in leg.medias if media.ice is not None), None)
