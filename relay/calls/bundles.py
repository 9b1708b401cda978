"""Bundles: medias of one leg that share the ports, ICE and keys of one of them (RFC 9143).

Each leg is on its own: a browser's bundle is ended here, whether the other
party bundles or not. In a bundle one media *leads*, the one whose ports all
use; the others *follow*. A bundle with only some of what a party would bundle
is worse than none: browsers put the rest into it again with their next offer,
and then take no answer that does not. So it is all or nothing, but where a
media has no port of its own (``max-bundle``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from relay.calls.state import Leg, Media, Path, Stream
from sdp.bundle import leaders
from sdp.media import is_rtp
from sdp.session import Session
from sdp.wanted import MediaOut

Groups = tuple[tuple[str, ...], ...]
"""The mids of each bundle that the receiver is told, the leader's first."""

Leaders = list[int | None]
"""For each media the one whose ports it uses, itself if it leads, None without a bundle."""


def offered(session: Session, fits: Callable[[int], bool]) -> Leaders:
    """Which bundles of an offer are taken. ``fits``: this media can share a port with others."""
    wanted = list(leaders(session))
    for leader in {index for index in wanted if index is not None}:
        members = [index for index, its in enumerate(wanted) if its == leader]
        if len(members) > 1:
            shared = _that_share(session, members, fits)
        else:
            shared = [index for index in members if is_rtp(session.medias[index].protocol)]
        for index in members:
            wanted[index] = shared[0] if index in shared else None
    return wanted


def _that_share(session: Session, members: Sequence[int], fits: Callable[[int], bool]) -> list[int]:
    """The members that share a port, the leader first."""
    fitting = [index for index in members if fits(index)]
    if len(fitting) < len(members) and all(session.medias[index].port != 0 for index in members):
        return []
    leader = next((index for index in fitting if session.medias[index].port != 0), None)
    return [] if leader is None else [leader, *(index for index in fitting if index != leader)]


def answered(session: Session, leg: Leg) -> Leaders:
    """Which medias share a port by the answer of the leg's peer; it may choose among those it was told."""
    found = list(leaders(session))
    for media, section in zip(leg.medias, session.medias, strict=False):
        leader = found[media.index]
        if section.port == 0 or not is_rtp(section.protocol):
            found[media.index] = None
        elif media.bundle is not None and leader is None:
            found[media.index] = media.bundle
        elif not media.bundle_told or leader is None or not leg.medias[leader].bundle_told:
            found[media.index] = None
    return _with_leaders(found)


def remaining(leg: Leg, live: Sequence[bool]) -> Leaders:
    """The leg's bundles without the medias that are rejected, or not described any more."""
    left: Leaders = [media.bundle if _is(live, media.index) else None for media in leg.medias]
    return _with_leaders(left)


def led_by_live(leg: Leg, live: Sequence[bool]) -> Leaders:
    """The leg's bundles, led by medias that are not rejected. The others stay: another answer may accept."""
    found: Leaders = [media.bundle for media in leg.medias]
    for leader in {index for index in found if index is not None and not _is(live, index)}:
        members = [index for index, its in enumerate(found) if its == leader]
        heir = next((index for index in members if _is(live, index)), leader)
        for index in members:
            found[index] = heir
    return found


def _is(live: Sequence[bool], index: int) -> bool:
    return index < len(live) and live[index]


def _with_leaders(left: Leaders) -> Leaders:
    """Bundles whose leader is in none any more are led by the first of their members."""
    for leader in {index for index in left if index is not None and left[index : index + 1] != [index]}:
        members = [index for index, its in enumerate(left) if its == leader]
        for index in members:
            left[index] = members[0]
    return left


