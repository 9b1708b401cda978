"""Whether the media of a call may go past the relay: ``ICE=optimize``.

The result is ``relay``, where ICE ends at the relay, or ``assist``, where the
phones check each other and the relay is one candidate more. Pure: what is known
of networks comes in as ``Remembered``, what the operator wants as ``Policy``.

    both phones have ICE, nothing needs the media
                 |                       no
                 +---------------------------> relay (no-ice, ice-lite, keys, rtcp-mux...)
                 v
    policy says always / one site / far relay / direct works
                 |                       none of them
                 +---------------------------> relay (default)
                 v
              assist (policy, same-site, far-relay, direct-works)
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import replace

from sdp.choose import LIMIT
from sdp.values import valueclass

MAX_OWN = 4
"""Candidates of ours per component."""
MAX_TOTAL = 8
"""Candidates per component that a phone is told: some read ten only."""

FAR = 0.15
"""Seconds. Above that, the round trips from both phones to the relay, added, are heard in a talk (G.114)."""

SAME_SITE = "same-site"
FAR_RELAY = "far-relay"
DIRECT_WORKS = "direct-works"
ALWAYS = "always"


class Result(enum.StrEnum):
    """Of ``ICE=optimize``."""

    RELAY = "relay"
    ASSIST = "assist"


@valueclass
class Decision:
    """``why`` is a code: ``default``, ``no-ice``, ``ice-lite``, ``keys``, ``rtcp-mux``, ``interfaces``,
    ``policy``, ``same-site``, ``far-relay``, ``direct-works``, or ``settled`` where a leg of the call had its
    mode before."""

    result: Result
    why: str


@valueclass
class Place:
    """Where a phone is."""

    address: str | None = None
    """IP address that its signalling came from (ng ``received-from``)."""
    network: str | None = None
    """Opaque id of its network (ng ``network``, ``network-legs``)."""
    family: str = ""
    """Of its user agent."""
    transport: str = ""
    """Of its signalling (ng ``sip-transport``)."""


@valueclass
class Remembered:
    """What earlier calls taught about a network. Unless it is known, the default."""

    relay_rtt: float | None = None
    """Seconds from the relay to a phone there and back."""
    needs_turn: bool = False
    symmetric: bool = False
    """Its NAT maps each destination anew."""
    udp_works: bool = False
    direct_works: bool = False
    """Apps there said that they reached other phones past us."""


@valueclass
class Way:
    """One way to us, as what is known of a phone's network says: what a decision was made from."""

    name: str
    """Of ``relay.memory.arms``."""
    legs: int
    """That were seen to try it there."""
    alpha: float
    """Weight of what worked, its prior included."""
    beta: float
    """The same of what failed."""
    median_ms: float | None
    """Until it was usable."""


@valueclass
class Order:
    """Of our candidates by family (4, 6), the best first, as earlier calls taught it."""

    families: tuple[int, ...]
    """Those that are told; the family of the default candidate is always among them. Empty: as usual."""
    dropped: tuple[int, ...] = ()
    explored: tuple[int, ...] = ()
    """Those that are told, or stand where they do, to see whether that would be wrong."""
    ways: tuple[Way, ...] = ()
    """What is known of each way, in the usual order; empty where nothing is."""
    widened: bool = False
    """``dropped`` turned out to be wrong: they are among ``families`` by now, in the last places."""

    def widen(self) -> Order:
        """The same with everything that was left out."""
        return replace(self, families=(*self.families, *self.dropped), widened=True)


def nothing(place: Place) -> Remembered:
    """The memory of a relay that has none."""
    return Remembered()


def unordered(place: Place, families: tuple[int, ...], default: int) -> Order | None:
    """The same: nothing speaks for another order than the usual one."""
    return None


def unnamed(place: Place) -> str:
    """The same: there is no hash by which networks are known."""
    return ""


