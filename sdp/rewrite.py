"""Rewriting: what the peer said and what we want said make a new description and a list of changes.

Pure, and the input is not modified. Only the lines that name addresses, RTCP, ICE, direction, bundle and
(on request) the origin are touched; every other line passes byte for byte, at its place.

Where a new line says what a line of the peer said, it takes that line's place. Other new lines go after
the last line of their section: mid, direction, a=rtcp, a=rtcp-mux, ICE.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sdp.candidate import Candidate
from sdp.edit import Change, Edit
from sdp.ice import is_relay, useless
from sdp.media import Connection, Direction, origin
from sdp.reason import Reason
from sdp.session import Media, SdpError, Session, attribute_name, body, replace_media_line

__all__ = [
    "Change",
    "IceOut",
    "Keep",
    "MediaOut",
    "Reason",
    "Rewritten",
    "SessionOut",
    "loop_id",
    "rewrite",
]


class Keep(enum.Enum):
    """Which of the peer's candidates survive."""

    NONE = enum.auto()
    NOT_RELAY = enum.auto()  # all but typ relay
    ALL = enum.auto()


@dataclass(frozen=True, slots=True)
class IceOut:
    """ICE of one media.

    ``ufrag`` None is end-to-end mode: the peer's ufrag, pwd, ice-options, end-of-candidates and the like
    stay, and ``trickle`` is not looked at, since all of these describe the peer's agent.
    """

    ufrag: str | None
    pwd: str | None
    candidates: tuple[Candidate, ...]  # ours, after the kept ones
    keep: Keep = Keep.NONE
    trickle: bool = False  # a=ice-options:trickle and a=end-of-candidates


@dataclass(frozen=True, slots=True)
class MediaOut:
    """One media that goes through the relay."""

    port: int
    connection: Connection
    rtcp: int | None  # port of a=rtcp; None: no a=rtcp
    rtcp_connection: Connection | None = None  # full form of a=rtcp
    rtcp_mux: bool = False
    direction: str | None = None  # None: leave what is there
    protocol: str | None = None  # None: as offered
    mid: str | None = None  # added where missing
    ice: IceOut | None = None  # None: all ICE attributes are removed


@dataclass(frozen=True, slots=True)
class SessionOut:
    """The session level. None leaves a part as it is."""

    origin: Connection | None = None
    username: str | None = None
    session_name: str | None = None
    version: int | None = None
    loop: str | None = None  # a=rtpengine:<loop> is added
    ice_lite: bool = False  # a=ice-lite is written, or else removed
    keep_bundle: bool = False  # a=group:BUNDLE stays (end-to-end mode), or else is removed


@dataclass(frozen=True, slots=True)
class Rewritten:
    """``changes``: the session level first, then each media; within one, old lines in their order."""

    text: str
    changes: tuple[Change, ...]


def rewrite(session: Session, out: SessionOut, medias: Sequence[MediaOut | None]) -> Rewritten:
    """The description for the other side.

    ``medias`` has one entry per media of the session (else ValueError). None stands for a media that is
    not ours (rejected, TCP, unknown): its lines stay, and the address and ICE credentials that it took
    from the session level stay in effect. Raises SdpError for a malformed m= line of a media that is
    ours, and for a malformed o= line if it is to be changed.
    """
    pairs = list(zip(session.medias, medias, strict=True))
    addresses = _plan_addresses(session, pairs)
    ice = _plan_ice(session, pairs)
    changes: list[Change] = []
    top = Edit(None, session.newline, changes)
    _write_session(top, session, out, addresses.session, ice, any(medias))
    lines = top.lines
    for index, (media, wanted) in enumerate(pairs):
        edit = Edit(index, session.newline, changes)
        inherited = ice.inherited if _keeps_ice(media, wanted) else ()
        if wanted is None:
            _write_foreign(edit, media, addresses.medias[index], inherited)
        else:
            _write_media(edit, media, wanted, addresses.medias[index], inherited)
        lines += edit.lines
    return Rewritten("".join(lines), tuple(changes))


