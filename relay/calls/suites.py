"""Which crypto suites a party is offered, and which line of its own is taken: the ng words of ``SDES``.

Words are as ``Request.sdes`` has them: in lower case, with hyphens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sdp.crypto import SUITES, Crypto

LIFETIME = 2**31
"""Packets that ``lifetime`` promises: the bound of SRTCP (RFC 3711, section 9.2)."""


def offered(theirs: Iterable[Crypto], words: frozenset[str], usable: frozenset[str]) -> list[str]:
    """The suites to offer to one party, the best first, after the other one offered ``theirs``.

    The other one's come first, then all that encrypt. ``nonew`` wants no others
    than the other one's, if it has some, and beats ``only-``, which beats ``no-``.
    """
    brought = [line.suite for line in theirs if line.suite in SUITES]
    if "nonew" in words and brought:
        names = brought
    else:
        names = [name for name in (*brought, *_ENCRYPTING) if _allowed(name, words)]
    first = _ranks("order:", words)
    usable_names = [name for name in dict.fromkeys(names) if name in usable]
    return sorted(usable_names, key=lambda name: first.get(_word(name), len(first)))


def taken(
    lines: Iterable[Crypto], words: frozenset[str], usable: frozenset[str], current: Crypto | None
) -> Crypto | None:
    """The line of an offerer that we take; None if there is none that we can honour in full.

    The one in use stays, or else its suite; then ``offerer_pref:`` decides, and
    then the offerer's own order (RFC 4568, section 5.1.2).
    """
    suite = current.suite if current is not None else None
    preferred = _ranks("offerer-pref:", words)

    def rank(line: Crypto) -> tuple[bool, bool, int]:
        return line != current, line.suite != suite, preferred.get(_word(line.suite), len(preferred))

    return min((line for line in lines if acceptable(line, usable)), key=rank, default=None)


def acceptable(line: Crypto, usable: frozenset[str]) -> bool:
    """Whether the plane has the suite, and we all that the line demands."""
    return line.supported and line.suite in usable


def written(lines: Iterable[Crypto], words: frozenset[str]) -> tuple[Crypto, ...]:
    """Our lines as ``pad`` and ``lifetime`` want them."""
    return tuple(
        replace(
            line,
            padding=line.padding or "pad" in words,
            lifetime=LIFETIME if "lifetime" in words else line.lifetime,
        )
        for line in lines
    )


_ENCRYPTING = tuple(name for name in SUITES if not name.startswith("NULL"))


def _word(suite: str) -> str:
    return suite.lower().replace("_", "-")


def _allowed(name: str, words: frozenset[str]) -> bool:
    only = {word.removeprefix("only-") for word in words if word.startswith("only-")}
    return _word(name) in only if only else f"no-{_word(name)}" not in words


def _ranks(prefix: str, words: frozenset[str]) -> dict[str, int]:
    """The places of the suites in ``order:A;B;``, by word."""
    found = next((word.removeprefix(prefix) for word in sorted(words) if word.startswith(prefix)), "")
    return {name.strip(): rank for rank, name in reversed(list(enumerate(found.split(";"))))}
