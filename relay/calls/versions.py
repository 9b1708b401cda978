"""Our own count of the versions of a session towards one party (the ``replace`` word ``sdp-version``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relay.calls.state import Names
from sdp.rewrite import MediaOut, SessionOut, rewrite
from sdp.session import Session


def version(
    session: Session, out: SessionOut, medias: Sequence[MediaOut | None], told: Names, first: str
) -> int:
    """Raised by one when anything differs from what the party was ``told`` the last time.

    ``first``: where the other party's count begins, and so ours.
    """
    if told.version is None:
        told.version = _number(first)
    text = rewrite(session, replace(out, version=0), medias).text
    if told.text and told.text != text:
        told.version += 1
    told.text = text
    return told.version


def _number(text: str) -> int:
    """A session version; what is no number (RFC 8866 wants one) counts as none yet."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
