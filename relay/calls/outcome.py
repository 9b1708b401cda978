"""The record of a leg that ends: from what the call knows and the plane has counted."""

from __future__ import annotations

import msgspec

from relay.calls.quality import heard, round_trip
from relay.calls.report import Readings
from relay.calls.state import Call, Leg, Media, MediaIce, Mode
from relay.ice.mapping import maps_anew
from relay.ice.outputs import Path as IcePath
from relay.ice.policy import Place, same_site
from relay.memory.arms import Arm
from relay.memory.identity import Identity
from relay.memory.record import ASSIST, IN_TIME, MAX_COUNT, MAX_MS, Record
from sdp.candidate import Candidate

TYPES = {"host": 1, "srflx": 2, "prflx": 4, "relay": 8}
"""Bits of ``Record.offered``."""
HTTPS = 443
FAMILIES = {4: Arm.U, 6: Arm.V6}
"""The way that a family of our addresses is."""


def record(call: Call, leg: Leg, identity: Identity, reason: str, now: float, readings: Readings) -> Record:
    """What is written down of ``leg``, which is still whole. Without ICE it says nothing of its network."""
    traffic = [
        readings.of(path.rule) for media in leg.medias for stream in media.streams for path in stream.paths
    ]
    known = Record(
        network=identity.network,
        family=identity.family,
        named=identity.named,
        received=min(sum(one.rtp_packets for one in traffic), MAX_COUNT),
        sent=min(sum(one.sent_packets for one in traffic), MAX_COUNT),
        seconds=_seconds(call, leg, now),
        reason=reason,
    )
    media = next((media for media in leg.medias if media.ice is not None and media.streams), None)
    if media is None or media.ice is None or media.ice.remote is None or call.answered_at is None:
        return known  # no ICE, or a phone that rang while another one answered
    checks = sum(one.checks for one in traffic)
    known = _with_ice(known, media, media.ice, call.answered_at, checks, leg.by_turn)
    said, trip = heard(leg, readings.reported), round_trip(leg, readings.reported)
    return msgspec.structs.replace(
        known,
        round_trip=_thousandths(trip),
        lost=_thousandths(said.lost),
        jitter=_thousandths(said.jitter),
        maps_anew=_maps_anew(media, media.ice),
        said=leg.said,
        same_site=_came_from_its_site(leg, media.ice, call.answered_at),
    )


def _seconds(call: Call, leg: Leg, now: float) -> int:
    """From the answer to when the proxy said that it is over. A late branch was not there before."""
    if call.answered_at is None:
        return 0
    ended = min(one for one in (leg.hung_up_at, call.hung_up_at, now) if one is not None)
    return max(0, int(ended - max(call.answered_at, leg.created)))


def _came_from_its_site(leg: Leg, ice: MediaIce, answered: float) -> bool:
    """A TURN server is somewhere else than the phone that signals."""
    in_time = (path for path, at in ice.seen.usable.items() if ms_after(at, answered) <= IN_TIME)
    straight = (path for path in in_time if not _by_turn_server(ice, path))
    return any(same_site(Place(leg.hint), Place(path.remote[0])) for path in straight)


def _thousandths(value: float | None) -> int | None:
    return None if value is None else round(value * 1000)


def _maps_anew(media: Media, ice: MediaIce) -> bool | None:
    """Of the NAT that the phone was behind at first; it may have gone elsewhere since."""
    stream = media.streams[0]
    ours = {path.port.handle for path in stream.paths}
    sources = [path.remote for path in ice.seen.heard if path.port in ours]
    candidates = (one for one in ice.candidates if one.component == stream.component)
    return maps_anew(candidates, sources)


