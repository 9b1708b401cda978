"""ICE of one leg, as far as offers and answers decide it.

Each leg is on its own: what the ng option ``ICE`` of an offer says, holds for
the leg that is offered to; whether the offerer's leg has ICE, the offerer has
said. ``optional`` and ``force-relay`` let the peers check each other through
us, which takes both legs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from relay.calls.addresses import is_public
from relay.calls.distrust import Distrust
from relay.calls.resources import LocalPort, Resources
from relay.calls.state import Leg, Media, MediaIce, Mode, Path
from relay.forward.rule import Address
from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import Output
from relay.ice.outputs import Path as CheckPath
from relay.ice.passing import Passer, Side
from relay.ice.policy import DEFAULT, MAX_TOTAL, Order, Policy
from sdp.candidate import Candidate, foundation
from sdp.choose import (
    Context,
    Verdict,
    choose,
    has_impossible_priority,
    interleaved,
    network_cost,
    passing,
)
from sdp.ice import IceDescription, own_priority, useless
from sdp.rewrite import IceOut, Keep
from sdp.values import valueclass

MAX_CHECKED = 16
"""Candidates of a lite peer that are checked: it has a public address or two."""
MAX_EARLY = 4
"""Candidates of an offerer that are checked before it checks us: IPv4, IPv6, of a NAT, of a TURN server."""

MAX_CANDIDATES = 100
"""Remembered of one peer; a host has a handful of addresses."""

LATER = Candidate("later", 1, "udp", 1 << 23, "0.0.0.0", 9, "host")
"""Stands for those that a peer will tell: ours must be below, also below a relayed one (16777215 at best)."""
DIRECT = Candidate("direct", 1, "udp", 1 << 30, "0.0.0.0", 9, "host")
"""Stands for the lowest that is direct, told now or later: under assist ours come next, TURN servers last."""

NOTHING_KNOWN = Context()

END_TO_END = frozenset({"optional", "force-relay"})

Later = Callable[[], list[Output]]
"""An agent or a passer learns of an exchange, once that cannot fail any more. Returns what to send."""


def mode_offered(
    option: str | None, media: Media, offerer_has_ice: bool, forgets: bool = False, assists: bool = False
) -> Mode:
    """ICE towards the leg that is offered to (``docs/ng.md``, table of ICE modes).

    Without an option a first offer passes on what the offerer has; later ones
    keep what was agreed, unless the proxy wants that forgotten. ``assists``: what
    ``optimize`` resulted in.
    """
    if option == "remove":
        return Mode.OFF
    if option in END_TO_END or (option == "optimize" and assists):
        return Mode.PASSED if offerer_has_ice else Mode.TERMINATED
    if option in (None, "default"):
        if media.described and not forgets:
            return media.ice.mode if media.ice else Mode.OFF
        return Mode.TERMINATED if offerer_has_ice else Mode.OFF
    return Mode.TERMINATED


def settle(
    media: Media,
    leg: Leg,
    mode: Mode,
    controlling: bool,
    resources: Resources,
    fresh: bool = False,
    local: Credentials | None = None,
) -> MediaIce | None:
    """Give ``media`` the ICE state that ``mode`` needs, keeping what it has.

    ``fresh``: the peer restarted ICE, so credentials and checks begin anew
    (RFC 8445, section 9); ports stay, and paths until there are new ones. ``local``:
    credentials to begin with, else new ones.
    """
    if mode is Mode.OFF:
        _forget(media)
    elif media.ice is None or media.ice.mode is not mode or fresh:
        previous = (media.ice.previous or media.ice) if fresh and media.ice is not None else None
        if previous is None:
            _forget(media)
        local = local or resources.credentials()
        agent = None
        if mode is Mode.TERMINATED:
            agent = Agent(local, controlling=controlling, lite=leg.lite, tie_breaker=resources.tie_breaker())
        media.ice = MediaIce(mode, local, agent=agent)
        if previous is not None:
            media.ice.previous = replace(previous, previous=None)
            media.ice.seen = previous.seen
    return media.ice


def adopt(told: MediaIce, media: Media, leg: Leg, resources: Resources) -> None:
    """Checks begin anew for ``media`` under credentials that its peer was already told.

    For an answer of somebody else than before: another phone that got the same
    offer, or one that restarted ICE in its answer. If that answers a restart, the
    old path goes on serving.
    """
    current = media.ice
    agent = None
    if told.mode is Mode.TERMINATED:
        agent = Agent(told.local, controlling=True, lite=leg.lite, tie_breaker=resources.tie_breaker())
    if current is not None and current.previous is not None:
        media.ice = replace(current, mode=told.mode, local=told.local, agent=agent, remote=None)
    else:
        _forget(media)
        media.ice = MediaIce(told.mode, told.local, agent=agent)


def turn(
    media: Media, leg: Leg, mode: Mode, now: float, resources: Resources, local: Credentials | None = None
) -> None:
    """The answer makes another mode of an offerer's ICE than its offer, or another answer, did.

    ``local``: our credentials for it, if it has some. The peer shows where it is by its checks.
    """
    before = media.ice
    settle(media, leg, mode, False, resources, local=local)
    if before is None or media.ice is None:
        return
    media.ice.remote, media.ice.candidates = before.remote, before.candidates
    media.ice.ended, media.ice.lite = before.ended, before.lite
    if media.ice.agent is not None and before.remote is not None:
        media.ice.agent.set_remote(before.remote, now, before.lite)


def _forget(media: Media) -> None:
    media.ice = None
    for stream in media.streams:
        stream.chosen = None
        stream.selected = 0
        for path in stream.paths:
            path.sources = ()


def restarted(media: Media, said: IceDescription) -> bool:
    """The peer has new credentials where it had others (RFC 8839, section 4.4.1.1.1)."""
    if media.ice is None or media.ice.remote is None or said.ufrag is None or said.pwd is None:
        return False
    credentials, previous = Credentials(said.ufrag, said.pwd), media.ice.previous
    if previous is not None and previous.remote == credentials:
        media.ice = replace(previous)  # the restart was refused, and the peer goes on as before
        return False
    return media.ice.remote != credentials


def heard(media: Media, said: IceDescription, now: float, distrust: Distrust) -> Later | None:
    """The peer's credentials: checks that waited for them can go out, later."""
    if media.ice is None or said.ufrag is None or said.pwd is None:
        return None
    media.ice.remote = Credentials(said.ufrag, said.pwd)
    media.ice.candidates, media.ice.lite = said.candidates[:MAX_CANDIDATES], said.lite
    media.ice.ended = said.end_of_candidates
    if media.ice.agent is None:
        return None
    return partial(_begin, media, media.ice.agent, said, now, distrust)


