"""Which of a phone's own candidates the other phone is told, beside those of the relay.

Each rule is a function: a candidate and what else is known go in, a reason to
drop it comes out, or None. The first rule that has a reason wins; what no rule
drops is kept, up to a number of candidates per component.

Nothing is looked up and nobody is asked: knowledge comes in as ``Context``.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import field, replace

from sdp.candidate import Candidate
from sdp.reason import Reason
from sdp.session import SdpError
from sdp.values import valueclass

LIMIT = 4
"""Direct candidates kept per component. Phones exist that read ten candidates only; ours are among them."""

MAX_READ = 100
"""Lines that are looked at. A host has a handful of addresses, each with a NAT and a TURN server."""

CELLULAR = 900
"""``network-cost`` of a mobile network, as browsers write it; 10 is wireless LAN, 0 a cable."""
CHEAP = 50

RESERVED = 32
"""Priorities left free below the lowest kept candidate: for ours, of two components."""

KINDS = ("host", "srflx", "prflx", "relay", "tcp", "mdns", "ip4", "ip6")
"""What a policy may drop: types, and traits that a candidate has besides."""

_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}", re.ASCII)
_FOURTH_WORD = re.compile(r"(?:\S+\s+){3}(-?\d+)(?!\S)", re.ASCII)
_TYPES = frozenset(("host", "srflx", "prflx", "relay"))
_TRANSPORTS = frozenset(("udp", "tcp"))
_LOCAL_ONLY = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7",
        "fe80::/10",
    )
)  # fmt: skip
"""Private, link-local, shared (RFC 6598) and unique local addresses."""

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def _nobody(address: str, port: int) -> bool:
    return False


@valueclass
class Context:
    """What is known besides the candidate. The defaults suppose nothing."""

    same_site: bool = False
    """Both phones are in one network."""
    components: frozenset[int] = frozenset((1,))
    """In use, after rtcp-mux."""
    ufrag: str | None = None
    """Of the phone whose candidates these are."""
    peer_listens_on_tcp: bool = False
    """The other phone has a TCP candidate that can be connected to (RFC 6544, section 4.5)."""
    udp_works: bool = False
    """The other phone's network is known to pass UDP."""
    needs_turn: bool = False
    """This phone's network is known to pass nothing but its TURN server."""
    symmetric: bool = False
    """NATs of both networks are known to map each destination anew."""
    dropped: frozenset[str] = frozenset()
    """Of ``KINDS``, by the operator's policy."""
    is_ours: Callable[[str, int], bool] = _nobody
    """Whether an address and port is a media port of the relay."""
    has_cheap: bool = False
    """The phone can be reached by an interface that costs next to nothing. ``choose`` finds out."""
    named: frozenset[tuple[str, int]] = field(default=frozenset())
    """Foundation and component of the srflx candidates kept so far. ``choose`` fills it."""


@valueclass
class Verdict:
    """What becomes of one ``a=candidate`` line."""

    text: str
    """What followed ``a=candidate:``."""
    kept: bool
    reason: Reason
    candidate: Candidate | None = None
    """As it is written, if it is kept: its priority may be another one. None: as it came."""


Rule = Callable[[Candidate, Context], Reason | None]


def unreachable(candidate: Candidate, context: Context) -> Reason | None:
    """A broken foundation, port 0, and addresses that mean nothing on another host."""
    ip = _ip(candidate)
    dead = ip is not None and (ip.is_unspecified or ip.is_loopback or ip.is_multicast or int(ip) == 2**32 - 1)
    no_network = ip is not None and ip.version == 4 and int(ip) < 2**24
    foundation = _FOUNDATION.fullmatch(candidate.foundation) is not None
    if candidate.port == 0 or dead or no_network or "%" in candidate.address or not foundation:
        return Reason.INVALID
    return Reason.OWN_ADDRESS if context.is_ours(candidate.address, candidate.port) else None


