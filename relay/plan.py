"""``icerelay plan``: what ``ICE=optimize`` would make of a description, without a call.

The description is handed to the code that answers a proxy's offers, over a relay
that has no sockets and one address of each family. Nothing is opened or sent.
What a running relay may remember of the networks is not known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from relay.calls.interfaces import Interfaces
from relay.calls.registry import Registry, Times
from relay.calls.resources import LocalAddress, LocalPort
from relay.calls.state import Media
from relay.calls.timers import Timers
from relay.dtls.association import Job
from relay.dtls.identity import Identity
from relay.forward.rule import Address, Change
from relay.ice.credentials import Credentials
from relay.ice.policy import Optimizer, Policy
from relay.ng.request import parse
from relay.sentences import because, candidate_table
from relay.srtp.profiles import MasterKey, Profile
from sdp.candidate import Candidate
from sdp.choose import parsed
from sdp.crypto import SUITES
from sdp.ice import candidate_values, useless
from sdp.media import rtcp_mux
from sdp.reason import Reason
from sdp.session import Media as Section
from sdp.session import SdpError, Session

PACE = 0.05
"""Seconds between the first checks of an agent (RFC 8445, section 14.2)."""

PAIRED = frozenset(("host", "srflx", "prflx", "relay"))

RELAY = (
    LocalAddress("relay", "192.0.2.1", "192.0.2.1"),
    LocalAddress("relay", "2001:db8::1", "2001:db8::1"),
)
"""Stand for the addresses of the relay (RFC 5737, RFC 3849)."""
FIRST_PORT = 30000


class NoMachine:
    """The resources of a relay that only answers one offer: numbers for ports, keys for nobody."""

    def __init__(self) -> None:
        self._handles = itertools.count()
        self._numbers = itertools.count(FIRST_PORT, 2)

    def open(self, at: LocalAddress, count: int, tos: int, worker: int) -> list[LocalPort]:
        first = next(self._numbers)
        return [LocalPort(next(self._handles), at, first + place) for place in range(count)]

    def close(self, *ports: LocalPort) -> None:
        """There is nothing to close."""

    def retag(self, port: LocalPort, tos: int) -> None:
        """Nothing leaves this port."""

    def allocate_rule(self) -> int:
        return next(self._handles)

    def apply(self, changes: Sequence[Change]) -> None:
        """Nothing is forwarded."""

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        """Nothing is checked."""

    def credentials(self) -> Credentials:
        return Credentials("plan", "x" * 22)

    def tie_breaker(self) -> int:
        return 0

    def suites(self) -> frozenset[str]:
        return frozenset(name for name, suite in SUITES.items() if suite.supported)

    def compute(self, job: Job) -> bool:
        return False

    def computed(self) -> list[Job]:
        return []

    def close_keys(self, keys: int) -> None:
        """There are none."""

    def identity(self) -> Identity:
        return Identity.create(0.0)

    def random_key(self, length: int) -> bytes:
        return bytes(length)

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        return next(self._handles)


def explain(text: str, networks: Sequence[str], policy: Policy) -> Iterator[str]:
    """Lines for a person. ``networks``: ids of the author's network and of the receiver's, as far as known.

    Raises ``SdpError``, and ``NgError`` where a relay would refuse the offer.
    """
    session = Session.parse(text)
    if not session.medias:
        raise SdpError("no media", "")
    for section, media in zip(session.medias, offered(text, networks, policy), strict=True):
        yield from _explain(section, media)
    yield f"{' and '.join(at.advertised for at in RELAY)} stand for the relay, which may have others"


def offered(text: str, networks: Sequence[str], policy: Policy) -> list[Media]:
    """The medias of the phone that gets the offer, as the relay has them then. Raises ``NgError``."""
    registry = Registry(NoMachine(), Interfaces(RELAY), Timers(), "", Optimizer((policy,)))
    request = parse(
        {
            "command": "offer",
            "call-id": "plan",
            "from-tag": "author",
            "sdp": text,
            "ICE": "optimize",
            "ice-policy": policy.name,
            "network-legs": {"from": _at(networks, 0), "to": _at(networks, 1)},
        }
    )
    registry.offer(request, Times(0.0, 0.0))
    author, receiver = registry.calls["plan"].legs.values()
    assert author.tag == "author"
    return receiver.medias


def _at(networks: Sequence[str], place: int) -> str:
    return networks[place] if place < len(networks) else ""


def _explain(section: Section, media: Media) -> Iterator[str]:
    name = f"media {media.index + 1} ({section.kind})"
    if media.decision is None:
        yield f"{name}: {'rejected' if section.port == 0 else 'not over UDP'}, nothing to do"
        return
    yield f"{name}: {media.decision.result}, because: {because(media.decision.why)}"
    if media.follows:
        yield f"  shares the port and the candidates of media {(media.bundle or 0) + 1}"
        return
    rows = [
        ("kept", str(one.reason), str(one.candidate))
        if one.candidate is not None
        else ("dropped", str(one.reason), one.text)
        for one in media.verdicts
    ]
    rows += [("kept", str(Reason.RELAY_INSERTED), str(one)) for one in media.own]
    yield from (f"  {line}" for line in candidate_table(rows))
    yield from (f"  {line}" for line in _saving(section, media))


def _saving(section: Section, media: Media) -> Iterator[str]:
    """Of a phone with one address per family that accepts rtcp-mux if that is offered."""
    components = (1,) if rtcp_mux(section) else (1, 2)
    read = [one for value in candidate_values(section) if (one := parsed(value)) is not None]
    kept = [one.candidate for one in media.verdicts if one.candidate is not None]
    before, after = (
        pairs([one for one in found if one.component in components]) for found in (read, [*kept, *media.own])
    )
    saved, time = before - after, abs(before - after) * PACE
    yield (
        f"checks of a phone with one address per family: {before} without the relay, {after} with it;"
        f" all are begun after {before * PACE:.2f} s, {after * PACE:.2f} s"
    )
    if saved >= 0:
        yield f"saved: {saved} checks, {time:.2f} s"
    else:
        yield f"saved: nothing; {-saved} checks and {time:.2f} s more, for the way by the relay"


def pairs(candidates: Sequence[Candidate]) -> int:
    """How many candidates a phone checks that has one address of each family.

    Not those that only connect themselves (RFC 6544, section 6.2), nor what it does not know.
    """
    return sum(
        one.type.lower() in PAIRED
        and one.transport.lower() in ("udp", "tcp")
        and (one.extension("tcptype") or "").lower() != "active"
        and useless(str(one)) is not Reason.INVALID
        for one in candidates
    )
