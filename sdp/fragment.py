"""Fragments of a description: candidates that come later (RFC 8840, section 9).

The body of an INFO, ``application/trickle-ice-sdpfrag``: ICE attributes of the
session level, then m= lines that only say which media is meant, each with its
``a=mid`` and what is new of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sdp.candidate import Candidate
from sdp.session import SdpError, Section, Session, attribute_name, body

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
    invalid: tuple[str, ...]
    """Values of ``a=candidate`` lines that could not be read."""
    end_of_candidates: bool
    """Said of this media, or of all (RFC 8840, section 8)."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """All that a fragment says. Lines that it should not have are left out, and so are unknown ones."""

    parts: tuple[Part, ...]
    length: int
    """Of the text, 0 .. ``MAX_LENGTH``."""

    @property
    def invalid(self) -> tuple[str, ...]:
        """Values of ``a=candidate`` lines that could not be read."""
        return tuple(value for part in self.parts for value in part.invalid)

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """Reads a fragment. Raises SdpError where it is longer than ``MAX_LENGTH``, and for nothing else.

        A whole description, which some send in its place, says the same.
        """
        if len(text) > MAX_LENGTH:
            raise SdpError(f"a fragment of more than {MAX_LENGTH} characters")
        session = Session.parse(f"v=0\r\n{text}")
        parts = [_part(session, media, at) for at, media in enumerate(session.medias)]
        if not parts or session.attribute("candidate") is not None:
            parts.insert(0, _part(session, session, None))
        return cls(tuple(parts), len(text))


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


def rewritten(text: str, told: Callable[[int | None, str], str | None]) -> str:
    """The fragment with other candidates; every other line stays as it is.

    ``told`` gets the index of the m= line, None before any, and the value of an ``a=candidate`` line; it
    returns the value to write, or None for no line.
    """
    session = Session.parse(f"v=0\r\n{text}")
    session.lines = _rewritten(session, None, told)[1:]
    for index, media in enumerate(session.medias):
        media.lines = _rewritten(media, index, told)
    return str(session)


def _rewritten(
    section: Section, index: int | None, told: Callable[[int | None, str], str | None]
) -> list[str]:
    lines = []
    for line in section.lines:
        if attribute_name(line) == "candidate":
            value = told(index, body(line).partition(":")[2].strip())
            if value is None:
                continue
            line = f"a=candidate:{value}{line[len(body(line)) :]}"
        lines.append(line)
    return lines


def _part(session: Section, media: Section, index: int | None) -> Part:
    candidates, invalid = [], []
    for value in media.attributes("candidate"):
        try:
            candidates.append(Candidate.parse(value.strip()))
        except SdpError:
            invalid.append(value.strip())
    ufrag = _value(media, "ice-ufrag")
    return Part(
        mid=_value(media, "mid"),
        index=index,
        ufrag=_value(session, "ice-ufrag") if ufrag is None else ufrag,
        candidates=tuple(candidates),
        invalid=tuple(invalid),
        end_of_candidates=any(one.attribute("end-of-candidates") is not None for one in (media, session)),
    )


def _value(section: Section, name: str) -> str | None:
    """The value of the first such attribute; None if there is none, or nothing in it."""
    value = section.attribute(name)
    return value.strip() or None if value is not None else None