def host_name(candidate: Candidate, context: Context) -> Reason | None:
    """A name that would have to be looked up."""
    return Reason.FQDN if _ip(candidate) is None and not _is_mdns(candidate) else None


def unknown(candidate: Candidate, context: Context) -> Reason | None:
    """A type or transport that we do not know."""
    known = candidate.type.lower() in _TYPES and candidate.transport.lower() in _TRANSPORTS
    return None if known else Reason.UNKNOWN


def other_generation(candidate: Candidate, context: Context) -> Reason | None:
    """The candidate's own ufrag is not that of the description (RFC 8838, section 9)."""
    ufrag = candidate.extension("ufrag")
    return Reason.GENERATION if None not in (ufrag, context.ufrag) and ufrag != context.ufrag else None


def unused_component(candidate: Candidate, context: Context) -> Reason | None:
    """RTCP of its own where RTCP is multiplexed."""
    return Reason.COMPONENT if candidate.component not in context.components else None


def unwanted_kind(candidate: Candidate, context: Context) -> Reason | None:
    """The operator does not want it."""
    return Reason.POLICY if context.dropped & kinds(candidate) else None


def tcp_useless(candidate: Candidate, context: Context) -> Reason | None:
    """Two that only connect never meet; and nobody wants TCP who has UDP."""
    if candidate.transport.lower() != "tcp":
        return None
    active = (candidate.extension("tcptype") or "").lower() == "active"
    useless = context.udp_works or (active and not context.peer_listens_on_tcp)
    return Reason.TCP_USELESS if useless else None


def relay_replaced(candidate: Candidate, context: Context) -> Reason | None:
    """A TURN server of the phone: we are a relay already."""
    replaced = candidate.type.lower() == "relay" and not context.needs_turn
    return Reason.RELAY_REPLACED if replaced else None


def host_private(candidate: Candidate, context: Context) -> Reason | None:
    """An address that only the phone's own network reaches, the other phone being elsewhere."""
    if candidate.type.lower() != "host" or context.same_site:
        return None
    ip = _ip(candidate)
    return Reason.HOST_PRIVATE if ip is None or any(ip in network for network in _LOCAL_ONLY) else None


def cost(candidate: Candidate, context: Context) -> Reason | None:
    """A mobile network of a phone that has something better."""
    expensive = context.has_cheap and candidate.type.lower() == "host" and _cost(candidate) >= CELLULAR
    return Reason.COST if expensive else None


def symmetric(candidate: Candidate, context: Context) -> Reason | None:
    """The outside of a NAT that is named already, or is another one for each destination."""
    if candidate.type.lower() != "srflx":
        return None
    named = (candidate.foundation, candidate.component) in context.named
    return Reason.SYMMETRIC if named or context.symmetric else None


RULES: tuple[Rule, ...] = (
    unreachable,
    host_name,
    unknown,
    other_generation,
    unused_component,
    unwanted_kind,
    tcp_useless,
    relay_replaced,
    host_private,
    cost,
    symmetric,
)
"""In this order: what a line is comes before what it is good for."""


def first_reason(candidate: Candidate, context: Context) -> Reason | None:
    """Why the candidate is dropped, by the first rule that says so."""
    return next((reason for rule in RULES if (reason := rule(candidate, context)) is not None), None)


