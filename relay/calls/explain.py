"""Why ICE of a call went as it did: for ``query``, and one line for the log when a leg ends.

Nothing here decides anything. Shares and bounds are text, since bencode has no fractions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from relay.calls import widening
from relay.calls.outcome import FAMILIES, arm_of, ms_after, remote_type
from relay.calls.report import Reply, parties
from relay.calls.state import Call, Leg, Media, MediaIce, Mode
from relay.ice.outputs import Path as IcePath
from relay.ice.policy import Place, Way
from relay.memory import beta
from relay.memory.record import Record
from sdp.choose import Verdict, passing
from sdp.ice import useless
from sdp.reason import Reason

MAX_DROPPED = 32
"""Candidates listed per media beside the kept ones: a report is to fit one datagram."""
MAX_TEXT = 256
"""Characters of a candidate that cannot be read."""

PRECISION = 1e-4
"""Of bounds: three digits are shown, and each further one costs a tenth of a millisecond."""

ASKED_FOR = frozenset(("force", "optional", "force-relay"))
"""Values of ``ICE`` that say by themselves what becomes of it."""


def explain(tags: Reply, call: Call, tag: str | None, hashed: Callable[[Place], str]) -> None:
    """Add what ICE did to ``tags`` of a report, which ``tag`` may restrict as in ``parties``."""
    for name, leg in parties(call, tag).items():
        if network := hashed(leg.place):
            tags[name]["network"] = network
        if fragment := widening.fragment(leg):
            tags[name]["ice-widen"] = fragment
        for media, report in zip(leg.medias, tags[name]["medias"], strict=True):
            if media.ice is not None or media.decision is not None:
                report["ICE"] = _media(call, leg, media)


def _media(call: Call, leg: Leg, media: Media) -> Reply:
    """A media that uses another one's ports says no more than mode and reason."""
    mode, why = _decided(leg, media)
    verdicts = media.verdicts if media.decision is not None else _undecided(call, leg, media)
    report: Reply = {"mode": mode, "why": why, "dropped": sum(not one.kept for one in verdicts)}
    report["candidates"] = [*_kept(verdicts, media), *_dropped(verdicts)]
    if media.order is not None:
        report["ways"] = [_way(one) for one in media.order.ways]
        report["left out"] = [FAMILIES[family].value for family in media.order.dropped]
        report["explored"] = [FAMILIES[family].value for family in media.order.explored]
    if media.widened_at is not None and call.answered_at is not None:
        report["widened"] = ms_after(media.widened_at, call.answered_at)
    if media.ice is None:
        return report
    report["pairs"] = list(_pairs(media, media.ice))
    return report | _seen(call, media, media.ice)


def _decided(leg: Leg, media: Media) -> tuple[str, str]:
    """Under ``optimize`` as decided; otherwise as the proxy asked, or as the phones offered."""
    if media.decision is not None:
        return str(media.decision.result), media.decision.why
    passed = media.ice is not None and media.ice.mode is Mode.PASSED
    asked = leg.ice_asked in ASKED_FOR
    return "passed" if passed else "relay", (leg.ice_asked or "") if asked else "as-offered"


def _undecided(call: Call, leg: Leg, media: Media) -> tuple[Verdict, ...]:
    """What another value of ``ICE`` makes of the other phone's candidates, later ones included.

    It is worked out when somebody asks; of candidates that cannot be read nothing is known any more.
    """
    partner = call.legs.get(leg.partner or 0)
    theirs = partner.medias[media.index] if partner and media.index < len(partner.medias) else None
    if media.ice is None or media.follows or partner is None or theirs is None:
        return ()
    said = partner.carrier(theirs).ice
    texts = [str(one) for one in said.candidates] if said is not None else []
    if media.ice.mode is Mode.PASSED:
        return passing(texts, "force-relay" in (leg.ice_option, partner.ice_option))
    return tuple(Verdict(text, False, useless(text)) for text in texts)


def _kept(verdicts: tuple[Verdict, ...], media: Media) -> list[Reply]:
    """What the phone was told, the best first."""
    told = [(one.candidate, one.reason) for one in verdicts if one.candidate is not None]
    told += [(candidate, Reason.RELAY_INSERTED) for candidate in media.own]
    told.sort(key=lambda one: -one[0].priority)
    return [
        {"candidate": str(one), "action": "kept", "reason": str(why), "rank": rank, "priority": one.priority}
        for rank, (one, why) in enumerate(told)
    ]


def _dropped(verdicts: tuple[Verdict, ...]) -> list[Reply]:
    found = [
        {"candidate": verdict.text[:MAX_TEXT], "action": "dropped", "reason": str(verdict.reason)}
        for verdict in verdicts
        if not verdict.kept
    ]
    return found[:MAX_DROPPED]


