"""An offerer whose offer went to several phones: its ICE and keys are those of the phone that answered last.

Some of the phones may check the offerer themselves, and have their own keys,
while for others both end at the relay. The offerer is told nothing before an
answer, so what it would be told for the others is put aside until one of them
answers; a path that is in use is not touched by an offer to somebody else.
"""

from __future__ import annotations

from dataclasses import replace

from relay.calls import associations, leg_ice
from relay.calls.resources import Resources
from relay.calls.state import Aside, Call, Leg, Media, MediaIce, Mode, Security
from relay.ice.policy import Decision, Result


def passes(media: Media) -> bool:
    """Its peer and another one check each other."""
    return media.ice is not None and media.ice.mode is Mode.PASSED


def passes_elsewhere(call: Call, offerer: Leg, receiver: Leg) -> frozenset[int]:
    """Indices of medias in which a phone other than the ``receiver`` of this offer may check the offerer."""
    others = (call.legs[id] for id in offerer.links if id in call.legs and id != receiver.id)
    return frozenset(media.index for leg in others for media in leg.medias if passes(media))


def ended(media: Media, resources: Resources) -> Media:
    """A copy of the offerer's media, as it is where ICE and keys end here."""
    copy = media.snapshot()
    known = media.aside.local if media.aside is not None else None
    local = known or resources.credentials()
    copy.ice = MediaIce(Mode.TERMINATED, local)
    copy.security = _without_keys(media.aside.security) if media.aside is not None else None
    return copy


def put_aside(media: Media, copy: Media) -> None:
    """Keep what an offer made of the ``copy``."""
    assert copy.ice is not None
    media.aside = Aside(copy.ice.local, _without_keys(copy.security))


def follow(theirs: Media, ours: Media, leg: Leg, now: float, resources: Resources) -> None:
    """The phone of ``ours`` answers: ``theirs``, the media of ``leg`` that offered, becomes what fits."""
    before, aside = theirs.ice, theirs.aside
    if theirs.through != ours.through:
        if ours.through:
            aside = Aside(aside.local if aside is not None else None, _without_keys(theirs.security))
            theirs.security = None
        elif aside is not None:
            theirs.security = _without_keys(aside.security)
            associations.renew(theirs)
        theirs.through = ours.through
    if before is not None and passes(theirs) != passes(ours):
        theirs.decision = ours.decision
        if passes(ours):
            aside = Aside(before.local, aside.security if aside is not None else None)
        local = aside.local if aside is not None else None
        mode = Mode.PASSED if passes(ours) else Mode.TERMINATED
        leg_ice.turn(theirs, leg, mode, now, resources, local)
    theirs.aside = aside


def without_ice(theirs: Media, leg: Leg, now: float, resources: Resources) -> None:
    """The phone was to check the offerer and has no ICE: the offerer checks us."""
    if not passes(theirs):
        return
    if theirs.decision is not None:
        theirs.decision = Decision(Result.RELAY, "no-ice")
    local = theirs.aside.local if theirs.aside is not None else None
    leg_ice.turn(theirs, leg, Mode.TERMINATED, now, resources, local)


def _without_keys(security: Security | None) -> Security | None:
    """What was said, and nothing that is in use."""
    if security is None:
        return None
    return replace(security, handshakes={}, keys={}, keyed={}, lines={}, failed=False)