def choose(
    values: Iterable[str],
    context: Context,
    limit: int = LIMIT,
    told: Sequence[Candidate] = (),
    above: int = RESERVED,
) -> tuple[Verdict, ...]:
    """One verdict for each value (what follows ``a=candidate:``), in order.

    ``told``: candidates that the other phone was told before, which stay. They count for ``limit``, and the
    priorities of what is kept are none of theirs. ``above``: what is kept has higher priorities than that.

    Of candidates at one address and port, the one with the highest priority counts, the others are dropped.
    An interface counts as cheap if a candidate of it survives the rules.

    What is kept has distinct priorities, with room for ``RESERVED`` more below them. At most ``limit`` are
    kept per component, at least one of each address family if ``limit`` allows, and one of a TURN server
    that is needed. Candidates after the first ``MAX_READ`` are dropped unread.
    """
    texts = list(values)
    read = [parsed(text) for text in texts[:MAX_READ]]
    named = {(one.foundation, one.component) for one in told if one.type.lower() == "srflx"}
    context = replace(context, named=context.named | named)
    reasons = [Reason.INVALID if one is None else first_reason(one, context) for one in read]
    survivors = _survivors(read, reasons)
    repeated = _repeated(survivors, told)
    cheap = any(is_cheap(one) for one in (*survivors.values(), *told))
    context = replace(context, has_cheap=context.has_cheap or cheap)
    for index, candidate in survivors.items():
        reasons[index] = Reason.DUPLICATE if index in repeated else first_reason(candidate, context)
        if reasons[index] is None and candidate.type.lower() == "srflx":
            mark = (candidate.foundation, candidate.component)
            context = replace(context, named=context.named | {mark})
    survivors = _survivors(read, reasons)
    kept = renumbered(_limited(survivors, limit, told), {one.priority for one in told}, above)
    return tuple(
        Verdict(text, True, Reason.DIRECT_KEPT, kept[index])
        if index in kept
        else Verdict(text, False, _at(reasons, index))
        for index, text in enumerate(texts)
    )


def passing(values: Iterable[str], without_relay: bool = False) -> tuple[Verdict, ...]:
    """One verdict for each value where the phones' candidates pass as they are, but for their priorities.

    These become distinct, and such as RFC 8445, section 5.1.2 allows. Dropped are priorities that do not
    fit 32 bits, and, if so asked, candidates of TURN servers. What else cannot be read passes.
    """
    texts = list(values)
    read = [parsed(text) for text in texts]
    kept = renumbered(
        {
            index: candidate
            for index, candidate in enumerate(read)
            if candidate is not None and not (without_relay and candidate.type.lower() == "relay")
        }
    )
    found = []
    for index, (text, candidate) in enumerate(zip(texts, read, strict=True)):
        if candidate is None:
            kept_as_it_is = not has_impossible_priority(text)
            reason = Reason.DIRECT_KEPT if kept_as_it_is else Reason.INVALID
            found.append(Verdict(text, kept_as_it_is, reason))
        elif index in kept:
            found.append(Verdict(text, True, Reason.DIRECT_KEPT, kept[index]))
        else:
            found.append(Verdict(text, False, Reason.RELAY_REPLACED))
    return tuple(found)


def has_impossible_priority(text: str) -> bool:
    """What stands in the place of the priority is a number that 32 bits do not hold."""
    found = _FOURTH_WORD.match(text)
    if found is None:
        return False
    digits = found[1].lstrip("0")
    return digits.startswith("-") or len(digits) > 10 or int(digits or "0") >= 2**32


def _survivors(read: Sequence[Candidate | None], reasons: Sequence[Reason | None]) -> dict[int, Candidate]:
    """Those that no rule drops, by index."""
    return {
        index: candidate
        for index, (candidate, reason) in enumerate(zip(read, reasons, strict=True))
        if candidate is not None and reason is None
    }


def _repeated(candidates: dict[int, Candidate], told: Sequence[Candidate]) -> set[int]:
    """Those whose checks would go where those of another one go, which has a higher priority or was told.

    Of equal ones the first stays.
    """
    named = {_target(one) for one in told}
    found = set()
    for index in sorted(candidates, key=lambda index: -candidates[index].priority):
        target = _target(candidates[index])
        if target in named:
            found.add(index)
        named.add(target)
    return found


def _at(reasons: Sequence[Reason | None], index: int) -> Reason:
    return (reasons[index] if index < len(reasons) else None) or Reason.LIMIT


