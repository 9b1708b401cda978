"""``icerelay explain CALL-ID``: asks a running relay why ICE of a call went as it did, and says it in words.

One ``query`` over the ng protocol, as a proxy would send it; nothing of the call changes.
"""

from __future__ import annotations

from collections.abc import Iterator

from relay import asking
from relay.asking import AskError, Report
from relay.forward.rule import Address
from relay.ng.bencode import Value
from relay.ng.errors import UNKNOWN_CALL
from relay.sentences import because, candidate_table, printable

PASSING = frozenset(("assist", "passed"))
"""Modes in which the phones check each other."""


class ExplainError(Exception):
    """Nothing to explain. The text says why, for the person who asked."""


def ask(ng: Address, call_id: str) -> Report:
    """What the relay at ``ng`` knows of a call. Raises ``ExplainError``."""
    try:
        reply = asking.ask(ng, {"command": "query", "call-id": call_id})
    except AskError as error:
        raise ExplainError(str(error)) from error
    if reply.get("result") == "error":
        reason, where = str(reply.get("error-reason")), asking.place(ng)
        if reason == UNKNOWN_CALL:
            raise ExplainError(f"the relay at {where} has no such call: it has ended, or never began")
        raise ExplainError(f"the relay at {where} refused: {printable(reason)}")
    return reply


def lines(report: Report) -> Iterator[str]:
    """The reply to ``query`` for a person."""
    if "warning" in report:
        yield f"note: {_text(report, 'warning')}"
    for tag, leg in _dict(report, "tags").items():
        assert isinstance(leg, dict)
        network = f", in a network whose hash begins with {leg['network']}" if "network" in leg else ""
        yield f"party {printable(tag)}{network}"
        for media in _dicts(leg, "medias"):
            yield from (f"  {line}" for line in _media(media))


def _media(media: Report) -> Iterator[str]:
    name = f"media {media.get('index')} ({_text(media, 'type')})"
    ice = _dict(media, "ICE")
    if not ice:
        yield f"{name}: no ICE"
    else:
        yield f"{name}: {_text(ice, 'mode')}, because: {because(_text(ice, 'why'))}"
        yield from (f"  {line}" for line in (*_candidates(ice), *_ways(ice), *_pairs(ice), *_seen(ice)))
    streams = _dicts(media, "streams")
    if streams:
        in_kernel = any("kernelized" in _list(stream, "flags") for stream in streams)
        yield f"  forwarded by: {'kernel' if in_kernel else 'user space'}"


def _candidates(ice: Report) -> Iterator[str]:
    rows = [
        tuple(_text(one, key) for key in ("action", "reason", "candidate"))
        for one in _dicts(ice, "candidates")
    ]
    if not rows:
        return
    yield "candidates of the other phone and ours, and what this one was told, the best first:"
    yield from (f"  {line}" for line in candidate_table((row[0], row[1], row[2]) for row in rows))
    listed = sum(row[0] == "dropped" for row in rows)
    dropped = ice.get("dropped", 0)
    if isinstance(dropped, int) and dropped > listed:
        yield f"  and {dropped - listed} more that were dropped"


def _ways(ice: Report) -> Iterator[str]:
    ways = _dicts(ice, "ways")
    if ways:
        yield "ways to us in its network, as known when it was told:"
        yield "  way   legs  worked    surely between     usable after"
        for one in ways:
            after = f"{one['t50']} ms" if "t50" in one else "unknown"
            shares = [_percent(_text(one, key)) for key in ("p", "lower", "upper")]
            between = f"{shares[1]} and {shares[2]}"
            yield f"  {_text(one, 'way'):5} {one.get('n', 0):4}  {shares[0]:8}  {between:17}  {after}"
    if left_out := _list(ice, "left out"):
        told = f"; told {ice['widened']} ms after the answer, as it missed them" if "widened" in ice else ""
        yield f"left out: {', '.join(map(str, left_out))}{told}"
    if explored := _list(ice, "explored"):
        yield f"told to see whether they work by now: {', '.join(map(str, explored))}"


def _percent(share: str) -> str:
    try:
        return f"{100 * float(share):.1f} %"
    except ValueError:
        return "unknown"


def _pairs(ice: Report) -> Iterator[str]:
    pairs = _dicts(ice, "pairs")
    if pairs:
        yield "pairs of an address of ours and one of the phone's:"
    for one in pairs:
        state, local, remote, kind = (_text(one, key) for key in ("state", "local", "remote", "type"))
        yield f"  {state:8}  {local}  {remote}  {kind}"


def _seen(ice: Report) -> Iterator[str]:
    if "checks in" not in ice:
        return
    first = f"{ice['first check']} ms after the answer" if "first check" in ice else "none came"
    usable = f"{ice['usable']} ms after the answer" if "usable" in ice else "never"
    way = f", by {_text(ice, 'way')}" if "way" in ice else ""
    through = " through the relay" if _text(ice, "mode") in PASSING else ""
    yield f"first check: {first}; media could flow{through}: {usable}{way}"
    if _text(ice, "mode") in PASSING and "way" not in ice:
        yield "the phones agreed on no path by the relay: media goes directly between them, if at all,"
        yield "where the relay cannot see it"
    names = ("in", "refused", "out", "answered")
    checks = ", ".join(f"{ice.get(f'checks {name}', 0)} {name}" for name in names)
    yield f"checks that the plane did not answer by itself: {checks}"
    moves = f"{ice.get('moves', 0)} made, {ice.get('moves failed', 0)} failed"
    yield f"moves: {moves}; paths that lost consent: {ice.get('consent lost', 0)}"


def _text(report: Report, key: str) -> str:
    return printable(str(report.get(key, "")))


def _dict(report: Report, key: str) -> dict[str, Value]:
    value = report.get(key)
    return value if isinstance(value, dict) else {}


def _list(report: Report, key: str) -> list[Value]:
    value = report.get(key)
    return value if isinstance(value, list) else []


def _dicts(report: Report, key: str) -> list[dict[str, Value]]:
    return [one for one in _list(report, key) if isinstance(one, dict)]