def loop_id(session: Session) -> list[str]:
    """The marks of relays that this description went through (``a=rtpengine``)."""
    return session.attributes("rtpengine")


# What the session level says for several medias, and who may go on relying on it.

_Pair = tuple[Media, MediaOut | None]
_NewLine = tuple[str, Reason]


@dataclass(frozen=True, slots=True)
class _Addresses:
    """The c= lines to write. None: leave what is there, or is not."""

    session: str | None
    medias: list[str | None]


def _plan_addresses(session: Session, pairs: Sequence[_Pair]) -> _Addresses:
    original = session.value("c")
    relies = [media.value("c") is None for media, _ in pairs]
    shared = None if original is None else _shared_connection(pairs, relies)
    lines: list[str | None] = []
    for (media, out), relying in zip(pairs, relies, strict=True):
        if out is not None:
            lines.append(None if relying and out.connection == shared else f"c={out.connection}")
        else:
            displaced = relying and shared is not None and str(shared) != original and _is_live(media)
            lines.append(f"c={original}" if displaced else None)
    return _Addresses(None if shared is None else f"c={shared}", lines)


def _shared_connection(pairs: Sequence[_Pair], relies: Sequence[bool]) -> Connection | None:
    """What the session's c= is to say; None: what it says now, as no media of ours needs another.

    Where each of our medias has a c= of its own, nobody needs the session's, and it names the relay too.
    """
    for (_, out), relying in zip(pairs, relies, strict=True):
        if out is not None and relying:
            return out.connection
    if any(relying and _is_live(media) for (media, _), relying in zip(pairs, relies, strict=True)):
        return None
    return next((out.connection for _, out in pairs if out is not None), None)


def _is_live(media: Media) -> bool:
    """Whether anybody may send to this media: it is not rejected. Unreadable ones count as live."""
    try:
        return media.port != 0
    except SdpError:
        return True


_CREDENTIALS = ("ice-ufrag", "ice-pwd")
_INHERITED = frozenset((*_CREDENTIALS, "ice-options", "ice-pacing", "end-of-candidates"))
_ICE = _INHERITED | {"candidate", "remote-candidates", "ice-mismatch"}


@dataclass(frozen=True, slots=True)
class _SessionIce:
    """What becomes of the session's ICE lines: all stay, or all go and ``inherited`` moves to some medias."""

    stays: bool
    used: bool  # some media of ours has ICE
    inherited: tuple[str, ...]  # lines, without endings, for the medias that keep the peer's ICE

    def reason(self, name: str) -> Reason:
        if self.inherited:
            return Reason.ICE_MOVED
        return _own_ice_reason(name) if self.used else Reason.ICE_REMOVED


def _plan_ice(session: Session, pairs: Sequence[_Pair]) -> _SessionIce:
    ours = [out for _, out in pairs if out is not None]
    used = any(out.ice is not None for out in ours)
    if all(out.ice is not None and out.ice.ufrag is None for out in ours):
        return _SessionIce(True, used, ())
    if not any(_keeps_ice(media, out) for media, out in pairs):
        return _SessionIce(False, used, ())
    lines = (body(line) for line in session.lines if attribute_name(line) in _INHERITED)
    return _SessionIce(False, used, tuple(lines))


def _keeps_ice(media: Media, out: MediaOut | None) -> bool:
    """Whether the peer's own ICE agent stays in charge of this media."""
    if out is not None:
        return out.ice is not None and out.ice.ufrag is None
    return media.attribute("candidate") is not None and _is_live(media)


def _own_ice_reason(name: str) -> Reason:
    return Reason.ICE_CREDENTIALS if name in _CREDENTIALS else Reason.ICE_TERMINATED


# The session level.


