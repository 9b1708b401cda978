"""rtcp-mux between two legs (RFC 5761), as the ng words ``rtcp-mux`` steer it.

``require`` implies ``offer``, and ``offer`` beats ``demux``. Only the words of
the offer count. All combinations are in the tests as a table.
"""

from __future__ import annotations


def offers(words: frozenset[str]) -> bool:
    """The operator wants mux offered, whatever the offerer does."""
    return bool(words & {"offer", "require"})


def advertise(offered: bool, words: frozenset[str], in_use: bool) -> bool:
    """Write ``a=rtcp-mux`` into the offer.

    ``offered``: the offerer has it; ``in_use``: it was agreed with the answerer before.
    """
    return offers(words) or in_use or (offered and "demux" not in words)


def require(words: frozenset[str], in_use: bool) -> bool:
    """The offer names one port only: the answerer cannot refuse."""
    return "require" in words or in_use


def agree(offered: bool, words: frozenset[str], answered: bool) -> bool:
    """Write ``a=rtcp-mux`` into the answer to the offerer.

    ``offered``: the offerer had it; ``answered``: the answerer accepted ours.
    """
    if not offered or "reject" in words:
        return False
    if "accept" in words or ("demux" in words and not offers(words)):
        return True
    return answered
