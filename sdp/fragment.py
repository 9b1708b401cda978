"""Fragments of a description: candidates that come later (RFC 8840, section 9).

The body of an INFO, ``application/trickle-ice-sdpfrag``: ICE attributes of the
session level, then m= lines that only say which media is meant, each with its
``a=mid`` and what is new of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sdp.candidate import Candidate
from sdp.session import SdpError, Section, Session

MAX_LENGTH = 16_384
"""Characters: a hundred candidates, told once again in each fragment (RFC 8840, section 4.4)."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a fragment says of one media."""

    mid: str | None
    index: int | None
    """Of its m= line, 0 for the first; None for lines that stand before any m= line."""
    ufrag: str | None
    """The media's own, else that of the session level."""
    candidates: tuple[Candidate, ...]
    end_of_candidates: bool
    """Said of this media, or of all (RFC 8840, section 8)."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """All that a fragment says. Lines that it should not have are left out, and so are unknown ones."""

    parts: tuple[Part, ...]
    invalid: tuple[str, ...]
    """Values of ``a=candidate`` lines that could not be read."""
    length: int
    """Of the text, 0 .. ``MAX_LENGTH``."""

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """Reads a fragment. Raises SdpError where it is longer than ``MAX_LENGTH``, and for nothing else.

        A whole description, which some send in its place, says the same.
        """
        if len(text) > MAX_LENGTH:
            raise SdpError(f"a fragment of more than {MAX_LENGTH} characters")
        session = Session.parse(f"v=0\r\n{text}")
        invalid: list[str] = []
        parts = [_part(session, media, at, invalid) for at, media in enumerate(session.medias)]
        if not parts or session.attribute("candidate") is not None:
            parts.insert(0, _part(session, session, None, invalid))
        return cls(tuple(parts), tuple(invalid), len(text))


@dataclass(frozen=True, slots=True)
class Addition:
    """What a fragment of ours says of one media; nothing but its place where it has no candidates."""

    kind: str
    mid: str | None
    ufrag: str = ""
    pwd: str = ""
    candidates: tuple[Candidate, ...] = ()
    """All of them that there are."""


def written(additions: Iterable[Addition]) -> str:
    """The body of a fragment: all medias of a description, in order (RFC 8840, section 9.2).

    >>> written([Addition("audio", "a"), Addition("video", "b")]).split("\\r\\n")
    ['m=audio 9 RTP/AVP 0', 'a=mid:a', 'm=video 9 RTP/AVP 0', 'a=mid:b', '']
    """
    lines: list[str] = []
    for one in additions:
        lines += [f"m={one.kind} 9 RTP/AVP 0", *([f"a=mid:{one.mid}"] if one.mid else [])]
        if one.candidates:
            lines += [f"a=ice-ufrag:{one.ufrag}", f"a=ice-pwd:{one.pwd}"]
            lines += [*(f"a=candidate:{candidate}" for candidate in one.candidates), "a=end-of-candidates"]
    return "".join(f"{line}\r\n" for line in lines)


def _part(session: Section, media: Section, index: int | None, invalid: list[str]) -> Part:
    candidates = []
    for value in media.attributes("candidate"):
        try:
            candidates.append(Candidate.parse(value.strip()))
        except SdpError:
            invalid.append(value)
    ufrag = _value(media, "ice-ufrag")
    return Part(
        mid=_value(media, "mid"),
        index=index,
        ufrag=_value(session, "ice-ufrag") if ufrag is None else ufrag,
        candidates=tuple(candidates),
        end_of_candidates=any(one.attribute("end-of-candidates") is not None for one in (media, session)),
    )


def _value(section: Section, name: str) -> str | None:
    """The value of the first such attribute; None if there is none, or nothing in it."""
    value = section.attribute(name)
    return value.strip() or None if value is not None else None