@valueclass
class Policy:
    """What the operator wants for some legs. A condition that is None holds for every leg."""

    name: str
    interface: str | None = None
    direction: str | None = None
    """``offer``: legs that are offered to; ``answer``: legs that offered."""
    family: str | None = None
    """Of the user agent: first product token without version, in lower case."""
    assist: frozenset[str] = frozenset((SAME_SITE, FAR_RELAY))
    """Reasons that count: ``same-site``, ``far-relay``, ``direct-works``, ``always``. Empty: never.

    ``direct-works`` counts only where the operator says so: apps alone speak for it, and phones come to
    see each other's addresses.
    """
    direct: int = LIMIT
    """Candidates of a phone that are kept per component, 0 .. 7."""
    own: int = MAX_OWN
    """Candidates of ours per component, 1 .. 4."""
    drop: frozenset[str] = frozenset()
    """Words of ``sdp.choose.KINDS``."""

    def fits(self, interface: str, direction: str, family: str) -> bool:
        """Whether it is meant for such a leg."""
        wanted = (self.interface, self.direction, self.family)
        return all(
            want in (None, have) for want, have in zip(wanted, (interface, direction, family), strict=True)
        )


DEFAULT = Policy("default")


@valueclass
class Optimizer:
    """What decisions are made from."""

    policies: tuple[Policy, ...] = ()
    remembered: Callable[[Place], Remembered] = nothing
    order: Callable[[Place, tuple[int, ...], int], Order | None] = unordered
    """For a phone at a place, of the families that it could be told, and that of the default candidate."""
    hashed: Callable[[Place], str] = unnamed
    """The beginning of the hash that stands for a place's network, for people; empty: it has none."""

    def named(self, name: str) -> Policy | None:
        """The policy that the proxy asks for."""
        return next((policy for policy in self.policies if policy.name == name), None)

    def fitting(self, interface: str, direction: str, family: str) -> Policy:
        """The first policy that is meant for such a leg."""
        return next((one for one in self.policies if one.fits(interface, direction, family)), DEFAULT)


def same_site(one: Place, other: Place) -> bool:
    """Whether two phones are in one network: behind one IPv4 address, or in one IPv6 /64.

    While an address is not known, equal ids count; those of a mobile carrier (``lte:...``) name no place.
    """
    if one.address is not None and other.address is not None:
        return _site(one.address) == _site(other.address)
    return one.network is not None and one.network == other.network and not one.network.startswith("lte:")


def _site(address: str) -> object:
    ip = ipaddress.ip_address(address)
    return (6, int(ip) >> 64) if ip.version == 6 else (4, int(ip))


def far_relay(one: Remembered, other: Remembered) -> bool:
    """Whether the way over the relay is known to be long."""
    if one.relay_rtt is None or other.relay_rtt is None:
        return False
    return one.relay_rtt + other.relay_rtt > FAR


def decide(
    policy: Policy, places: tuple[Place, Place], optimizer: Optimizer, obstacles: Iterable[str] = ()
) -> Decision:
    """``places`` of the two phones; ``obstacles``: codes of what needs ICE to end at the relay."""
    for obstacle in obstacles:
        return Decision(Result.RELAY, obstacle)
    if not policy.assist:
        return Decision(Result.RELAY, "policy")
    if ALWAYS in policy.assist:
        return Decision(Result.ASSIST, "policy")
    if SAME_SITE in policy.assist and same_site(*places):
        return Decision(Result.ASSIST, SAME_SITE)
    if FAR_RELAY in policy.assist and far_relay(*map(optimizer.remembered, places)):
        return Decision(Result.ASSIST, FAR_RELAY)
    if DIRECT_WORKS in policy.assist and all(optimizer.remembered(place).direct_works for place in places):
        return Decision(Result.ASSIST, DIRECT_WORKS)
    return Decision(Result.RELAY, "default")


def family_of(user_agent: str | None) -> str:
    """First product token of a User-Agent, without version, in lower case (RFC 3261, section 20.41).

    >>> family_of("Linphone/5.2.1 (Debian) belle-sip/5.2")
    'linphone'
    """
    words = (user_agent or "").split()
    return words[0].partition("/")[0].lower() if words else ""