def renumbered(
    candidates: dict[int, Candidate], taken: Collection[int] = (), above: int = RESERVED
) -> dict[int, Candidate]:
    """The same candidates with distinct priorities, ``above`` + 1 .. 2**31 - 1, in the same order.

    Equal ones are legal (RFC 8445, section 5.1.2), but there are phones that stall. They are numbered
    downwards. Others stay as they are, unless there is no room left below, or they are ``taken``.
    """
    order = sorted(candidates, key=lambda index: -candidates[index].priority)
    found: dict[int, Candidate] = {}
    used: set[int] = set()
    before = 2**31
    for place, index in enumerate(order):
        candidate = candidates[index]
        before = max(min(candidate.priority, before - 1), above + len(order) - place)
        before = next(
            number
            for number in itertools.chain(range(before, above, -1), itertools.count(before + 1))
            if number not in taken and number not in used
        )
        used.add(before)
        found[index] = candidate if candidate.priority == before else replace(candidate, priority=before)
    return found


def _limited(
    candidates: dict[int, Candidate], limit: int, told: Sequence[Candidate] = ()
) -> dict[int, Candidate]:
    """The best ``limit`` of each component, less what was ``told``, but first the best one of each family.

    A TURN server's candidate that got so far is needed, so it counts as a family of its own.
    """
    kept: set[int] = set()
    order = sorted(candidates, key=lambda index: -candidates[index].priority)
    for component in {candidate.component for candidate in candidates.values()}:
        own = [index for index in order if candidates[index].component == component]
        before = [_group(one) for one in told if one.component == component]
        best = {_group(candidates[index]): index for index in reversed(own)}
        first = [index for index in own if index in best.values() and _group(candidates[index]) not in before]
        room = max(limit - len(before), 0)
        kept.update([*first, *(index for index in own if index not in first)][:room])
    return {index: candidates[index] for index in sorted(kept)}


def interleaved(families: Sequence[int]) -> list[int]:
    """The rank (0 is the best) of each own address: IPv6, IPv4, IPv6... (RFC 8421, section 4)."""
    places = {version: [at for at, found in enumerate(families) if found == version] for version in (6, 4)}
    turns = sorted((turn, version != 6, at) for version in (6, 4) for turn, at in enumerate(places[version]))
    ranks = {at: rank for rank, (_, _, at) in enumerate(turns)}
    return [ranks[at] for at in range(len(families))]


def kinds(candidate: Candidate) -> frozenset[str]:
    """Which of ``KINDS`` it is."""
    found = {candidate.type.lower()}
    ip = _ip(candidate)
    if candidate.transport.lower() == "tcp":
        found.add("tcp")
    if ip is not None:
        found.add(f"ip{ip.version}")
    elif _is_mdns(candidate):
        found.add("mdns")
    return frozenset(found)


def parsed(text: str) -> Candidate | None:
    """None where it cannot be read."""
    try:
        return Candidate.parse(text)
    except SdpError:
        return None


def _ip(candidate: Candidate) -> _Ip | None:
    """None for a name. An IPv4 address inside an IPv6 one is IPv4."""
    try:
        ip = ipaddress.ip_address(candidate.address)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _target(candidate: Candidate) -> tuple[object, ...]:
    """Where checks of it go, and how (RFC 6544 for ``tcptype``)."""
    tcptype = (candidate.extension("tcptype") or "").lower()
    where = _ip(candidate) or candidate.address.lower()
    return candidate.component, candidate.transport.lower(), where, candidate.port, tcptype


def _is_mdns(candidate: Candidate) -> bool:
    return candidate.address.lower().endswith(".local")


def _group(candidate: Candidate) -> tuple[bool, int]:
    ip = _ip(candidate)
    return candidate.type.lower() == "relay", 0 if ip is None else ip.version


def network_cost(candidate: Candidate) -> int | None:
    """``network-cost``, 0 .. 99999 (browsers write up to 999); None where there is none that can be read."""
    text = candidate.extension("network-cost") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _cost(candidate: Candidate) -> int:
    """Without one that can be read, something between the two that count."""
    found = network_cost(candidate)
    return CHEAP + 1 if found is None else found


def is_cheap(candidate: Candidate) -> bool:
    """It goes by an interface that costs next to nothing."""
    return _cost(candidate) <= CHEAP
