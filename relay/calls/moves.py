"""Where a phone is that left its network in mid-call, without any signalling that says so."""

from __future__ import annotations

from relay.calls.state import Leg
from relay.ice.policy import Place
from relay.memory.identity import same_prefix
from relay.memory.knowledge import Report


def went_to(leg: Leg, report: Report) -> Place | None:
    """Where the phone of ``leg`` went, as its app says and its checks show; None: nowhere.

    Media is sent to where it is now. If that is another network than the one that
    its first check came from, it is the one. If the app alone says so, it is somewhere
    unknown. No name counts here that an app gives its network: it could be anybody's.
    """
    if report.cellular is None:
        return None
    place = leg.place
    for media in leg.medias:
        if media.ice is None or media.ice.seen.selected is None or not media.ice.seen.heard:
            continue
        before, now = next(iter(media.ice.seen.heard)).remote[0], media.ice.seen.selected.remote[0]
        if not same_prefix(before, now):
            return Place(now, None, place.family, place.transport)
    return Place(family=place.family) if report.moved else None