def regroup(leg: Leg, wanted: Leaders) -> None:
    """Let the medias of a leg lead and follow as ``wanted``; a new leader takes over from the one before."""
    for index, leader in enumerate(wanted):
        media = leg.medias[index]
        if leader == index and media.follows:
            before = leg.carrier(media)
            media.streams, media.ice, media.security = before.streams, before.ice, before.security
            _leave(before)
            for other in leg.medias:
                if other.bundle == before.index:
                    other.bundle = index
    for media, leader in zip(leg.medias, wanted, strict=False):
        if media.follows != (leader not in (None, media.index)) or (media.follows and media.bundle != leader):
            _leave(media)
        media.bundle = leader
    for media in leg.medias:
        if media.follows and leg.carrier(media).bundle != media.bundle:
            _leave(media)  # not described any more, and the one that it followed is alone now


def _leave(media: Media) -> None:
    media.streams, media.retiring = [], []
    media.ice, media.security, media.bundle = None, None, None


def is_shared(leg: Leg, media: Media) -> bool:
    """Whether there are other medias at the ports of this one."""
    return media.bundle is not None and sum(other.bundle == media.bundle for other in leg.medias) > 1


def follow(leg: Leg, allocate: Callable[[], int]) -> None:
    """Give the medias that follow rules of their own at the ports of those that lead them."""
    for media in leg.medias:
        if not media.follows:
            continue
        lead, before = leg.carrier(media), media.streams
        rules = [path.rule for stream in before for path in stream.paths]
        lead.retiring = []
        media.mux = lead.mux
        media.streams = [
            Stream(
                stream.component,
                [Path(path.port, rules.pop(0) if rules else allocate()) for path in stream.paths],
            )
            for stream in lead.streams
        ]


def name(receiver: Leg, theirs: Media, ours: Media, generated: bool) -> str | None:
    """What the receiver of an offer is to call its media: as it does, as the offerer does, or something new.

    ``generated``: it is to have a name in any case.
    """
    others = {media.mid for media in receiver.medias if media is not theirs and media.mid}
    if theirs.mid:
        return theirs.mid
    if ours.mid and ours.mid not in others:
        return ours.mid
    if not (ours.mid or generated or any(media.bundle is not None for media in receiver.medias)):
        return None
    numbers = (str(number) for number in itertools.count(theirs.index + 1))
    return next(name for name in numbers if name not in others)


def told_in_offer(receiver: Leg, medias: Sequence[MediaOut | None]) -> Groups:
    """A party that has not described itself yet is asked to bundle; later, what was agreed stays."""
    declined = any(
        media.described and media.bundle is None
        for media, out in zip(receiver.medias, medias, strict=False)
        if out is not None
    )
    first = next((media.bundle for media in receiver.medias if media.bundle is not None), None)
    groups: dict[int, list[int]] = {}
    for media, out in zip(receiver.medias, medias, strict=False):
        media.bundle_told = False
        if out is None or not out.mid:
            continue
        leader = media.bundle
        if leader is None and not media.described and not declined and _is_for_browser(out):
            leader = first = media.index if first is None else first
        if leader is not None:
            media.bundle_told = True
            groups.setdefault(leader, []).append(media.index)
    return _names(groups, medias)


def told_in_answer(receiver: Leg, medias: Sequence[MediaOut | None]) -> Groups:
    """What the receiver, who offered, bundles from now on."""
    groups: dict[int, list[int]] = {}
    for media, out in zip(receiver.medias, medias, strict=False):
        if out is not None and out.mid and media.bundle is not None:
            groups.setdefault(media.bundle, []).append(media.index)
    return _names(groups, medias)


def _names(groups: dict[int, list[int]], medias: Sequence[MediaOut | None]) -> Groups:
    named = []
    for leader, members in groups.items():
        members.sort(key=lambda index: index != leader)
        named.append(tuple(out.mid for out in (medias[index] for index in members) if out and out.mid))
    return tuple(named)


def _is_for_browser(out: MediaOut) -> bool:
    with_dtls = out.security is not None and out.security.fingerprint is not None
    return with_dtls and out.rtcp_mux and out.ice is not None
