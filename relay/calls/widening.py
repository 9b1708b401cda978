"""``ice-widen``: who misses what it was not told of our addresses is told the rest, in mid-call.

What earlier calls taught may be over: a network that passed nothing but IPv4 may pass nothing but IPv6
today. Then the phone that was told of one of them only does not check us at all.

    told less than there is --- the answer --- 4 s without a check ---> widened
                                                a check came ---> nothing happens

From then on every description tells the phone all. Until there is one, ``query`` and the reply to a fragment
of the other party have a fragment (RFC 8840) that the proxy may send it. Where the phones check each other it
says nothing that one of them does not check us, so this is about ICE that ends here.
"""

from __future__ import annotations

from relay.calls.state import Call, Leg, Media
from relay.memory.record import WIDEN_AFTER
from sdp.fragment import Addition, written

WAIT = WIDEN_AFTER / 1000
"""Seconds from the answer in which a phone that reaches us has checked us, whatever is lost on the way."""


def watch(call: Call, now: float) -> None:
    """An answer came: whoever was told less than there is has ``WAIT`` to check us."""
    if any(_may_miss(media) for leg in call.legs.values() for media in leg.medias):
        call.widen_at = now + WAIT


def widen(call: Call, now: float) -> list[tuple[Leg, tuple[int, ...]]]:
    """``call.widen_at`` has come. The legs that miss something, with the families of the addresses."""
    assert call.widen_at is not None
    deadline, call.widen_at = call.widen_at, None
    found = []
    for leg in call.legs.values():
        families: dict[int, None] = {}
        for media in leg.medias:
            if media.order is not None and _may_miss(media) and _is_silent(media, deadline):
                families |= dict.fromkeys(media.order.dropped)
                media.order, media.widened_at = media.order.widen(), now
        if families:
            found.append((leg, tuple(families)))
    return found


def fragment(leg: Leg) -> str:
    """All our candidates for the medias of ``leg`` that were widened, as the body of an INFO; or nothing."""
    additions = [_addition(media) for media in leg.medias]
    return written(additions) if any(one.candidates for one in additions) else ""


def missed(call: Call, sender: Leg | None) -> str:
    """The fragment for whoever hears ``sender``, as long as that has not checked us; else nothing."""
    receiver = call.legs.get(sender.partner or 0) if sender is not None else None
    if receiver is None or not any(_is_waiting(media) for media in receiver.medias):
        return ""
    return fragment(receiver)


def _addition(media: Media) -> Addition:
    if media.widened_at is None or media.ice is None:
        return Addition(media.kind, media.mid)
    local, used = media.ice.local, {stream.component for stream in media.streams}
    told = tuple(one for one in (*media.own, *media.spare) if one.component in used)
    return Addition(media.kind, media.mid, local.ufrag, local.pwd, told)


def _may_miss(media: Media) -> bool:
    """It was told less than there is, and it knows enough to check us."""
    agreed = media.ice is not None and media.ice.agent is not None and media.ice.remote is not None
    return agreed and bool(media.spare) and media.widened_at is None


def _is_silent(media: Media, deadline: float) -> bool:
    first = media.ice.seen.first_check if media.ice is not None else None
    return first is None or first > deadline


def _is_waiting(media: Media) -> bool:
    return media.widened_at is not None and media.ice is not None and media.ice.seen.first_check is None
