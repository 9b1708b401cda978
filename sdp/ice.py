"""What a description says about ICE, and the policy for single candidates."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from sdp.candidate import Candidate, match
from sdp.media import connection
from sdp.reason import Reason
from sdp.session import Media, SdpError, Session, body
from sdp.values import valueclass

OWN_TYPE_PREFERENCE = {"host": 126, "relay": 2}
"""Ours, in place of RFC 8445's 0 for relay: leaves room below for TCP candidates of the relay."""

OWN_LIMIT = 16
"""Own candidates per component that own_priority keeps apart; twice what one description may carry."""

# Nobody can send there: this host, this network, loopback and multicast.
_UNREACHABLE = re.compile(r"(?:0|127|22[4-9]|23\d)\.|::1?$|ff[0-9a-f]{2}:", re.ASCII | re.IGNORECASE)
# RFC 8839, section 5.4. Browsers let "-", "_", "=" and "#" pass as well, for there are peers that write them.
_UFRAG = re.compile(r"[A-Za-z0-9+/\-_=#]{4,256}")
_PWD = re.compile(r"[A-Za-z0-9+/\-_=#]{22,256}")
_KNOWN_TYPES = {
    "host": Reason.HOST_USELESS,
    "srflx": Reason.SRFLX_USELESS,
    "prflx": Reason.PRFLX_USELESS,
    "relay": Reason.RELAY_REPLACED,
}


@valueclass
class IceDescription:
    """The ICE attributes that count for one media."""

    ufrag: str | None
    pwd: str | None
    candidates: tuple[Candidate, ...]
    invalid: tuple[str, ...]  # values of a=candidate lines that could not be read
    options: tuple[str, ...]
    lite: bool
    trickle: bool  # more candidates may come later (RFC 8840)
    end_of_candidates: bool
    mismatch: bool  # the answerer found c=/m= not among the candidates (RFC 8839, section 4.2.5)
    malformed: bool = False  # it has an ufrag or a pwd that is none, so that it counts as without both

    @property
    def offered(self) -> bool:
        """Whether the author uses ICE for this media."""
        return self.ufrag is not None and self.pwd is not None


def read(session: Session, media: Media) -> IceDescription:
    """The media's ICE attributes; where it has none, the session's count (RFC 8839, section 5).

    Candidates that cannot be read are left out and listed in ``invalid``. Raises SdpError only where the
    m= or c= line that is needed to notice a trickling peer is malformed.
    """
    candidates, invalid = _candidates(media)
    options = tuple((_inherited(session, media, "ice-options") or "").split())
    ufrag, pwd = _inherited(session, media, "ice-ufrag"), _inherited(session, media, "ice-pwd")
    malformed = not (_fits(_UFRAG, ufrag) and _fits(_PWD, pwd))
    if malformed:
        ufrag = pwd = None
    return IceDescription(
        ufrag=ufrag,
        pwd=pwd,
        candidates=candidates,
        invalid=invalid,
        options=options,
        lite=session.attribute("ice-lite") is not None,
        trickle="trickle" in options
        or (ufrag is not None and not options and _has_dummy_address(session, media)),
        end_of_candidates=_inherited(session, media, "end-of-candidates") is not None,
        mismatch=media.attribute("ice-mismatch") is not None,
        malformed=malformed,
    )


def _fits(form: re.Pattern[str], value: str | None) -> bool:
    return value is None or form.fullmatch(value) is not None


def _inherited(session: Session, media: Media, name: str) -> str | None:
    value = media.attribute(name)
    if value is None:
        value = session.attribute(name)
    return None if value is None else value.strip()


def _candidates(media: Media) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    candidates, invalid = [], []
    for value in media.attributes("candidate"):
        try:
            candidates.append(Candidate.parse(value))
        except SdpError:
            invalid.append(value)
    return tuple(candidates), tuple(invalid)


def candidate_values(media: Media) -> list[str]:
    """What follows each ``a=candidate:``, readable or not."""
    return [body(line)[12:] for line in media.lines if line.startswith("a=candidate:")]


def _has_dummy_address(session: Session, media: Media) -> bool:
    """Port 9 or address zero: what a trickling peer writes before it knows (RFC 8840, section 4.1.1)."""
    where = connection(session, media)
    return media.port == 9 or (where is not None and where.unspecified)


def useless(value: str) -> Reason:
    """Why a peer's candidate (what follows ``a=candidate:``) need not be passed on where media is relayed."""
    try:
        _, _, transport, _, address, port, type, _ = match(value).groups()
    except SdpError:
        return Reason.INVALID
    transport = transport.lower()
    if int(port) == 0 or _UNREACHABLE.match(address):
        return Reason.INVALID
    if address.lower().endswith(".local"):
        return Reason.MDNS_USELESS
    if ":" not in address and not address[-1].isdigit():
        return Reason.NAME_USELESS
    if transport == "tcp":
        return Reason.TCP_USELESS
    if transport != "udp":
        return Reason.UNKNOWN_USELESS
    return _KNOWN_TYPES.get(type.lower(), Reason.UNKNOWN_USELESS)


def is_relay(value: str) -> bool:
    """Whether a candidate (what follows ``a=candidate:``) is of type relay; a malformed one is not."""
    try:
        return match(value)[7].lower() == "relay"
    except SdpError:
        return False


def own_priority(kept: Sequence[Candidate], component: int, type: str, index: int) -> int:
    """Priority of our candidate number ``index`` (0 is our best, 0 .. 15) of one component, 1 .. 2**31 - 1.

    ``type`` is "host" or "relay". Below every candidate in ``kept`` and different for every index and
    component (1 or 2), whichever way it is asked; the same ``kept`` must be given for all of ours. Where
    ``kept`` leaves no room between it and 1, only the uniqueness is held.
    """
    if not 0 <= index < OWN_LIMIT or component not in (1, 2):
        raise ValueError(f"no own candidate {index} of component {component}")
    top = (OWN_TYPE_PREFERENCE[type] << 16) + 65535  # type and local preference of our best
    lowest = min((candidate.priority for candidate in kept), default=2**32)
    if (top << 8) + 255 < lowest:
        return ((top - 256 * index) << 8) + 256 - component
    if lowest >> 8 > OWN_LIMIT:
        return (((lowest >> 8) - 1 - index) << 8) + 256 - component
    return _unused(kept, lowest, 2 * index + component - 1)


def _unused(kept: Sequence[Candidate], lowest: int, place: int) -> int:
    """Number ``place`` of the free priorities: downwards from ``lowest`` to 1, then upwards."""
    if lowest - 1 - place >= 1:
        return lowest - 1 - place
    used = {candidate.priority for candidate in kept}
    unused = (number for number in itertools.count(1) if number not in used)
    return next(itertools.islice(unused, place, None))
