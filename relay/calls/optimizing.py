"""``ICE=optimize`` for one exchange: what stands in the way, who is where, and what was decided.

The rules are in ``relay.ice.policy`` (the call) and ``sdp.choose`` (the
candidates); here they get what a call knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import sdp
from relay.calls import leg_security
from relay.calls.interfaces import Interfaces
from relay.calls.leg_ice import Wording, families
from relay.calls.state import Leg, Media, Mode
from relay.ice.policy import Decision, Optimizer, Order, Policy, Result, decide, same_site
from relay.ng.request import Request
from sdp.choose import Context, interleaved
from sdp.ice import candidate_values
from sdp.ice import read as read_ice
from sdp.media import rtcp_mux

END_TO_END_MUX = frozenset(("demux", "accept", "reject"))
"""Words that make rtcp-mux another thing on each leg."""


def note_place(sender: Leg, receiver: Leg, request: Request) -> None:
    """Take over what the proxy says of where the parties are, and under which policy."""
    first, second = request.network_legs
    said = (first, second) if request.command == "offer" else (second, first)
    sender.network = said[0] or request.network or sender.network
    receiver.network = said[1] or receiver.network
    if said[0] or request.network or request.received_from:
        sender.went_to = None
    sender.hint = request.received_from or sender.hint
    sender.transport = request.sip_transport or sender.transport
    sender.user_agent = request.user_agent or sender.user_agent
    receiver.policy = request.ice_policy or receiver.policy


def policy_of(leg: Leg, optimizer: Optimizer, direction: str) -> Policy:
    """The policy of a leg that is told something; ``direction``: by an ``offer`` or by an ``answer``."""
    named = optimizer.named(leg.policy) if leg.policy is not None else None
    return named or optimizer.fitting(leg.interface, direction, leg.place.family)


def decide_offer(
    session: sdp.Session, request: Request, sender: Leg, receiver: Leg, optimizer: Optimizer
) -> Decision:
    """What an offer under ``optimize`` results in. What a leg of the call does already, it goes on doing."""
    legs = (sender,) if "reset" in request.flags else (receiver, sender)
    settled = [media for leg in legs for media in leg.medias if media.ice is not None]
    obstacles = list(_obstacles(session, request, sender, receiver))
    if settled:
        passed = any(media.ice is not None and media.ice.mode is Mode.PASSED for media in settled)
        result = Result.ASSIST if passed and not obstacles else Result.RELAY
        before = next((media.decision for media in settled if media.decision is not None), None)
        if before is not None and before.result is result:
            return before
        return Decision(result, obstacles[0] if passed and obstacles else "settled")
    policy = policy_of(receiver, optimizer, "offer")
    return decide(policy, (sender.place, receiver.place), optimizer, obstacles)


def _obstacles(session: sdp.Session, request: Request, sender: Leg, receiver: Leg) -> Iterator[str]:
    """Codes of what needs ICE to end here: one of the medias, or the way between the parties."""
    said = [read_ice(session, section) for section in session.medias if section.port != 0]
    if "ice-reject" in request.flags or not any(one.offered for one in said):
        yield "no-ice"
    if any(one.lite for one in said):
        yield "ice-lite"
    if sender.interface != receiver.interface:
        yield "interfaces"
    for index, section in enumerate(session.medias):
        if section.port == 0:
            continue
        if _remuxes(request, section):
            yield "rtcp-mux"
        theirs = _media(receiver, index)
        if not leg_security.may_pass(leg_security.read(session, section), theirs, request):
            yield "keys"


def _remuxes(request: Request, section: sdp.Media) -> bool:
    words = request.rtcp_mux
    added = bool(words & {"offer", "require"}) and not rtcp_mux(section)
    return added or bool(words & END_TO_END_MUX)


def _media(leg: Leg, index: int) -> Media | None:
    return leg.medias[index] if index < len(leg.medias) else None


@dataclass(frozen=True, slots=True)
class Between:
    """Who is told of whom, by an ``offer`` or by an ``answer``."""

    sender: Leg
    receiver: Leg
    command: str


def judged(
    wording: Wording,
    between: Between,
    index: int,
    section: sdp.Media,
    ufrag: str | None,
    optimizer: Optimizer,
    interfaces: Interfaces,
) -> Wording:
    """The wording of media ``index``, with what is to be known of the sender's candidates."""
    policy = policy_of(between.receiver, optimizer, between.command)
    context = replace(
        known(between.sender, between.receiver, index, optimizer),
        components=frozenset((1, 2) if wording.with_rtcp else (1,)),
        ufrag=ufrag,
        dropped=policy.drop,
        is_ours=lambda address, port: interfaces.is_ours((address, port)),
    )
    return replace(
        wording,
        values=candidate_values(section),
        context=context,
        policy=policy,
        order=order(between.receiver, index, optimizer),
    )


def known(sender: Leg, receiver: Leg, index: int, optimizer: Optimizer) -> Context:
    """What is known of the places of the two, for candidates of the sender's media ``index``."""
    one, other = optimizer.remembered(sender.place), optimizer.remembered(receiver.place)
    theirs = _media(receiver, index)
    heard = theirs.ice.candidates if theirs is not None and theirs.ice is not None else ()
    return Context(
        same_site=same_site(sender.place, receiver.place),
        peer_listens_on_tcp=any(c.extension("tcptype") in ("passive", "so") for c in heard),
        udp_works=other.udp_works,
        needs_turn=one.needs_turn,
        symmetric=one.symmetric and other.symmetric,
    )


def order(leg: Leg, index: int, optimizer: Optimizer) -> Order | None:
    """In which order a leg is told our candidates; what it was told at first stays."""
    media = leg.carrier(leg.medias[index])
    if media.order is not None or not media.streams:
        return media.order
    available = families(media)
    usual = interleaved(available)
    by_rank = sorted(range(len(available)), key=usual.__getitem__)
    ways = tuple(dict.fromkeys(available[place] for place in by_rank))
    return optimizer.order(leg.place, ways, available[0])


def summary(decision: Decision, receiver: Leg) -> str:
    """One line for the log: the decision, and how many candidates were kept and dropped, by reason."""
    verdicts = [verdict for media in receiver.medias for verdict in media.verdicts]
    dropped = Counter(str(verdict.reason) for verdict in verdicts if not verdict.kept)
    reasons = ",".join(f"{reason}:{count}" for reason, count in sorted(dropped.items()))
    kept, own = sum(one.kept for one in verdicts), sum(len(media.own) for media in receiver.medias)
    return (
        f"result={decision.result} reason={decision.why} kept={kept} own={own} dropped={dropped.total()}"
        + (f" ({reasons})" if reasons else "")
    )
