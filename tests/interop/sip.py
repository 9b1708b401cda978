"""As much of SIP (RFC 3261) and SDP as a scripted phone needs: messages as text."""

import re
import secrets
from dataclasses import dataclass, field

from tests.ng import Address


@dataclass
class Message:
    """A request or response. Header names are kept as sent and looked up without regard to case."""

    start: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""

    @classmethod
    def parse(cls, datagram: bytes) -> "Message":
        head, _, body = datagram.decode().partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        headers = []
        for line in lines:
            name, _, value = line.partition(":")
            headers.append((name.strip(), value.strip()))
        return cls(start, headers, body)

    def encode(self) -> bytes:
        headers = [*self.headers, ("Content-Length", str(len(self.body.encode())))]
        lines = [self.start, *(f"{name}: {value}" for name, value in headers), "", self.body]
        return "\r\n".join(lines).encode()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str:
        """First header of that name, or an empty string."""
        values = self.all(name)
        return values[0] if values else ""

    @property
    def is_request(self) -> bool:
        return not self.start.startswith("SIP/2.0 ")

    @property
    def status(self) -> int:
        """Status code of a response; 0 for a request."""
        return 0 if self.is_request else int(self.start.split(" ", 2)[1])

    @property
    def method(self) -> str:
        """Method of a request, or of the request that a response answers."""
        return self.start.split(" ", 1)[0] if self.is_request else self.get("CSeq").split()[1]

    @property
    def sequence(self) -> int:
        return int(self.get("CSeq").split()[0])

    @property
    def branch(self) -> str:
        found = re.search(r";branch=([^;,\s]+)", self.get("Via"))
        return found.group(1) if found else ""

    def tag(self, name: str) -> str:
        """The tag of From or To, or an empty string."""
        found = re.search(r";tag=([^;\s]+)", self.get(name))
        return found.group(1) if found else ""

    def uri(self, name: str) -> str:
        """The URI of From, To or Contact."""
        return uri_of(self.get(name))


def uri_of(value: str) -> str:
    """The URI in a header value, with or without angle brackets."""
    found = re.search(r"<([^>]*)>", value)
    return found.group(1) if found else value.split(";")[0].strip()


def routes(message: Message) -> list[str]:
    """Record-Route values, topmost first."""
    return [one.strip() for value in message.all("Record-Route") for one in value.split(",")]


def response(request: Message, status: int, reason: str, tag: str = "") -> Message:
    """An answer to `request` with the headers it must repeat; `tag` is added to To if there is none."""
    reply = Message(f"SIP/2.0 {status} {reason}")
    for name, value in request.headers:
        if name.lower() in ("via", "from", "call-id", "cseq", "record-route"):
            reply.headers.append((name, value))
        elif name.lower() == "to":
            reply.headers.append((name, value if ";tag=" in value or not tag else f"{value};tag={tag}"))
    return reply


def new_branch() -> str:
    return f"z9hG4bK{secrets.token_hex(8)}"


def new_tag() -> str:
    return secrets.token_hex(6)


MIRRORED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
"""What a phone that agrees answers to each direction (RFC 3264, section 6.1)."""


@dataclass(frozen=True)
class Description:
    """What an SDP body with one audio line says."""

    text: str
    address: Address
    origin: str
    direction: str

    @classmethod
    def parse(cls, text: str) -> "Description":
        lines = text.splitlines()
        media = next(line for line in lines if line.startswith("m=audio "))
        connection = [line for line in lines if line.startswith("c=IN ")][-1]
        origin = next(line for line in lines if line.startswith("o="))
        found = [line[2:] for line in lines if line[2:] in MIRRORED and line.startswith("a=")]
        address = (connection.split()[2], int(media.split()[1]))
        return cls(text, address, origin.split()[5], found[-1] if found else "sendrecv")


def describe(address: Address, version: int, direction: str) -> str:
    """The SDP of a phone that does G.711 at `address`."""
    host, port = address
    lines = [
        "v=0", f"o=- 1 {version} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0",
        f"m=audio {port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15", "a=ptime:20", f"a={direction}", "",
    ]  # fmt: skip
    return "\r\n".join(lines)