def _begin(media: Media, agent: Agent, said: IceDescription, now: float, distrust: Distrust) -> list[Output]:
    """The ``agent`` of ``media`` hears of its peer, unless the rest of the exchange has replaced it."""
    if media.ice is None or media.ice.agent is not agent:
        return []
    agent.turned = _turned(media.ice.candidates)
    outputs = agent.set_remote(media.ice.remote, now, said.lite)
    if said.lite:
        outputs += _check(media, agent, said.candidates[:MAX_CHECKED], now, distrust)
    elif not agent.controlling and not agent.lite and not agent.validated:
        outputs += _check(media, agent, _open_candidates(said), now, distrust)
    return outputs


def _turned(candidates: Sequence[Candidate]) -> frozenset[Address]:
    return frozenset((one.address, one.port) for one in candidates if one.type == "relay")


def check_added(media: Media, added: Sequence[Candidate], now: float, distrust: Distrust) -> list[Output]:
    """Checks of candidates that were added to those of ``media`` just now."""
    if media.ice is None or media.ice.agent is None:
        return []
    media.ice.agent.turned = _turned(media.ice.candidates)
    if not media.ice.lite:
        return []
    room = max(MAX_CHECKED - (len(media.ice.candidates) - len(added)), 0)
    return _check(media, media.ice.agent, added[:room], now, distrust)


def _open_candidates(said: IceDescription) -> list[Candidate]:
    """Where an offerer may be reached before it checks us: in the open, behind a mild NAT, through TURN.

    It cannot check us before it has the answer, but it answers us. Every path found so saves a round trip.
    """
    found = [
        one
        for one in said.candidates
        if one.component == 1 and one.transport.lower() == "udp" and is_public(one.address)
    ]
    return sorted(found, key=lambda one: -one.priority)[:MAX_EARLY]


def _check(
    media: Media,
    agent: Agent,
    candidates: Sequence[Candidate],
    now: float,
    distrust: Distrust,
) -> list[Output]:
    """Ordinary checks (RFC 8445, section 6.1.4.2). A lite peer never checks us; others need none of them."""
    outputs: list[Output] = []
    for candidate in candidates:
        to = (candidate.address, candidate.port)
        if candidate.transport.lower() != "udp" or not candidate.port:
            continue
        for path in _from(media, candidate):
            if distrust.of(to, path.port.at) is None:
                outputs += agent.check(CheckPath(path.port.handle, to), now)
    return outputs


