"""Rewriting: what the peer said and what we want said make a new description and a list of changes.

Pure, and the input is not modified. Only the lines that name addresses, RTCP, ICE, direction, bundle and
(on request) keys, profile and origin are touched; every other line passes byte for byte, at its place.

Where a new line says what a line of the peer said, it takes that line's place. Other new lines go after
the last line of their section: mid, bundle-only, direction, a=rtcp, a=rtcp-mux, keys, ICE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from sdp.bundle import mid
from sdp.choose import Verdict
from sdp.dtls import FINGERPRINTS
from sdp.edit import Change, Edit, Entry, Why, changes
from sdp.ice import is_relay, useless
from sdp.media import Connection, Direction, origin
from sdp.protocol import Profile, carries_dtls
from sdp.reason import Reason
from sdp.session import Media, SdpError, Session, attribute_name, body, replace_media_line
from sdp.values import valueclass
from sdp.wanted import IceOut, Keep, MediaOut, SecurityOut, SessionOut

__all__ = [
    "Change",
    "IceOut",
    "Keep",
    "MediaOut",
    "Reason",
    "Rewritten",
    "SecurityOut",
    "SessionOut",
    "loop_id",
    "rewrite",
]


@valueclass
class Rewritten:
    """A new description, and what is new about it."""

    text: str
    _log: tuple[Entry, ...] = field(repr=False)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The session level first, then each media; within one, old lines in their order."""
        return changes(self._log)


def rewrite(session: Session, out: SessionOut, medias: Sequence[MediaOut | None]) -> Rewritten:
    """The description for the other side.

    ``medias`` has one entry per media of the session (else ValueError). None stands for a media that is
    not ours (rejected, TCP, unknown): its lines stay, and the address and ICE credentials that it took
    from the session level stay in effect, and so do keys. Only a rejected one, where nobody may send, loses
    what says where the peer is, if ``out.relay`` is given. Raises SdpError for a malformed m= line of a
    media that is ours, and for a malformed o= line if it is to be changed; ValueError where what we want
    said must not be: a=crypto under DTLS, a bundle of a mid that no media has.
    """
    pairs = list(zip(session.medias, medias, strict=True))
    _check(pairs, out)
    addresses = _plan_addresses(session, pairs, out.relay)
    ice = _plan_ice(session, pairs)
    keys = _plan_keys(session, pairs)
    log: list[Entry] = []
    top = Edit(None, session.newline, log)
    _write_session(top, session, out, addresses.session, _SessionPlan(ice, keys, any(medias)))
    lines = top.lines
    for index, (media, wanted) in enumerate(pairs):
        edit = Edit(index, session.newline, log)
        inherited = _Inherited(
            ice.inherited if _keeps_ice(media, wanted) else (),
            keys.inherited if _keeps_keys(media, wanted) else (),
        )
        if wanted is None:
            address = addresses.medias[index]
            if out.relay is not None and not _is_live(media):
                _write_rejected(edit, media, address, out)
            else:
                _write_foreign(edit, media, address, inherited)
        else:
            slots = _media_slots(media, wanted, out)
            _write_media(edit, media, wanted, addresses.medias[index], slots, inherited)
        lines += edit.lines
    return Rewritten("".join(lines), tuple(log))


def loop_id(session: Session) -> list[str]:
    """The marks of relays that this description went through (``a=rtpengine``)."""
    return session.attributes("rtpengine")


_Pair = tuple[Media, MediaOut | None]
_NewLine = tuple[str, Reason]


def _check(pairs: Sequence[_Pair], out: SessionOut) -> None:
    """Our own mistakes, which the other side would have to find."""
    for media, wanted in pairs:
        if wanted is not None and wanted.security is not None and wanted.security.crypto:
            protocol = wanted.protocol or media.protocol
            if carries_dtls(protocol):
                raise ValueError(f"a=crypto under {protocol}")
    if out.bundle:
        mids = {wanted.mid if wanted is not None and wanted.mid else mid(media) for media, wanted in pairs}
        for group in out.bundle:
            if not mids.issuperset(group):
                raise ValueError(f"a bundle of medias that do not exist: {' '.join(group)}")