def _write_session(
    edit: Edit, session: Session, out: SessionOut, address: str | None, ice: _SessionIce, ours: bool
) -> None:
    wanted = _session_wanted(session, out)
    if address is not None:
        wanted["c="] = (address, Reason.ADDRESS)
    replaced = frozenset(wanted)
    for line in session.lines:
        type, name = line[:2], attribute_name(line)
        if type in wanted:
            edit.replace(line, *wanted.pop(type))
        elif type == "c=" and type in replaced:
            edit.remove(line, Reason.ADDRESS)
        elif reason := _unwanted_in_session(name, line, out, ice, ours):
            edit.remove(line, reason)
        else:
            edit.keep(line)
    edit.append(_session_tail(session, out))


def _session_wanted(session: Session, out: SessionOut) -> dict[str, _NewLine]:
    """Lines to replace, by the two characters they begin with."""
    wanted: dict[str, _NewLine] = {}
    if out.session_name is not None:
        wanted["s="] = (f"s={out.session_name}", Reason.SESSION_NAME)
    if (out.origin, out.username, out.version) == (None, None, None):
        return wanted
    was = origin(session)
    if was is None:
        return wanted
    new = replace(
        was,
        connection=out.origin or was.connection,
        username=was.username if out.username is None else out.username,
        version=was.version if out.version is None else str(out.version),
    )
    if new != was:
        wanted["o="] = (f"o={new}", Reason.ORIGIN)
    return wanted


def _unwanted_in_session(
    name: str, line: str, out: SessionOut, ice: _SessionIce, ours: bool
) -> Reason | None:
    """Why an attribute is removed. RTCP attributes have no meaning at this level (RFC 3605, RFC 5761)."""
    if name == "ice-lite" and not out.ice_lite:
        return Reason.ICE_LITE
    if name in _ICE and not ice.stays:
        return ice.reason(name)
    if name == "group" and not out.keep_bundle and body(line)[8:].split()[:1] == ["BUNDLE"]:
        return Reason.BUNDLE_SPLIT
    return _RTCP_REASONS.get(name) if ours else None


def _session_tail(session: Session, out: SessionOut) -> list[_NewLine]:
    tail: list[_NewLine] = []
    if out.loop is not None and out.loop not in loop_id(session):
        tail.append((f"a=rtpengine:{out.loop}", Reason.LOOP))
    if out.ice_lite and session.attribute("ice-lite") is None:
        tail.append(("a=ice-lite", Reason.ICE_LITE))
    return tail


# One media.

_RTCP_REASONS = {"rtcp": Reason.RTCP, "rtcp-mux": Reason.RTCP_MUX, "rtcp-mux-only": Reason.RTCP_MUX}
_KINDS: dict[str, Reason] = {
    **_RTCP_REASONS,
    "mid": Reason.MID,
    **{word.value: Reason.DIRECTION for word in Direction},
}
"""Attributes of which a media has one: an attribute's name to what it is about."""


def _write_foreign(edit: Edit, media: Media, address: str | None, inherited: Sequence[str]) -> None:
    """A media that is not ours: its lines, and what it took from lines of the session that change."""
    edit.lines += media.lines
    edit.append(_missing(media, inherited))
    if address is not None:
        _insert_address(edit, address, Reason.ADDRESS_KEPT)


def _write_media(
    edit: Edit, media: Media, out: MediaOut, address: str | None, inherited: Sequence[str]
) -> None:
    wanted = _media_wanted(out)
    first = media.lines[0]
    edit.replace(first, replace_media_line(first, out.port, out.protocol), Reason.ADDRESS)
    pending = address
    for line in media.lines[1:]:
        if line.startswith("a="):
            _write_attribute(edit, line, out, wanted)
        elif not line.startswith("c="):
            edit.keep(line)
        elif pending is not None:
            edit.replace(line, pending, Reason.ADDRESS)
            pending = None
        else:
            edit.remove(line, Reason.ADDRESS)
    edit.append([(line, reason) for reason, line in wanted.items()])
    if out.ice is not None:
        _write_own_ice(edit, media, out.ice, inherited)
    if pending is not None:
        _insert_address(edit, pending, Reason.ADDRESS)