def _from(media: Media, candidate: Candidate) -> Iterator[Path]:
    """Our ports that can check it."""
    for stream in media.streams:
        if stream.component == candidate.component:
            yield from (path for path in stream.paths if path.port.at.speaks(candidate.address))


def pass_between(offerer: Media, answerer: Media) -> Later | None:
    """Let the peers of two medias check each other through us.

    Where one of them restarts ICE, the other one begins anew as well, and goes back where that is refused.
    """
    if offerer.ice is None or answerer.ice is None:
        return None
    offerer.ice = _gone_back(offerer.ice, answerer.ice)
    answerer.ice = _gone_back(answerer.ice, offerer.ice)
    if not _share(offerer.ice, answerer.ice):
        offerer.ice, answerer.ice = _anew(offerer.ice), _anew(answerer.ice)
        answerer.ice.passers = offerer.ice.passers = (Passer(), Passer())
        answerer.ice.side = Side.ANSWERER
    turns = offerer.ice.side is Side.ANSWERER
    offerer.ice.side, answerer.ice.side = Side.OFFERER, Side.ANSWERER
    return partial(_pair, offerer.ice, answerer.ice, turns)


def _share(one: MediaIce, other: MediaIce) -> bool:
    return bool(one.passers) and one.passers is other.passers


def _gone_back(ice: MediaIce, other: MediaIce) -> MediaIce:
    """The generation before, if that is the one that the other party is in: its restart was refused."""
    previous = ice.previous
    return replace(previous) if previous is not None and ice.passers and _share(previous, other) else ice


def _anew(ice: MediaIce) -> MediaIce:
    """The same peer, in a new generation. The passers of before serve until the new ones are used."""
    previous = ice.previous if ice.previous is not None or not ice.passers else replace(ice)
    return replace(ice, passers=(), side=Side.OFFERER, previous=previous)


def _pair(offerer: MediaIce, answerer: MediaIce, turns: bool) -> list[Output]:
    """The passers of the two hear whom they are between."""
    for passer in offerer.passers:
        if turns:
            passer.turn_round()
        passer.set_credentials(offerer.remote, answerer.remote)
    return []


@valueclass
class Wording:
    """How our part of a media is to be written."""

    option: str | None
    """The ng ``ICE`` value."""
    with_rtcp: bool
    """RTCP has a port of its own."""
    trickle: bool
    address: str | None
    """Written instead of the advertised address (ng ``media-address``)."""
    candidates: bool = True
    """Of a bundle's medias only the leader names them."""
    values: Sequence[str] = ()
    """The other party's candidates, also those that cannot be read."""
    context: Context = NOTHING_KNOWN
    """What is known of them."""
    policy: Policy = DEFAULT
    order: Order | None = None
    """Of our candidates; None: as usual."""


def describe(media: Media, said: IceDescription, wording: Wording) -> IceOut | None:
    """The ICE attributes that the receiver gets for ``media``, which is its leg's.

    ``said`` is what the other party described; in end-to-end mode it stays.
    """
    if media.ice is None:
        return None
    if media.decision is not None:
        return _optimized(media, media.ice, said, wording)
    media.verdicts, media.spare = (), ()
    relayed = wording.option == "force-relay"
    kind = "relay" if relayed else "host"
    if media.ice.mode is Mode.PASSED:
        verdicts = None if _in_order(said) else passing(wording.values, relayed)
        kept = [one.candidate for one in verdicts or () if one.candidate is not None]
        if verdicts is None:
            kept = [one for one in said.candidates if not (relayed and one.type.lower() == "relay")]
        if said.trickle and not said.end_of_candidates:
            kept.append(LATER)
        keep = Keep.NOT_RELAY if relayed else Keep.ALL
        media.own = _own(kept, media, wording, kind)
        return IceOut(None, None, media.own, keep, verdicts=verdicts)
    local = media.ice.local
    media.own = _own((), media, wording, kind) if wording.candidates else ()
    return IceOut(local.ufrag, local.pwd, media.own, Keep.NONE, wording.trickle)


def _in_order(said: IceDescription) -> bool:
    """The priorities may be passed on: no two are equal, and all are what RFC 8445, section 5.1.2 allows."""
    priorities = {candidate.priority for candidate in said.candidates}
    possible = all(0 < priority < 2**31 for priority in priorities)
    distinct = len(priorities) == len(said.candidates)
    return possible and distinct and not any(map(has_impossible_priority, said.invalid))