# What the session level says for several medias, and who may go on relying on it.


@valueclass
class _Addresses:
    """The c= lines to write. None: leave what is there, or is not."""

    session: str | None
    medias: list[str | None]


def _plan_addresses(session: Session, pairs: Sequence[_Pair], relay: Connection | None) -> _Addresses:
    original = session.value("c")
    relies = [media.value("c") is None for media, _ in pairs]
    shared = None if original is None else _shared_connection(pairs, relies, relay)
    lines: list[str | None] = []
    for (media, out), relying in zip(pairs, relies, strict=True):
        if out is not None:
            lines.append(None if relying and out.connection == shared else f"c={out.connection}")
        else:
            displaced = relying and shared is not None and str(shared) != original and _is_live(media)
            hidden = relay is not None and not relying and not _is_live(media)
            lines.append(f"c={original}" if displaced else f"c={shared or relay}" if hidden else None)
    return _Addresses(None if shared is None else f"c={shared}", lines)


def _shared_connection(
    pairs: Sequence[_Pair], relies: Sequence[bool], relay: Connection | None
) -> Connection | None:
    """What the session's c= is to say; None: what it says now, as no media of ours needs another.

    Where each of our medias has a c= of its own, nobody needs the session's, and it names the relay too. So
    it does where no media is ours, if it may; whoever is not ours and relied on it gets a line of his own.
    """
    for (_, out), relying in zip(pairs, relies, strict=True):
        if out is not None and relying:
            return out.connection
    relied = any(relying and _is_live(media) for (media, _), relying in zip(pairs, relies, strict=True))
    if relied and relay is None:
        return None
    return next((out.connection for _, out in pairs if out is not None), relay)


def _is_live(media: Media) -> bool:
    """Whether anybody may send to this media: it is not rejected. Unreadable ones count as live."""
    try:
        return media.port != 0
    except SdpError:
        return True


_CREDENTIALS = ("ice-ufrag", "ice-pwd")
_INHERITED = frozenset((*_CREDENTIALS, "ice-options", "ice-pacing", "end-of-candidates"))
_ICE = _INHERITED | {"candidate", "remote-candidates", "ice-mismatch"}


@valueclass
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
    inherited = _lines_that_count(session, dict.fromkeys(_INHERITED, 1))
    supported = (_supported(line) for line in inherited)
    return _SessionIce(False, used, tuple(line for line in supported if line is not None))


def _keeps_ice(media: Media, out: MediaOut | None) -> bool:
    """Whether the peer's own ICE agent stays in charge of this media."""
    if out is not None:
        return out.ice is not None and out.ice.ufrag is None
    return media.attribute("candidate") is not None and _is_live(media)


def _own_ice_reason(name: str) -> Reason:
    return Reason.ICE_CREDENTIALS if name in _CREDENTIALS else Reason.ICE_TERMINATED


_INHERITED_KEYS = frozenset({"fingerprint", "setup", "tls-id"})
_KEYS = _INHERITED_KEYS | {"crypto", "identity"}
"""a=identity (RFC 8827) is a signature over the peer's fingerprints."""


@valueclass
class _SessionKeys:
    """What becomes of the session's keys: all stay, or all go and ``inherited`` moves to some medias."""

    stays: bool
    inherited: tuple[str, ...]  # lines, without endings, for the medias that keep the peer's keys

    def reason(self, name: str) -> Reason:
        return Reason.KEYS_MOVED if self.inherited and name in _INHERITED_KEYS else Reason.KEYS


def _plan_keys(session: Session, pairs: Sequence[_Pair]) -> _SessionKeys:
    if all(out is None or out.security is None for _, out in pairs):
        return _SessionKeys(True, ())
    if not any(_keeps_keys(media, out) for media, out in pairs):
        return _SessionKeys(False, ())
    limits = {**dict.fromkeys(_INHERITED_KEYS, 1), "fingerprint": FINGERPRINTS}
    return _SessionKeys(False, _lines_that_count(session, limits))