def _media_wanted(out: MediaOut) -> dict[Reason, str]:
    """The lines that the media shall have one of, in the order in which they are added."""
    wanted: dict[Reason, str] = {}
    if out.mid is not None:
        wanted[Reason.MID] = f"a=mid:{out.mid}"
    if out.direction is not None:
        wanted[Reason.DIRECTION] = f"a={out.direction}"
    if out.rtcp is not None:
        where = "" if out.rtcp_connection is None else f" {out.rtcp_connection}"
        wanted[Reason.RTCP] = f"a=rtcp:{out.rtcp}{where}"
    if out.rtcp_mux:
        wanted[Reason.RTCP_MUX] = "a=rtcp-mux"
    return wanted


def _write_attribute(edit: Edit, line: str, out: MediaOut, wanted: dict[Reason, str]) -> None:
    name = attribute_name(line)
    kind = _KINDS.get(name)
    if name in _ICE:
        _write_ice(edit, name, line, out.ice)
    elif kind is None or (kind is Reason.DIRECTION and out.direction is None):
        edit.keep(line)
    elif kind is Reason.MID:
        wanted.pop(kind, None)
        edit.keep(line)
    elif kind in wanted:
        edit.replace(line, wanted.pop(kind), kind)
    else:
        edit.remove(line, kind)


def _insert_address(edit: Edit, line: str, reason: Reason) -> None:
    """After m= and i= (RFC 8866, section 9)."""
    at = 1
    while at < len(edit.lines) and edit.lines[at].startswith("i="):
        at += 1
    edit.insert(at, [(line, reason)])


# ICE of one media.


def _write_ice(edit: Edit, name: str, line: str, ice: IceOut | None) -> None:
    """One ICE line of the peer."""
    if ice is None:
        edit.remove(line, Reason.ICE_REMOVED)
    elif name == "candidate":
        reason = _unwanted_candidate(body(line)[12:], ice.keep)
        if reason is None:
            edit.keep_because(line, Reason.DIRECT_KEPT)
        else:
            edit.remove(line, reason)
    elif ice.ufrag is None:
        edit.keep(line)
    else:
        edit.remove(line, _own_ice_reason(name))


def _unwanted_candidate(value: str, keep: Keep) -> Reason | None:
    if keep is Keep.NONE:
        return useless(value)
    if keep is Keep.NOT_RELAY and is_relay(value):
        return Reason.RELAY_REPLACED
    return None


def _write_own_ice(edit: Edit, media: Media, ice: IceOut, inherited: Sequence[str]) -> None:
    """Our lines; our candidates follow the kept ones and never a=end-of-candidates."""
    tail = _missing(media, inherited)
    if ice.ufrag is not None:
        tail += [(f"a=ice-ufrag:{ice.ufrag}", Reason.ICE_CREDENTIALS)]
        tail += [(f"a=ice-pwd:{ice.pwd}", Reason.ICE_CREDENTIALS)]
        if ice.trickle:
            tail += [("a=ice-options:trickle", Reason.TRICKLE), (_END, Reason.TRICKLE)]
    ours = [(f"a=candidate:{candidate}", Reason.RELAY_INSERTED) for candidate in ice.candidates]
    at = _end_of_kept_candidates(edit.lines)
    if at is None:
        tail += ours
    else:
        edit.insert(at, ours)
    edit.append(sorted(tail, key=lambda new: new[0] == _END))


_END = "a=end-of-candidates"


def _end_of_kept_candidates(lines: Sequence[str]) -> int | None:
    for at in range(len(lines), 0, -1):
        if lines[at - 1].startswith("a=candidate:"):
            return at
    return next((at for at, line in enumerate(lines) if line.startswith(_END)), None)


def _missing(media: Media, inherited: Sequence[str]) -> list[_NewLine]:
    """Those lines of the session level that the media does not override."""
    return [(line, Reason.ICE_MOVED) for line in inherited if media.attribute(attribute_name(line)) is None]