def _way(way: Way) -> Reply:
    """``p`` is the share of what worked, between two bounds that it surely (95 %) does not pass."""
    lower, upper = (
        beta.quantile(one, way.alpha, way.beta, PRECISION) for one in (1.0 - beta.SURE, beta.SURE)
    )
    report: Reply = {
        "way": way.name,
        "n": way.legs,
        "p": f"{way.alpha / (way.alpha + way.beta):.3f}",
        "lower": f"{lower:.3f}",
        "upper": f"{upper:.3f}",
    }
    return report if way.median_ms is None else report | {"t50": int(way.median_ms)}


def _pairs(media: Media, ice: MediaIce) -> Iterator[Reply]:
    """Where the phone was heard or checked, with what came of it."""
    for at, state in _states(media, ice):
        local = _local(media, at.port)
        if local is None:
            continue
        arm = arm_of(media, ice, at)
        yield {
            "local": local,
            "remote": _text(*at.remote),
            "type": remote_type(ice, at),
            "way": arm.value if arm is not None else "",
            "state": state,
        }


def _states(media: Media, ice: MediaIce) -> Iterator[tuple[IcePath, str]]:
    if ice.agent is not None:
        yield from ice.agent.pairs()
        return
    chosen = {(stream.path.port.handle, stream.chosen) for stream in media.streams}
    for passer in ice.passers:
        for at in passer.validated(ice.side):
            yield at, "selected" if (at.port, at.remote) in chosen else "heard"


def _local(media: Media, handle: int) -> str | None:
    """None: the port is not ours any more."""
    for stream in media.streams:
        for path in stream.paths:
            if path.port.handle == handle:
                return _text(path.port.at.advertised, path.port.number)
    return None


def _text(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _seen(call: Call, media: Media, ice: MediaIce) -> Reply:
    """Times are milliseconds from the answer, 0 for what was there before it."""
    seen, report = ice.seen, Reply()
    if call.answered_at is not None and seen.first_check is not None:
        report["first check"] = ms_after(seen.first_check, call.answered_at)
    if call.answered_at is not None and seen.usable:
        report["usable"] = ms_after(min(seen.usable.values()), call.answered_at)
    arm = arm_of(media, ice, seen.selected) if seen.selected is not None else None
    if arm is not None:
        report["way"] = arm.value
    counts = {
        "checks in": seen.checks_in,
        "checks refused": seen.refused,
        "checks out": seen.checks_out,
        "checks answered": seen.answered,
        "moves": seen.moves,
        "moves failed": seen.moves_failed,
        "consent lost": seen.consent_lost,
    }
    return report | counts


def story(leg: Leg, known: Record) -> str:
    """How ICE of a leg went, for the log; empty if it had none. No address, and no id of a network."""
    media = next((one for one in leg.medias if one.ice is not None and one.streams), None)
    if media is None or not known.answered:
        return ""
    mode, why = _decided(leg, media)
    verdicts = [verdict for one in leg.medias for verdict in one.verdicts]
    kept = sum(verdict.kept for verdict in verdicts)
    soonest = min(known.usable.values(), default=None)
    left_out = media.order.dropped if media.order is not None else ()
    facts = {
        "mode": mode,
        "why": why,
        "ways": _words(known.given),
        "left-out": _words(FAMILIES[family] for family in left_out),
        "widened": "yes" if media.widened_at is not None else "no",
        "first-check": _ms(known.first_check),
        "usable": _ms(soonest),
        "way": known.chosen.value if known.chosen is not None else "none",
        "moves": known.moves,
        "own": sum(len(one.own) for one in leg.medias),
        "kept": kept,
        "dropped": len(verdicts) - kept,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items())


def _words(arms: Iterator[str] | tuple[str, ...]) -> str:
    return ",".join(arms) or "none"


def _ms(value: int | None) -> str:
    return "never" if value is None else f"{value}ms"


def candidates(leg: Leg) -> Counter[tuple[str, str]]:
    """How many candidates the phone was told and not told, by action and reason, for the counters.

    Of what was decided under ``optimize``: other values of ``ICE`` leave nothing to decide.
    """
    found: Counter[tuple[str, str]] = Counter()
    for media in leg.medias:
        for verdict in media.verdicts:
            found["kept" if verdict.kept else "dropped", str(verdict.reason)] += 1
        if media.own and media.decision is not None:
            found["kept", str(Reason.RELAY_INSERTED)] += len(media.own)
    return found


def without_ice(report: Reply) -> Reply:
    """The same report as if nothing had been explained of its medias."""
    tags = {}
    for name, leg in report["tags"].items():
        medias = [{key: value for key, value in media.items() if key != "ICE"} for media in leg["medias"]]
        tags[name] = {**leg, "medias": medias}
    return {**report, "tags": tags}
