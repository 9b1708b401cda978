"""``icerelay plan``: what ``ICE=optimize`` would make of a description, without a call.

Nothing is opened or sent. What a running relay may remember of the networks is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relay.ice.policy import MAX_TOTAL, Decision, Place, Policy, Result, decide, same_site
from relay.ice.policy import Optimizer as Unknowing
from relay.sentences import candidate_table
from sdp.candidate import Candidate
from sdp.choose import Context, Verdict, choose
from sdp.ice import candidate_values, useless
from sdp.ice import read as read_ice
from sdp.media import rtcp_mux
from sdp.reason import Reason
from sdp.session import Media, SdpError, Session

PACE = 0.05
"""Seconds between the first checks of an agent (RFC 8445, section 14.2)."""

PAIRED = frozenset(("host", "srflx", "prflx", "relay"))


def explain(text: str, networks: Sequence[str], policy: Policy) -> Iterator[str]:
    """Lines for a person. ``networks``: ids of the author's network and of the receiver's, as far as known.

    Raises ``SdpError``.
    """
    session = Session.parse(text)
    places = (Place(network=_at(networks, 0)), Place(network=_at(networks, 1)))
    if not session.medias:
        raise SdpError("no media", "")
    for number, media in enumerate(session.medias, 1):
        yield from _explain(session, media, number, places, policy)


def _at(networks: Sequence[str], place: int) -> str | None:
    return networks[place] if place < len(networks) else None


def _explain(
    session: Session, media: Media, number: int, places: tuple[Place, Place], policy: Policy
) -> Iterator[str]:
    if media.port == 0:
        yield f"media {number} ({media.kind}): rejected, nothing to do"
        return
    said, values = read_ice(session, media), candidate_values(media)
    decision = decide(policy, places, Unknowing(), () if said.offered else ("no-ice",))
    components = frozenset((1,) if rtcp_mux(media) else (1, 2))
    verdicts = judge(values, decision, Context(same_site(*places), components, said.ufrag), policy)
    yield f"media {number} ({media.kind}): {decision.result}, because: {decision.why}"
    rows = (
        ("kept", str(one.reason), str(one.candidate))
        if one.candidate is not None
        else ("dropped", str(one.reason), one.text)
        for one in verdicts
    )
    yield from (f"  {line}" for line in candidate_table(rows))
    before = pairs([one for value in values if (one := _read(value)) is not None])
    after = pairs([one.candidate for one in verdicts if one.candidate is not None]) + len(components)
    yield (
        f"  checks of a phone with one address per family: {before} without the relay, {after} with it;"
        f" all are begun after {before * PACE:.2f} s, {after * PACE:.2f} s"
    )


def judge(values: Sequence[str], decision: Decision, context: Context, policy: Policy) -> tuple[Verdict, ...]:
    """What becomes of these candidates, where the relay adds one of its own."""
    if decision.result is Result.RELAY:
        return tuple(Verdict(value, False, useless(value)) for value in values)
    known = Context(context.same_site, context.components, context.ufrag, dropped=policy.drop)
    return choose(values, known, min(policy.direct, MAX_TOTAL - 1))


def pairs(candidates: Sequence[Candidate]) -> int:
    """How many candidates a phone checks that has one address of each family.

    Not those that only connect themselves (RFC 6544, section 6.2), nor what it does not know.
    """
    return sum(
        one.type.lower() in PAIRED
        and one.transport.lower() in ("udp", "tcp")
        and (one.extension("tcptype") or "").lower() != "active"
        and useless(str(one)) is not Reason.INVALID
        for one in candidates
    )


def _read(value: str) -> Candidate | None:
    try:
        return Candidate.parse(value)
    except SdpError:
        return None
