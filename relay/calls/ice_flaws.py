"""What is wrong with the ICE of a description, and need not end a call: counted, and named in the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from relay.calls.state import Media
from sdp.ice import IceDescription

FLAWS = {
    "mismatch": "a=ice-mismatch: the phone does without ICE, since something on the way changed addresses",
    "bad-restart": "only one of ice-ufrag and ice-pwd changed: taken for a restart of ICE",
}
"""For the log, by the word that the counter has."""


def found(media: Media, said: IceDescription) -> Iterator[str]:
    """Words of ``FLAWS``. ``media`` is as it was before its peer said so."""
    if said.mismatch:
        yield "mismatch"
    if _is_half_restart(media, said):
        yield "bad-restart"


def _is_half_restart(media: Media, said: IceDescription) -> bool:
    """A restart changes ufrag and password (RFC 8839, section 4.4.1.1.1).

    Whoever changes one of them has other credentials than before, so only new checks can tell whether it
    is there: a restart loses nothing, and a refused re-INVITE would end calls that go on well.
    """
    if media.ice is None or media.ice.remote is None or not said.offered:
        return False
    return (said.ufrag == media.ice.remote.ufrag) != (said.pwd == media.ice.remote.pwd)


def believed(answer: IceDescription) -> IceDescription:
    """An answer with ``a=ice-mismatch`` is one without ICE, whatever it says (RFC 8839, section 4.2.5)."""
    return replace(answer, ufrag=None, pwd=None, candidates=()) if answer.mismatch else answer
