"""What the codes of ``ICE=optimize`` mean, in words: for ``icerelay plan`` and ``icerelay explain``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sdp.reason import Reason

LONGEST = 200
"""Characters of a candidate that are shown."""

WHY = {
    "default": "nothing speaks for letting media past the relay",
    "same-site": "both phones are in one network",
    "far-relay": "the way over the relay is known to be long",
    "direct-works": "apps in both networks said that they reach other phones past the relay",
    "policy": "the operator's policy says so",
    "settled": "a leg of the call had it so before",
    "no-ice": "one of the phones has no ICE, or is answered as if it had none",
    "ice-lite": "a phone is ICE-lite",
    "keys": "the relay has to encrypt or decrypt",
    "rtcp-mux": "RTCP has a port of its own on one leg only",
    "interfaces": "the phones are on two interfaces of the relay",
    "force": "the proxy asked for ICE=force",
    "optional": "the proxy asked for ICE=optional",
    "force-relay": "the proxy asked for ICE=force-relay",
    "as-offered": "the phone has ICE, and the proxy asked for nothing else on its leg",
}
"""Why a leg has its mode: the codes of ``why`` in a report."""

SENTENCES = {str(reason): reason.sentence for reason in Reason}


def because(why: str) -> str:
    """The code, and what it means as far as that is known.

    >>> because("same-site")
    'same-site (both phones are in one network)'
    """
    return f"{why} ({WHY[why]})" if why in WHY else printable(why)


def candidate_table(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Lines for rows of action, reason and candidate; then a sentence for each reason."""
    reasons: dict[str, None] = {}
    for action, reason, candidate in rows:
        reasons[reason] = None
        yield f"{action:7}  {reason:14}  {printable(candidate)[:LONGEST]}"
    for reason in reasons:
        if reason in SENTENCES:
            yield f"{reason}: {SENTENCES[reason]}"


def printable(text: str) -> str:
    """Text of a phone, which may hold anything, as a terminal can take it."""
    return "".join(one if one.isprintable() else "?" for one in text)
