"""Two replies to one request, brought to what must agree: each aspect has a name and a comparable value.

Ports, credentials and clocks differ by nature. Of addresses only "the relay's" or which else is compared,
and of ports which of them are the same within one call.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.blackbox.description import Description, MediaPart
from tests.ng import Reply

Aspects = dict[str, object]
Values = tuple[object, object]
"""Ours, and the recorded one."""

ICE_ATTRIBUTES = ("ice-ufrag", "ice-pwd", "ice-options", "end-of-candidates", "remote-candidates")


@dataclass
class Reader:
    """Reads the replies of one relay, in order; remembers the ports it gave away."""

    relay: str
    """Its media address."""
    ports: dict[object, list[int]] = field(default_factory=dict)
    """By call, in the order they were first seen."""

    def aspects(self, request: Reply, reply: Reply) -> Aspects:
        """Everything that is compared of one reply."""
        found: Aspects = {"keys": sorted(reply), "result": reply["result"]}
        found |= {name: reply[name] for name in ("error-reason", "warning") if name in reply}
        if "sdp" in reply:
            found |= self._of_description(request["call-id"], Description(reply["sdp"]))
        if "tags" in reply:
            found |= self._of_report(reply)
        return found

    def _of_description(self, call: object, description: Description) -> Aspects:
        medias = [dict(self._of_media(call, description, media)) for media in description]
        names = medias[0] if medias else {}
        found: Aspects = {
            "session lines": [line for line in description.session.lines if line[0] in "vst"],
            "origin": [self._name(word) for word in description.origin],
            "bundle": description.session.attributes("group"),
            "session attributes": sorted(
                line for line in description.session.lines if line[:2] == "a=" and line[:7] != "a=group"
            ),
        }
        return found | {name: [media[name] for media in medias] for name in names}

    def _of_media(
        self, call: object, description: Description, media: MediaPart
    ) -> Iterator[tuple[str, object]]:
        yield "kind", media.kind
        yield "protocol", media.protocol
        yield "formats", media.formats
        yield "port", self._port(call, media.port)
        yield "address", self._name(description.address(media) or "")
        yield "direction", description.direction(media)
        yield "rtcp-mux", media.has("rtcp-mux")
        yield "rtcp", _rtcp(media)
        yield "ice attributes", [name for name in ICE_ATTRIBUTES if media.has(name)]
        yield "candidates", [(c.component, c.transport, c.type) for c in media.candidates]
        yield "mid", media.attributes("mid")
        yield "crypto", media.has("crypto")
        yield "fingerprint", media.has("fingerprint")
        yield "setup", media.attributes("setup")
        yield "tls-id", media.has("tls-id")
        yield (
            "other attributes",
            sorted(line for line in media.lines if line.startswith("a=") and _name_of(line) not in COMPARED),
        )

    def _port(self, call: object, port: int) -> str:
        if port in (0, 9):
            return str(port)
        seen = self.ports.setdefault(call, [])
        if port not in seen:
            seen.append(port)
        return f"port {seen.index(port)} of the call"

    def _name(self, address: str) -> str:
        return "the relay" if address == self.relay else address

    def _of_report(self, report: Any) -> Aspects:
        parties = {_party_name(party): dict(self._of_party(party)) for party in report["tags"].values()}
        names = dict.fromkeys(name for party in parties.values() for name in party)
        found: Aspects = {
            "parties": sorted(parties),
            "totals keys": {name: sorted(part) for name, part in report["totals"].items()},
        }
        return found | {
            f"party {name}": {who: party[name] for who, party in parties.items() if name in party}
            for name in names
        }

    def _of_party(self, party: Any) -> Iterator[tuple[str, object]]:
        yield "keys", sorted(party)
        yield "via-branch", party.get("via-branch")
        for name in ("subscriptions", "subscribers"):
            yield name, sorted((link["tag"], link["type"]) for link in party[name])
        yield "media keys", [sorted(media) for media in party["medias"]]
        yield "media", [(media["index"], media["type"], media.get("protocol")) for media in party["medias"]]
        yield "codec", [media.get("codec") for media in party["medias"]]
        yield "media flags", [sorted(media["flags"]) for media in party["medias"]]
        streams = [stream for media in party["medias"] for stream in media["streams"]]
        yield "streams", [len(media["streams"]) for media in party["medias"]]
        yield "stream keys", [sorted(stream) for stream in streams]
        yield "stream flags", [sorted(stream["flags"]) for stream in streams]
        yield "stats keys", sorted({key for stream in streams for key in stream["stats"]})
        yield "signalled", [tuple(stream["advertised endpoint"].values()) for stream in streams]


COMPARED = {
    "rtcp-mux", "rtcp", "mid", "crypto", "fingerprint", "setup", "tls-id", "candidate", *ICE_ATTRIBUTES,
    "sendrecv", "sendonly", "recvonly", "inactive",
}  # fmt: skip
"""Attributes that have an aspect of their own."""


def _name_of(line: str) -> str:
    return line[2:].partition(":")[0]


def _rtcp(media: MediaPart) -> str:
    """How ``a=rtcp`` relates to the port of the media."""
    value = media.attribute("rtcp")
    if value is None:
        return "absent"
    port, *address = value.split()
    place = {0: "the same port", 1: "the next port"}.get(int(port) - media.port, "another port")
    return place + (" with address" if address else "")


def _party_name(party: Any) -> str:
    return str(party["tag"] or f"nobody yet {party.get('via-branch', '')}")


def differences(ours: Aspects, recorded: Aspects) -> dict[str, Values]:
    """Aspects that do not agree: name, our value, the recorded value.

    Parties are compared where both reports have them; which parties there are is an aspect of its own.
    """
    found = {}
    for name in dict.fromkeys([*recorded, *ours]):
        one, other = ours.get(name), recorded.get(name)
        if name.startswith("party ") and isinstance(one, dict) and isinstance(other, dict):
            both = one.keys() & other.keys()
            one, other = ({who: each[who] for who in both} for each in (one, other))
        if one != other:
            found[name] = (one, other)
    return found