def _keeps_keys(media: Media, out: MediaOut | None) -> bool:
    """Whether this media stays encrypted with the peer's own keys, if it is."""
    return _is_live(media) if out is None else out.security is None


@valueclass
class _Inherited:
    """Lines of the session level, without endings, that go and that one media goes on relying on."""

    ice: Sequence[str]
    keys: Sequence[str]


def _lines_that_count(session: Session, limits: Mapping[str, int]) -> tuple[str, ...]:
    """The first lines of these attributes, so many of each; without endings."""
    left, found = dict(limits), []
    for line, name in zip(session.lines, session.names, strict=True):
        if left.get(name, 0) > 0:
            left[name] -= 1
            found.append(body(line))
    return tuple(found)


# The session level.


@valueclass
class _SessionPlan:
    ice: _SessionIce
    keys: _SessionKeys
    ours: bool  # some media is ours


def _write_session(
    edit: Edit, session: Session, out: SessionOut, address: str | None, plan: _SessionPlan
) -> None:
    wanted = _session_wanted(session, out)
    groups = [f"a=group:{' '.join(('BUNDLE', *mids))}" for mids in out.bundle or ()]
    if address is not None:
        wanted["c="] = (address, Reason.ADDRESS)
    replaced = frozenset(wanted)
    for line, name in zip(session.lines, session.names, strict=True):
        type = line[:2]
        if type in wanted:
            edit.replace(line, *wanted.pop(type))
        elif type == "c=" and type in replaced:
            edit.remove(line, Reason.ADDRESS)
        elif groups and _is_bundle(name, line):
            edit.replace(line, groups.pop(0), Reason.BUNDLE)
        elif reason := _unwanted_in_session(name, line, out, plan):
            edit.remove(line, reason)
        elif plan.ice.used and name == "ice-options":
            _keep_ice(edit, line)
        else:
            edit.keep(line)
    edit.append([(group, Reason.BUNDLE) for group in groups] + _session_tail(session, out))


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


def _is_bundle(name: str, line: str) -> bool:
    return name == "group" and body(line)[8:].split()[:1] == ["BUNDLE"]


def _unwanted_in_session(name: str, line: str, out: SessionOut, plan: _SessionPlan) -> Reason | None:
    """Why an attribute is removed. RTCP attributes have no meaning at this level (RFC 3605, RFC 5761)."""
    if name == "ice-lite" and not out.ice_lite:
        return Reason.ICE_LITE
    if name in _ICE and not plan.ice.stays:
        return plan.ice.reason(name)
    if name in _KEYS and not plan.keys.stays:
        return plan.keys.reason(name)
    if not _keeps_bundle(out) and _is_bundle(name, line):
        return Reason.BUNDLE if out.bundle else Reason.BUNDLE_SPLIT
    return _RTCP_REASONS.get(name) if plan.ours else None


def _keeps_bundle(out: SessionOut) -> bool:
    return out.keep_bundle and out.bundle is None


def _session_tail(session: Session, out: SessionOut) -> list[_NewLine]:
    tail: list[_NewLine] = []
    if out.loop is not None and out.loop not in loop_id(session):
        tail.append((f"a=rtpengine:{out.loop}", Reason.LOOP))
    if out.ice_lite and session.attribute("ice-lite") is None:
        tail.append(("a=ice-lite", Reason.ICE_LITE))
    return tail


# One media.

_RTCP_REASONS = {"rtcp": Reason.RTCP, "rtcp-mux": Reason.RTCP_MUX, "rtcp-mux-only": Reason.RTCP_MUX}
_REASONS: dict[str, Reason] = {
    **_RTCP_REASONS,
    "mid": Reason.MID,
    "bundle-only": Reason.BUNDLE,
    **{word.value: Reason.DIRECTION for word in Direction},
    **dict.fromkeys(("crypto", "setup", "fingerprint", "tls-id", "identity"), Reason.KEYS),
    **dict.fromkeys(("rtcp-fb", "rtcp-rsize"), Reason.FEEDBACK_REMOVED),
}
"""Why lines of an attribute change."""

