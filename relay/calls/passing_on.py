"""Fragments on their way to the other party, where the parties check each other (RFC 8840).

What a fragment says of our own peer, ``trickle`` has taken in. Its candidates
go through the rules that those of a description go through. What the other
party was told once stays: newcomers get what room is left, and priorities
above ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from relay.calls import optimizing
from relay.calls.interfaces import Interfaces
from relay.calls.leg_ice import MAX_CANDIDATES
from relay.calls.state import Leg, Media, MediaIce, Mode
from relay.calls.trickle import Where, is_of_another_generation, media_of, where
from relay.ice.passing import Side
from relay.ice.policy import MAX_TOTAL, Optimizer
from sdp.candidate import Candidate
from sdp.choose import choose, parsed, renumbered
from sdp.fragment import Fragment, Part, rewritten

MAX_VERDICTS = 2 * MAX_CANDIDATES
"""Of one media, those that cannot be read among them."""


def passed_on(
    sender: Leg, receiver: Leg, text: str, fragment: Fragment, optimizer: Optimizer, interfaces: Interfaces
) -> str | None:
    """The fragment for the receiver; None where nothing of it concerns it.

    That is so where checks end here, and where no part is of the sender's latest description.
    """
    told: dict[int | None, Mapping[str, str]] = {}
    for part in fragment.parts:
        ours = media_of(sender, part)
        if ours is None or ours.index >= len(receiver.medias):
            continue
        theirs = receiver.medias[ours.index]
        if ours.ice is None or not (_passes(ours) and _passes(theirs)):
            continue
        if is_of_another_generation(ours.ice, part.ufrag):
            continue
        accepted = _accepted(ours.ice, part)
        if theirs.assisted:
            _judge(sender, receiver, theirs, (accepted, part.invalid), optimizer, interfaces)
            kept = _told(theirs)
            told[part.index] = {str(one): kept[where(one)] for one in accepted if where(one) in kept}
        else:
            relayed = "force-relay" in (sender.ice_option, receiver.ice_option)
            told[part.index] = _passed(ours.ice, theirs, accepted, relayed)
    if not told:
        return None
    return rewritten(text, lambda index, value: told.get(index, {}).get(value))


def _passed(ice: MediaIce, theirs: Media, accepted: Sequence[Candidate], relayed: bool) -> dict[str, str]:
    """Candidates that nobody judges, by how they came; priorities are distinct as those of a description."""
    above = max((candidate.priority for candidate in theirs.own), default=0)
    known = renumbered(dict(enumerate(ice.candidates)), above=above)
    numbers = {where(one): one.priority for one in known.values()}
    left = (one for one in accepted if not (relayed and one.type.lower() == "relay"))
    return {str(one): _numbered(one, numbers[where(one)]) for one in left}


def _numbered(candidate: Candidate, priority: int) -> str:
    return str(candidate if candidate.priority == priority else replace(candidate, priority=priority))


def _passes(media: Media) -> bool:
    return media.ice is not None and media.ice.mode is Mode.PASSED


def _accepted(ice: MediaIce, part: Part) -> list[Candidate]:
    """What ``trickle`` took in of this part, now or before."""
    known = {where(candidate) for candidate in ice.candidates}
    return [
        candidate
        for candidate in part.candidates
        if where(candidate) in known and not is_of_another_generation(ice, candidate.extension("ufrag"))
    ]


def _told(media: Media) -> dict[Where, str]:
    """The lines of the other party's candidates that the peer of ``media`` was told."""
    kept = (verdict.candidate for verdict in media.verdicts)
    return {where(candidate): str(candidate) for candidate in kept if candidate is not None}


def _judge(
    sender: Leg,
    receiver: Leg,
    theirs: Media,
    said: tuple[Sequence[Candidate], Sequence[str]],
    optimizer: Optimizer,
    interfaces: Interfaces,
) -> None:
    """Give a verdict on each candidate that has none, and on what is none."""
    assert theirs.ice is not None
    direction = "offer" if theirs.ice.side is Side.ANSWERER else "answer"
    policy = optimizing.policy_of(receiver, optimizer, direction)
    components = frozenset(candidate.component for candidate in theirs.own)
    context = replace(
        optimizing.known(sender, receiver, theirs.index, optimizer),
        components=components,
        dropped=policy.drop,
        is_ours=lambda address, port: interfaces.is_ours((address, port)),
    )
    limit = min(policy.direct, MAX_TOTAL - len(theirs.own) // max(len(components), 1))
    told = [verdict.candidate for verdict in theirs.verdicts if verdict.candidate is not None]
    above = max((candidate.priority for candidate in theirs.own), default=0)
    theirs.verdicts += choose(_new(theirs, *said), context, limit, told, above)


def _new(theirs: Media, accepted: Sequence[Candidate], invalid: Sequence[str]) -> list[str]:
    """What has no verdict yet. A candidate is known by its address, whatever else its line says now."""
    texts = {verdict.text.strip() for verdict in theirs.verdicts}
    judged = {where(candidate) for candidate in map(parsed, texts) if candidate is not None}
    new = {where(one): str(one) for one in reversed(accepted) if where(one) not in judged}
    found = [*reversed(new.values()), *(text for text in dict.fromkeys(invalid) if text not in texts)]
    return found[: max(MAX_VERDICTS - len(theirs.verdicts), 0)]
