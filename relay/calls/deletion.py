"""Ending calls and legs: what a delete names, and what goes with it."""

from __future__ import annotations

from relay.calls.state import Call, Leg
from relay.ng.request import Request


def find(call: Call, request: Request) -> list[Leg] | Call | None:
    """What the delete names: legs, the whole call, or None where nothing matches.

    The order is that of the ng protocol: without a from-tag, or with an empty
    one, it is the whole call. Else a Via branch wins unless a to-tag counts (flag
    ``to-tag``), then the tag, then the branch again, then the one leg that has
    not answered yet. An empty to-tag is none.
    """
    if not request.from_tag:
        return call
    by_to_tag = "to-tag" in request.flags and bool(request.to_tag)
    branch = [
        leg for leg in call.legs.values() if request.via_branch and leg.via_branch == request.via_branch
    ]
    if branch and not by_to_tag:
        return branch
    leg = call.leg_of(request.to_tag if by_to_tag else request.from_tag)
    if leg is not None or branch:
        return branch if leg is None else [leg]
    if by_to_tag:
        offerer = call.leg_of(request.from_tag)
        links = [call.legs[id] for id in offerer.links] if offerer is not None else []
        if len(links) == 1 and links[0].tag is None:
            return links
    return None


def remove(call: Call, leg: Leg) -> None:
    """Take the leg out, and every leg that has nobody left to talk to."""
    call.legs.pop(leg.id, None)
    for other in list(call.legs.values()):
        if leg.id in other.links:
            other.links.remove(leg.id)
            if not other.links:
                call.legs.pop(other.id, None)
    for other in call.legs.values():
        if other.shares == leg.id:
            other.shares = None
