"""Who talks to whom: finding the two legs that a description is exchanged between.

A proxy names them by Call-ID, tags and, for forked calls, the Via branch of the
request. Tags may come in either order and may be missing; the rules are those of
the ng protocol and are followed in the order of the table in ``docs/ng.md``.
"""

from __future__ import annotations

from relay.calls.state import Call, Leg
from relay.ng.errors import BAD_ASSOCIATION, NgError


def find_parties(
    call: Call, sender_tag: str, receiver_tag: str | None, via_branch: str | None, now: float
) -> tuple[Leg, Leg]:
    """The leg whose description this is, and the leg that gets it rewritten.

    ``sender_tag`` is the tag of the party that wrote the description, in offers
    and answers alike. Missing legs are created. Raises ``NgError`` when both
    would be the same leg.
    """
    sender = call.leg_of(sender_tag)
    if receiver_tag is None:
        found = _offer_without_receiver(call, sender, sender_tag, via_branch, now)
    else:
        receiver = call.leg_of(receiver_tag)
        if receiver_tag == sender_tag:
            raise NgError(BAD_ASSOCIATION)
        if receiver is None:
            found = (
                sender or call.add_leg(sender_tag, now),
                call.add_leg(receiver_tag, now, via_branch),
            )
        elif sender is not None:
            found = (sender, receiver)
        else:
            found = (_answering_leg(call, receiver, sender_tag, via_branch, now), receiver)
    if found[0] is found[1]:
        raise NgError(BAD_ASSOCIATION)
    return found


def _offer_without_receiver(
    call: Call, sender: Leg | None, sender_tag: str, via_branch: str | None, now: float
) -> tuple[Leg, Leg]:
    """An initial offer, a repeated one, or a new branch of a forked call."""
    if sender is None:
        return call.add_leg(sender_tag, now), call.add_leg(None, now, via_branch)
    if via_branch:
        receiver = call.branch(via_branch)
        if receiver is None or receiver is sender:
            receiver = call.add_leg(None, now, via_branch)
        return sender, receiver
    if sender.partner is None:
        return sender, call.add_leg(None, now)
    return sender, call.legs[sender.partner]


def _answering_leg(call: Call, offerer: Leg, tag: str, via_branch: str | None, now: float) -> Leg:
    """The leg for a tag that answers ``offerer`` for the first time.

    The untagged leg of the branch, or the last one offered to, takes the tag.
    If another tag answered there before, one description went to several
    phones: the new leg shares the ports of the first, for both phones were told
    to send there, and each must hear the other side from there.
    """
    told = call.branch(via_branch)
    if told is None or told is offerer:
        told = call.legs[offerer.partner] if offerer.partner is not None else None
    if told is None:
        return call.add_leg(tag, now, via_branch)
    if told.tag is None:
        told.tag = tag
        return told
    return share(call, told, tag, now)


def share(call: Call, first: Leg, tag: str, now: float) -> Leg:
    """Another leg that was told to send to the ports of ``first``."""
    leg = call.add_leg(tag, now, first.via_branch)
    leg.interface, leg.family, leg.lite, leg.ice_option = (
        first.interface,
        first.family,
        first.lite,
        first.ice_option,
    )
    leg.shares = first.id
    return leg
