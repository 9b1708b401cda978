"""A session description as lines: what nobody edits is written back byte for byte (RFC 8866).

Parsing only finds where the media sections begin. Whatever a line says is read
when somebody asks for it, so that a description with a line we cannot read
still passes, as long as we need not know what that line says.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import NamedTuple

# Only LF ends a line: str.splitlines() would also cut at form feeds and at U+2028.
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MEDIA = re.compile(r"m=(\S+)\s+(\d{1,5})(?:/(\d{1,5}))?\s+(\S+)(.*)", re.ASCII | re.DOTALL)


class SdpError(ValueError):
    """The text is not SDP we can use. ``line`` is the offending line, without CRLF."""

    def __init__(self, message: str, line: str = "") -> None:
        super().__init__(f"{message}: {line!r}" if line else message)
        self.line = line


def body(line: str) -> str:
    """The line without its ending."""
    return line.rstrip("\r\n")


def attribute_name(line: str) -> str:
    """``rtcp`` for ``a=rtcp:5001``, ``sendrecv`` for ``a=sendrecv``; "" if not an attribute."""
    return line[2:].partition(":")[0].rstrip() if line.startswith("a=") else ""


class _Index(NamedTuple):
    """What attributes a section has."""

    names: list[str]
    """For each line."""
    values: dict[str, list[str]]
    """By name."""

    @classmethod
    def of(cls, lines: list[str]) -> _Index:
        names: list[str] = []
        values: dict[str, list[str]] = {}
        for line in lines:
            if not line.startswith("a="):
                names.append("")
                continue
            name, colon, value = line[2:].rstrip("\r\n").partition(":")
            stripped = name.rstrip()
            names.append(stripped)
            key = name if colon else stripped
            if key in values:
                values[key].append(value)
            else:
                values[key] = [value]
        return cls(names, values)


@dataclass(slots=True)
class Section:
    """The session level, or one media: raw lines including their endings, in order.

    ``newline`` is the ending that new lines of this document get.
    """

    lines: list[str]
    newline: str
    _index: _Index | None = field(default=None, init=False, repr=False, compare=False)

    def value(self, type: str) -> str | None:
        """What follows ``c=``, ``o=``, ``s=`` ... in the first such line; None without one."""
        prefix = type + "="
        for line in self.lines:
            if line.startswith(prefix):
                return body(line)[len(prefix) :]
        return None

    def attributes(self, name: str) -> list[str]:
        """The values of all ``a=name:value`` lines, in order; "" for an ``a=name`` without a value."""
        return self._read_lines().values.get(name, [])

    def attribute(self, name: str) -> str | None:
        """The value of the first ``a=name``; "" if it has no value, None if there is no such line."""
        index = self._index
        if index is None or len(index.names) != len(self.lines):
            index = self._read_lines()
        return index.values[name][0] if name in index.values else None

    @property
    def names(self) -> list[str]:
        """The ``attribute_name`` of each line."""
        return self._read_lines().names

    def _read_lines(self) -> _Index:
        """All lines, read once: a description may have thousands, and is asked for dozens."""
        if self._index is None or len(self._index.names) != len(self.lines):
            self._index = _Index.of(self.lines)
        return self._index

    def __str__(self) -> str:
        return "".join(self.lines)


class MediaLine(NamedTuple):
    """What an m= line says (RFC 8866, section 5.14)."""

    kind: str
    port: int  # 0 .. 65535; 0: rejected, or bundle-only
    port_count: int  # 1 .. 65535
    protocol: str  # in the peer's own letter case
    formats: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> MediaLine:
        """Reads one m= line. Raises SdpError if it has no usable port or no protocol."""
        kind, port, count, protocol, formats = _match_media(line).groups()
        return cls(kind, int(port), int(count or 1), protocol, tuple(formats.split()))


def replace_media_line(line: str, port: int, protocol: str | None) -> str:
    """The m= line without its ending, another port and perhaps another protocol in it.

    A count of ports goes, for ``port`` is one. Raises SdpError.
    """
    match = _match_media(line)
    end = match.end(3) if match[3] else match.end(2)
    before, after = line[: match.start(2)], line[end : match.start(4)]
    return body(f"{before}{port}{after}{protocol or match[4]}{match[5]}")


def _match_media(line: str) -> re.Match[str]:
    match = _MEDIA.match(line)
    if match is None:
        raise SdpError("not an m= line with media, port and protocol", body(line))
    if int(match[2]) > 65535 or not 0 < int(match[3] or 1) <= 65535:
        raise SdpError("m= line with a port or port count out of range", body(line))
    return match


@dataclass(slots=True)
class Media(Section):
    """One media; the first line is its m= line.

    The properties read that line when asked and raise SdpError if it is malformed;
    ``Session.parse`` accepts any line that begins with ``m=``.
    """

    _read: tuple[str, MediaLine] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def parsed(self) -> MediaLine:
        """The m= line, read once: it is asked for a dozen times."""
        line = self.lines[0]
        if self._read is None or self._read[0] != line:
            self._read = line, MediaLine.parse(line)
        return self._read[1]

    @property
    def kind(self) -> str:
        """``audio``, ``video``, ``application``, ..."""
        return self.parsed.kind

    @property
    def port(self) -> int:
        """0 .. 65535."""
        return self.parsed.port

    @property
    def port_count(self) -> int:
        """The number after the slash, 1 without one."""
        return self.parsed.port_count

    @property
    def protocol(self) -> str:
        """``RTP/AVP``, ``UDP/TLS/RTP/SAVPF``, ..., in the peer's own letter case."""
        return self.parsed.protocol

    @property
    def formats(self) -> tuple[str, ...]:
        """Payload types, or whatever else the protocol puts there."""
        return self.parsed.formats

    def copy(self) -> Media:
        return Media(list(self.lines), self.newline)


@dataclass(slots=True)
class Session(Section):
    """A whole description: the lines of the session level, then the medias."""

    medias: list[Media] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Session:
        """Cuts the text into sections; ``str()`` of the result is the text again.

        Lenient: only a text that does not begin with ``v=`` raises SdpError. CRLF and LF may be mixed,
        lines may be empty or without ``=``, the last ending may be missing.
        """
        lines: list[str] = _LINE.findall(text)
        if not text.startswith("v="):
            raise SdpError("the description does not begin with v=", body(lines[0]) if lines else "")
        first = lines[0]
        newline = "\n" if first.endswith("\n") and not first.endswith("\r\n") else "\r\n"
        bounds = [at for at, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
        medias = [Media(lines[start:end], newline) for start, end in itertools.pairwise(bounds)]
        return cls(lines[: bounds[0]], newline, medias)

    def copy(self) -> Session:
        return Session(list(self.lines), self.newline, [media.copy() for media in self.medias])

    def __str__(self) -> str:
        return "".join(["".join(self.lines), *("".join(media.lines) for media in self.medias)])
