"""Bundles (RFC 9143) as far as we have them: only a media that is alone is one.

Each media has a port of its own here. A party that bundles all it has
(``max-bundle``) takes no description without a bundle, so a lone media gets
one. A bundle with only some of what a party would bundle is worse than none:
browsers put the rest into it again with their next offer, and then take no
answer that does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.calls.state import Leg
from sdp.bundle import leaders
from sdp.session import Session
from sdp.wanted import MediaOut

Groups = tuple[tuple[str, ...], ...]
"""The mids of each bundle that the receiver is told."""


def offer(sender: Leg, receiver: Leg, session: Session, medias: Sequence[MediaOut | None]) -> Groups:
    """A browser that has not described itself yet is asked; later, what was agreed stays."""
    alone = _is_alone(medias)
    groups: list[tuple[str, ...]] = []
    for index, (out, leader) in enumerate(zip(medias, leaders(session), strict=True)):
        theirs = receiver.medias[index]
        sender.medias[index].bundle_offered = leader == index
        if out is None or not out.mid:
            continue
        if theirs.bundled if theirs.described else alone and _is_for_browser(out):
            groups.append((out.mid,))
    return tuple(groups)


def answer(sender: Leg, receiver: Leg, session: Session, medias: Sequence[MediaOut | None]) -> Groups:
    """What the receiver, who offered, bundles from now on."""
    alone = _is_alone(medias)
    groups: list[tuple[str, ...]] = []
    for index, (out, leader) in enumerate(zip(medias, leaders(session), strict=True)):
        theirs = receiver.medias[index]
        sender.medias[index].bundled = leader == index
        theirs.bundled = theirs.bundle_offered and alone and out is not None
        if theirs.bundled and out is not None and out.mid:
            groups.append((out.mid,))
    return tuple(groups)


def _is_alone(medias: Sequence[MediaOut | None]) -> bool:
    return sum(media is not None for media in medias) == 1


def _is_for_browser(out: MediaOut) -> bool:
    with_dtls = out.security is not None and out.security.fingerprint is not None
    return with_dtls and out.rtcp_mux and out.ice is not None
