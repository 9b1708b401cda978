"""The tests' own view of an SDP: lines by section, and what the tests ask of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True)
class OfferedCandidate:
    """One ``a=candidate`` line."""

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    type: str
    rest: tuple[str, ...]


@dataclass
class Part:
    """The session level, or one media section with its ``m=`` line first."""

    lines: list[str] = field(default_factory=list)

    def value(self, kind: str) -> str | None:
        """What follows ``kind=`` in the first such line."""
        return next((line[2:] for line in self.lines if line.startswith(kind + "=")), None)

    def attributes(self, name: str) -> list[str]:
        """Values of all ``a=name`` lines, empty for those that have none."""
        found = [line[2:].partition(":") for line in self.lines if line.startswith("a=")]
        return [value for key, _, value in found if key == name]

    def has(self, name: str) -> bool:
        return bool(self.attributes(name))

    def attribute(self, name: str) -> str | None:
        return next(iter(self.attributes(name)), None)

    @property
    def direction(self) -> str | None:
        return next((name for name in DIRECTIONS if self.has(name)), None)

    @property
    def candidates(self) -> list[OfferedCandidate]:
        return [_candidate(value.split()) for value in self.attributes("candidate")]


def _candidate(words: Sequence[str]) -> OfferedCandidate:
    foundation, component, transport, priority, address, port, _, kind, *rest = words
    return OfferedCandidate(
        foundation, int(component), transport.lower(), int(priority), address, int(port), kind, tuple(rest)
    )


class MediaPart(Part):
    """One media section."""

    @property
    def words(self) -> list[str]:
        return self.lines[0][2:].split()

    @property
    def kind(self) -> str:
        return self.words[0]

    @property
    def port(self) -> int:
        return int(self.words[1].partition("/")[0])

    @property
    def protocol(self) -> str:
        return self.words[2]

    @property
    def formats(self) -> list[str]:
        return self.words[3:]


class Description:
    """A whole SDP. Every line must end in CRLF."""

    def __init__(self, text: object) -> None:
        assert isinstance(text, str), f"not an SDP: {text!r}"
        assert text.endswith("\r\n")
        assert "\n" not in text.replace("\r\n", ""), f"a line does not end in CRLF: {text!r}"
        self.text = text
        self.session = Part()
        self.medias: list[MediaPart] = []
        for line in text.split("\r\n")[:-1]:
            if line.startswith("m="):
                self.medias.append(MediaPart())
            (self.medias[-1] if self.medias else self.session).lines.append(line)

    def __iter__(self) -> Iterator[MediaPart]:
        return iter(self.medias)

    @property
    def media(self) -> MediaPart:
        """The first media."""
        return self.medias[0]

    def connection(self, media: MediaPart | None = None) -> str | None:
        """``IN IP4 ...`` in effect for a media, the first if not given."""
        return (media or self.media).value("c") or self.session.value("c")

    def address(self, media: MediaPart | None = None) -> str | None:
        """The address of ``connection``."""
        connection = self.connection(media)
        return connection.split()[2] if connection is not None else None

    def direction(self, media: MediaPart | None = None) -> str | None:
        """The direction in effect for a media, None where nobody says."""
        return (media or self.media).direction or self.session.direction

    @property
    def origin(self) -> list[str]:
        """The six words of ``o=``."""
        return (self.session.value("o") or "").split()


def sdp(*lines: str) -> str:
    """An SDP of these lines."""
    return "".join(line + "\r\n" for line in lines)


def plain(
    address: str = "198.51.100.1",
    port: int = 10000,
    *extra: str,
    user: str = "alice",
    version: int = 1,
    protocol: str = "RTP/AVP",
    session: Sequence[str] = (),
) -> str:
    """A plain audio description; ``extra`` are lines of the media, ``session`` of the session level."""
    family = "IP6" if ":" in address else "IP4"
    return sdp(
        "v=0",
        f"o={user} 1 {version} IN {family} {address}",
        "s=call",
        f"c=IN {family} {address}",
        "t=0 0",
        *session,
        f"m=audio {port} {protocol} 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        *extra,
    )