_SLOTS = {
    **{name: name for name in _REASONS},
    **{word.value: "direction" for word in Direction},
    "rtcp-mux-only": "rtcp-mux",
    "rtcp-fb": "feedback",
    "rtcp-rsize": "feedback",
}
"""What these attributes are about: some say the same thing."""

_Slots = dict[str, list[str]]
"""The lines that a media shall have for a slot, in the order in which they are added. An attribute whose
slot is not there is left as it is."""


def _write_foreign(edit: Edit, media: Media, address: str | None, inherited: _Inherited) -> None:
    """A media that is not ours: its lines, and what it took from lines of the session that change."""
    edit.lines += media.lines
    edit.append(_missing(media, inherited.keys, Reason.KEYS_MOVED))
    edit.append(_missing(media, inherited.ice, Reason.ICE_MOVED))
    if address is not None:
        _insert_address(edit, address, Reason.ADDRESS_KEPT)


def _write_rejected(edit: Edit, media: Media, address: str | None, out: SessionOut) -> None:
    """A media where nobody may send: no line says where the peer is, unless checks pass end to end."""
    for line, name in zip(media.lines, media.names, strict=True):
        if address is not None and line.startswith("c="):
            edit.replace(line, address, Reason.ADDRESS)
        elif name == "rtcp":
            edit.remove(line, Reason.RTCP)
        elif name in _ICE and not out.keep_bundle:
            edit.remove(line, Reason.ICE_REMOVED)
        else:
            edit.keep(line)


def _write_media(
    edit: Edit, media: Media, out: MediaOut, address: str | None, slots: _Slots, inherited: _Inherited
) -> None:
    first = media.lines[0]
    edit.replace(first, replace_media_line(first, out.port, out.protocol), Reason.ADDRESS)
    pending = address
    chosen = iter(out.ice.verdicts) if out.ice is not None and out.ice.verdicts is not None else None
    for line, name in zip(media.lines[1:], media.names[1:], strict=True):
        if chosen is not None and line.startswith("a=candidate:"):
            _write_chosen(edit, line, next(chosen))
        elif name in _ICE:
            _write_ice(edit, name, line, out.ice)
        elif name in _SLOTS:
            _write_attribute(edit, name, line, slots.get(_SLOTS[name]))
        elif name or not line.startswith("c="):
            edit.keep(line)
        elif pending is not None:
            edit.replace(line, pending, Reason.ADDRESS)
            pending = None
        else:
            edit.remove(line, Reason.ADDRESS)
    edit.append([(line, _REASONS[attribute_name(line)]) for lines in slots.values() for line in lines])
    edit.append(_missing(media, inherited.keys, Reason.KEYS_MOVED))
    if out.ice is not None:
        _write_own_ice(edit, media, out.ice, inherited.ice)
    if pending is not None:
        _insert_address(edit, pending, Reason.ADDRESS)


def _media_slots(media: Media, out: MediaOut, session: SessionOut) -> _Slots:
    slots: _Slots = {}
    if out.mid is not None:
        slots["mid"] = [f"a=mid:{out.mid}"] if out.mid else []
    if not _keeps_bundle(session):
        slots["bundle-only"] = ["a=bundle-only"] * out.bundle_only
    if out.direction is not None:
        slots["direction"] = [f"a={out.direction}"]
    where = "" if out.rtcp_connection is None else f" {out.rtcp_connection}"
    slots["rtcp"] = [] if out.rtcp is None else [f"a=rtcp:{out.rtcp}{where}"]
    slots["rtcp-mux"] = ["a=rtcp-mux"] * out.rtcp_mux
    if _loses_feedback(media.protocol, out.protocol):
        slots["feedback"] = []
    if out.security is not None:
        slots |= _key_slots(out.security)
    return slots