def _optimized(media: Media, ice: MediaIce, said: IceDescription, wording: Wording) -> IceOut:
    """The same under ``ICE=optimize``: every candidate has a verdict, and ours have an order."""
    if not wording.candidates:  # a bundle's leader has said it all
        return IceOut(ice.local.ufrag, ice.local.pwd, (), Keep.NONE, wording.trickle)
    media.order = wording.order
    ranks = _ranks(media, wording.policy.own, wording.order)
    if not media.assisted:
        media.verdicts = tuple(
            Verdict(text, False, useless(text)) for text in wording.values[:MAX_CANDIDATES]
        )
        media.own = _own((), media, wording, "host", ranks)
        media.spare = _spare(media, wording)
        local, may_follow = ice.local, bool(media.spare)
        return IceOut(local.ufrag, local.pwd, media.own, Keep.NONE, wording.trickle, may_follow=may_follow)
    limit = min(wording.policy.direct, MAX_TOTAL - len(ranks))
    media.verdicts = choose(wording.values, wording.context, limit)
    kept = [DIRECT, *(one.candidate for one in media.verdicts if one.candidate is not None)]
    media.own, media.spare = _own(kept, media, wording, "relay", ranks), ()
    return IceOut(None, None, media.own, verdicts=media.verdicts)


def _spare(media: Media, wording: Wording) -> tuple[Candidate, ...]:
    """Ours that the peer would be told as well, had earlier calls not taught that it checks them in vain."""
    if media.order is None or not media.order.dropped or media.order.widened:
        return ()
    everything = _ranks(media, wording.policy.own, media.order.widen())
    told = {(one.component, one.address, one.port) for one in media.own}
    whole = _own((), media, wording, "host", everything)
    return tuple(one for one in whole if (one.component, one.address, one.port) not in told)


def families(media: Media) -> list[int]:
    """4 or 6 for each of our addresses; that of the default candidate comes first."""
    return [6 if path.port.at.family == "IP6" else 4 for path in media.streams[0].paths]


def _ranks(media: Media, limit: int, order: Order | None) -> dict[int, int]:
    """Which of our addresses are told, with the rank of each: the default one, and the best others."""
    versions = families(media)
    ranks = interleaved(versions)
    if order is not None and order.families:
        told = order.families
        left = [place for place in range(len(ranks)) if place == 0 or versions[place] in told]
        left.sort(key=lambda place: (told.index(versions[place]), ranks[place]))
        best = [0, *(place for place in left if place != 0)][:limit]
        return {place: left.index(place) for place in sorted(best)}
    best = sorted(range(len(ranks)), key=lambda place: (place != 0, ranks[place]))
    return {place: ranks[place] for place in sorted(best[:limit])}


def _own(
    kept: Sequence[Candidate],
    media: Media,
    wording: Wording,
    kind: str = "host",
    ranks: Mapping[int, int] | None = None,
) -> tuple[Candidate, ...]:
    """Our candidates, the address of the ``c=`` line first, below all that the peers have of their own.

    ``ranks``: which addresses, and their order by priority, 0 is the best; without them all, in theirs.
    """
    streams = media.streams if wording.with_rtcp else media.streams[:1]
    cost = _highest_cost(kept)
    below = "host" if DIRECT in kept else kind
    if ranks is None:
        ranks = {place: place for place in range(len(streams[0].paths))}
    return tuple(
        _candidate(
            stream.component,
            stream.paths[place].port,
            kind,
            wording.address,
            own_priority(kept, stream.component, below, rank),
            cost,
        )
        for place, rank in ranks.items()
        for stream in streams
    )


def _highest_cost(kept: Sequence[Candidate]) -> tuple[str, ...]:
    """``network-cost`` for ours, none if nobody has one: browsers prefer what costs less to any priority."""
    costs = [cost for one in kept if (cost := network_cost(one)) is not None]
    return ("network-cost", str(max(costs))) if costs else ()


def _candidate(
    component: int,
    port: LocalPort,
    kind: str,
    written: str | None,
    with_priority: int,
    cost: tuple[str, ...],
) -> Candidate:
    address = written if written is not None and port.at.speaks(written) else port.at.advertised
    related = ("raddr", address, "rport", str(port.number)) if kind == "relay" else ()
    return Candidate(
        foundation=foundation(kind, address, "udp"),
        component=component,
        transport="UDP",
        priority=with_priority,
        address=address,
        port=port.number,
        type=kind,
        extensions=related + cost,
    )