def _with_ice(
    known: Record, media: Media, ice: MediaIce, answered: float, checks: int, by_turn: bool
) -> Record:
    """``by_turn``: its app says so. What the phone said of an address counts more."""
    seen = ice.seen

    def way(path: IcePath | None) -> Arm | None:
        if by_turn and path is not None and path == seen.selected and remote_type(ice, path) == "prflx":
            return Arm.TURN
        return arm_of(media, ice, path) if path is not None else None

    usable: dict[Arm, int] = {}
    for path, at in seen.usable.items():
        arm = way(path)
        if arm is not None:
            usable[arm] = min(usable.get(arm, MAX_MS), ms_after(at, answered))
    # A check that was passed on and not answered says nothing of this peer's network: media may go direct.
    tried = seen.usable if ice.mode is Mode.PASSED else seen.heard
    heard, chosen = map(way, tried), way(seen.selected)
    return Record(
        network=known.network,
        family=known.family,
        named=known.named,
        mode=ASSIST if ice.mode is Mode.PASSED else "relay",
        given=_given(media, ice, chosen),
        dropped=_dropped(media, ice),
        explored=tuple(FAMILIES[family] for family in media.order.explored) if media.order else (),
        offered=sum({TYPES.get(candidate.type, 0) for candidate in ice.candidates}),
        first_check=ms_after(seen.first_check, answered) if seen.first_check is not None else None,
        usable=usable,
        seen=tuple(dict.fromkeys(arm for arm in heard if arm is not None)),
        chosen=chosen,
        remote=remote_type(ice, seen.selected),
        checks_in=min(seen.checks_in + checks, MAX_COUNT),
        checks_out=min(seen.checks_out, MAX_COUNT),
        consent_lost=min(seen.consent_lost, MAX_COUNT),
        moves=min(seen.moves, MAX_COUNT),
        received=known.received,
        sent=known.sent,
        seconds=known.seconds,
        answered=True,
        reason=known.reason,
    )


def _dropped(media: Media, ice: MediaIce) -> tuple[Arm, ...]:
    """Ways that were left out, unless something was learnt from that already.

    Where the peers check each other, one that never checked us may do well without.
    """
    if media.order is None or media.order.widened or ice.mode is Mode.PASSED:
        return ()
    return tuple(FAMILIES[family] for family in media.order.dropped)


def _given(media: Media, ice: MediaIce, chosen: Arm | None) -> tuple[Arm, ...]:
    """Ways that the peer has to us, the best first; its own TURN server is what it takes last."""
    told = [_own_arm(candidate.address, candidate.port) for candidate in sorted(media.own, key=_by_priority)]
    ports = [path.port for path in media.streams[0].paths]
    own = told or [_own_arm(port.at.address, port.number) for port in ports]
    named = any(candidate.type == "relay" for candidate in ice.candidates)
    turn = [Arm.TURN] if named or chosen is Arm.TURN else []
    return tuple(dict.fromkeys([*own, *turn]))


def _by_priority(candidate: Candidate) -> int:
    return -candidate.priority


def _own_arm(address: str, port: int) -> Arm:
    return Arm.U443 if port == HTTPS else Arm.V6 if ":" in address else Arm.U


def arm_of(media: Media, ice: MediaIce, path: IcePath) -> Arm | None:
    """The way that a path is; None: its port is not ours any more.

    A phone that named no TURN server may still have come by one: whether that is so is not known from here.
    """
    if _by_turn_server(ice, path):
        return Arm.TURN
    for stream in media.streams:
        for ours in stream.paths:
            if ours.port.handle == path.port:
                return _own_arm(ours.port.at.address, ours.port.number)
    return None


def _by_turn_server(ice: MediaIce, path: IcePath) -> bool:
    """Its address is on a TURN server that the phone named, at that port or another one."""
    of_type = remote_type(ice, path)
    server = path.remote[0] in {one.address for one in ice.candidates if one.type == "relay"}
    return of_type == "relay" or (of_type == "prflx" and server)


def remote_type(ice: MediaIce, path: IcePath | None) -> str:
    """What the peer calls the address; one that it never named is prflx (RFC 8445, section 7.3.1.3)."""
    if path is None:
        return ""
    named = (c.type for c in ice.candidates if (c.address, c.port) == path.remote)
    return next(named, "prflx")


def ms_after(at: float, answered: float) -> int:
    """Milliseconds after the answer; what was there before it took no time."""
    return max(0, min(int((at - answered) * 1000), MAX_MS))