def _loses_feedback(offered: str, told: str | None) -> bool:
    was, now = Profile.of(offered), Profile.of(told or offered)
    return was is not None and now is not None and was.feedback and not now.feedback


def _key_slots(security: SecurityOut) -> _Slots:
    return {
        "crypto": [f"a=crypto:{crypto}" for crypto in security.crypto],
        "setup": [] if security.setup is None else [f"a=setup:{security.setup}"],
        "fingerprint": [] if security.fingerprint is None else [f"a=fingerprint:{security.fingerprint}"],
        "tls-id": [] if security.tls_id is None else [f"a=tls-id:{security.tls_id}"],
        "identity": [],
    }


def _write_attribute(edit: Edit, name: str, line: str, slot: list[str] | None) -> None:
    """A line of the peer that one of ours may take the place of; ``slot`` has those that are left."""
    if slot is None:
        edit.keep(line)
    elif slot:
        edit.replace(line, slot.pop(0), _REASONS[name])
    else:
        edit.remove(line, _REASONS[name])


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
        why = _unwanted_candidate(line, ice.keep)
        if why is None:
            edit.keep_because(line, Reason.DIRECT_KEPT)
        else:
            edit.remove(line, why)
    elif ice.ufrag is None:
        _keep_ice(edit, line)
    else:
        edit.remove(line, _own_ice_reason(name))


def _keep_ice(edit: Edit, line: str) -> None:
    """A line of a peer that another one checks through us: it stays, without what we cannot follow."""
    left = _supported(line)
    if left is None:
        edit.remove(line, Reason.ICE_OPTIONS)
    elif left != line:
        edit.replace(line, body(left), Reason.ICE_OPTIONS)
    else:
        edit.keep(line)


def _supported(line: str) -> str | None:
    """An ICE line without the option ``renomination``; None if nothing is left.

    It moves media by an attribute of checks that we do not read; without it, peers nominate as RFC 8445
    says. Both have to name an option for it to count.
    """
    name, _, value = body(line).partition(":")
    words = value.split()
    if name != "a=ice-options" or "renomination" not in words:
        return line
    left = [word for word in words if word != "renomination"]
    return f"{name}:{' '.join(left)}{line[len(body(line)) :]}" if left else None


def _write_chosen(edit: Edit, line: str, verdict: Verdict) -> None:
    """A candidate of the peer that somebody judged; it may have got another priority."""
    written = body(line) if verdict.candidate is None else f"a=candidate:{verdict.candidate}"
    if not verdict.kept:
        edit.remove(line, verdict.reason)
    elif written == body(line):
        edit.keep_because(line, verdict.reason)
    else:
        edit.replace(line, written, verdict.reason)


def _unwanted_candidate(line: str, keep: Keep) -> Why | None:
    if keep is Keep.NONE:
        return _why_useless
    if keep is Keep.NOT_RELAY and is_relay(body(line)[12:]):
        return Reason.RELAY_REPLACED
    return None


def _why_useless(line: str) -> Reason:
    return useless(line[12:])


def _write_own_ice(edit: Edit, media: Media, ice: IceOut, inherited: Sequence[str]) -> None:
    """Our lines; our candidates follow the kept ones and never a=end-of-candidates."""
    tail = _missing(media, inherited, Reason.ICE_MOVED)
    if ice.ufrag is not None:
        tail += [(f"a=ice-ufrag:{ice.ufrag}", Reason.ICE_CREDENTIALS)]
        tail += [(f"a=ice-pwd:{ice.pwd}", Reason.ICE_CREDENTIALS)]
        if ice.trickle:
            tail += [("a=ice-options:trickle ice2", Reason.TRICKLE)]
            tail += [] if ice.may_follow else [(_END, Reason.TRICKLE)]
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


def _missing(media: Media, inherited: Sequence[str], reason: Reason) -> list[_NewLine]:
    """Those lines of the session level that the media does not override."""
    return [(line, reason) for line in inherited if media.attribute(attribute_name(line)) is None]
