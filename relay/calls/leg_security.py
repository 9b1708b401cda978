"""SRTP of one leg, as far as offers and answers decide it (RFC 4568, RFC 5763, RFC 8643).

Each leg is on its own: what its peer speaks, plain RTP, SRTP with keys in the
SDP, or SRTP with keys from a DTLS handshake, is ended here. Only where both
peers bring their own keys in the SDP under the same protocol, and nobody asks
for anything else, media passes as it is, and so do the keys.
"""

from __future__ import annotations

from dataclasses import replace

import sdp
from relay.calls import associations, suites
from relay.calls.holding import Holding
from relay.calls.resources import Resources
from relay.calls.state import Media, Mode, Security
from relay.ng.request import Request
from relay.srtp.profiles import MasterKey, profile_named
from sdp import dtls
from sdp.crypto import SUITES, Crypto
from sdp.crypto import read as read_crypto
from sdp.dtls import DtlsDescription, Setup, answer_setup, offerer_role
from sdp.osrtp import is_plain
from sdp.protocol import Profile, carries_dtls
from sdp.rewrite import SecurityOut
from sdp.values import valueclass

DEFAULT_HASH = "sha-256"


@valueclass
class Said:
    """What a party says of the keys of one media."""

    protocol: str
    dtls: DtlsDescription
    crypto: tuple[Crypto, ...]
    opportunistic: bool
    """Keys stand beside a plain profile (RFC 8643)."""

    @property
    def secure(self) -> bool:
        """It can do SRTP."""
        return self.dtls.offered or bool(self.crypto)


def read(session: sdp.Session, section: sdp.Media) -> Said:
    """The security attributes that count for one media."""
    protocol = section.protocol
    lines = () if carries_dtls(protocol) else read_crypto(section)
    described = dtls.read(session, section)
    return Said(protocol, described, lines, is_plain(protocol) and (bool(lines) or described.offered))


def passes_through(ours: Media, theirs: Media, said: Said, target: str, request: Request) -> bool:
    """Whether the parties keep their own keys, and media passes as it is."""
    if ours.opaque or Mode.PASSED in {media.ice.mode for media in (ours, theirs) if media.ice is not None}:
        return True
    if ours.security is not None or theirs.security is not None:
        return False
    if request.sdes or request.dtls or request.dtls_reverse or request.osrtp or "recrypt" in request.flags:
        return False
    if said.opportunistic and _asked(request):
        return False
    return bool(said.crypto) and not said.dtls.offered and target == said.protocol


def may_pass(said: Said, theirs: Media | None, request: Request) -> bool:
    """Whether nothing that the proxy asks for needs media to be decrypted or encrypted here."""
    if request.sdes or request.dtls or request.dtls_reverse or request.osrtp or "recrypt" in request.flags:
        return False
    if theirs is not None and theirs.described and "reset" not in request.flags:
        return target_protocol(request, said.protocol, theirs) == said.protocol
    return _asked(request) in (None, said.protocol) and not (said.opportunistic and _asked(request))


def target_protocol(request: Request, offered: str, theirs: Media) -> str:
    """The protocol of the leg that is offered to: as asked, as before, or as offered.

    After something that was not RTP (T.38, say) it is not as before. ``OSRTP=offer`` makes it a plain one.
    """
    asked = _asked(request)
    alike = Profile.of(offered) is not None and Profile.of(theirs.protocol) is not None
    as_before = theirs.described and alike and "reset" not in request.flags
    target = asked or (theirs.protocol if as_before else offered)
    profile = Profile.of(target)
    return str(profile.as_plain()) if profile is not None and "offer" in request.osrtp else target


def hear_offer(ours: Media, said: Said, request: Request, resources: Resources) -> None:
    """The leg of the offerer: its DTLS wins over its SDES unless that is preferred.

    What is to be encrypted and cannot be passes in neither direction.
    """
    profile = Profile.of(said.protocol)
    ours.opportunistic = said.opportunistic and "accept" not in request.osrtp
    current = ours.security.remote if ours.security is not None else None
    line = suites.taken(said.crypto, request.sdes, resources.suites(), current)
    if profile is None:
        ours.security = None
    elif said.dtls.offered and not (line is not None and "prefer" in request.sdes):
        before = ours.security if ours.security is not None and ours.security.identity else None
        passive = "passive" in (request.dtls_reverse, request.dtls)
        role = answer_setup(said.dtls.setup, before.setup if before is not None else None, passive)
        associations.agree(ours, said.dtls, role, resources, answering=True).alternative = line
    elif line is not None:
        _agree_on_sdes(ours, line, "pad" in request.sdes, resources)
    else:
        ours.security = Security() if profile.secure else None


def make_offer(theirs: Media, said: Said, request: Request, resources: Resources) -> SecurityOut:
    """The leg that is offered to, and what it is told."""
    profile = Profile.of(theirs.protocol)
    theirs.opportunistic = _beside_plain(theirs, said, request)
    if profile is None or not (profile.secure or theirs.opportunistic):
        theirs.security = None
        return SecurityOut()
    if theirs.security is None:
        theirs.security = Security()
    security = theirs.security
    if request.dtls == "off" and not profile.dtls:
        security.identity = None
    elif security.identity is None and (profile.dtls or not security.keys):
        security.identity = resources.identity()
    if profile.dtls or "off" in request.sdes:
        security.offered = ()
    elif not security.offered and not (security.identity and security.handshakes):
        names = suites.offered(said.crypto, request.sdes, resources.suites())
        security.offered = tuple(
            Crypto(tag, name, resources.random_key(SUITES[name].length)) for tag, name in enumerate(names, 1)
        )
    hash = request.dtls_fingerprint or DEFAULT_HASH
    written = _written(security, Setup.ACTPASS, hash, request.sdes)
    if written.fingerprint is None or "no-tls-id" in request.flags:
        return written
    return replace(written, tls_id=associations.own_tls_id(security, resources))


def hear_answer(ours: Media, said: Said, resources: Resources) -> None:
    """The leg of the answerer: which of what we offered it took.

    If that is nothing, a plain profile makes media plain; under another one none passes.
    """
    security = ours.security
    if security is None:
        return
    if security.identity is not None and said.dtls.offered:
        associations.agree(ours, said.dtls, offerer_role(said.dtls.setup), resources)
        return
    usable = resources.suites()
    lines = (line for line in said.crypto if suites.acceptable(line, usable))
    taken = next((line for line in lines if _own(security, line) is not None), None)
    if taken is not None:
        security.identity, security.remote = None, taken
    else:
        profile = Profile.of(said.protocol)
        ours.security = Security() if profile is not None and profile.secure else None


def settle_offerer(theirs: Media, ours: Media, answered: str, request: Request, resources: Resources) -> None:
    """What the answer, and the words of its message, mean for the leg of the offerer.

    ``answered`` is the protocol of the answer.
    """
    security = theirs.security
    if security is not None and not security.keys:
        if theirs.opportunistic and ours.security is None and "accept" not in request.osrtp:
            theirs.security = None
        elif request.dtls == "off" and security.alternative is not None:
            _agree_on_sdes(theirs, security.alternative, "pad" in request.sdes, resources)
    asked = answered if request.transport_protocol == "accept" else _asked(request)
    profile = Profile.of(asked or "")
    if asked and profile is not None and _fits(profile, theirs):
        theirs.protocol = asked


def make_answer(theirs: Media, request: Request, resources: Resources) -> SecurityOut:
    """What the offerer is told; its fingerprint with the hash that it uses itself, or that was asked for.

    With ``tls-id`` if its offer had one (RFC 8842, section 5.3).
    """
    if theirs.security is None:
        return SecurityOut()
    own = next((one.hash for one in theirs.security.expected), DEFAULT_HASH)
    hash = request.dtls_fingerprint or own
    written = fitting(_written(theirs.security, theirs.security.setup, hash, request.sdes), theirs.protocol)
    if written.fingerprint is None or theirs.security.tls_id is None or "no-tls-id" in request.flags:
        return written
    return replace(written, tls_id=associations.own_tls_id(theirs.security, resources))


def fitting(written: SecurityOut, protocol: str) -> SecurityOut:
    """Without lines that were promised under another protocol, or that the leader of a bundle has."""
    return replace(written, crypto=()) if carries_dtls(protocol) else written


def adopt(told: Security | None) -> Security | None:
    """For another phone that got the same offer: the same promises, keys of its own."""
    if told is None:
        return None
    return Security(offered=told.offered, identity=told.identity, own_tls_id=told.own_tls_id)


def key_up(media: Media, holding: Holding) -> None:
    """SDES needs no handshake: the keys are there once both lines are. Raises ``KeysRefused``.

    Lines that are not what they were bring new keys; a line of the two that stays goes on.
    """
    security = media.security
    if security is None or security.remote is None:
        return
    own = _own(security, security.remote)
    if own is None:
        return  # an offer that nobody answered has taken it back: the keys from before go on
    lines = (own, security.remote)
    profile = profile_named(own.suite)
    receive = MasterKey.split(profile, security.remote.key)
    send = MasterKey.split(profile, own.key)
    for stream in media.streams:
        if security.lines.get(stream.component) != lines:
            before = security.keys.get(stream.component)
            security.keys[stream.component] = holding.open_keys(profile, receive, send, before)
            security.lines[stream.component] = lines


def _rekeyed(before: Security | None, own: Crypto, remote: Crypto) -> Security:
    """Keys from before serve until the answer."""
    if before is None or before.remote is None:
        return Security(offered=(own,), remote=remote)
    return Security(offered=(own,), remote=remote, keys=before.keys.copy(), lines=before.lines.copy())


def _own(security: Security, taken: Crypto) -> Crypto | None:
    """The line of ours that an answer took: same tag, same suite."""
    same = (line for line in security.offered if (line.tag, line.suite) == (taken.tag, taken.suite))
    return next(same, None)


def _asked(request: Request) -> str | None:
    """The protocol that the message names."""
    return None if request.transport_protocol == "accept" else request.transport_protocol


def _beside_plain(theirs: Media, said: Said, request: Request) -> bool:
    """Whether keys are offered beside a plain profile: as asked, as offered, or as before (RFC 8643)."""
    profile = Profile.of(theirs.protocol)
    if profile is None or profile.secure:
        return False
    if "offer" in request.osrtp or _asked(request):
        return "offer" in request.osrtp
    return said.opportunistic or theirs.opportunistic or theirs.security is not None


def _fits(profile: Profile, media: Media) -> bool:
    """Whether a leg with these keys can be told this profile."""
    current = Profile.of(media.protocol)
    if media.security is None or current is None or not current.secure:
        return not profile.secure
    with_dtls = media.security.identity is not None
    return profile.secure and (with_dtls or not profile.dtls)


def _agree_on_sdes(media: Media, line: Crypto, padding: bool, resources: Resources) -> None:
    """Take a line of the offerer, with a key of our own."""
    known = media.security is not None and media.security.remote == line
    if media.security is None or not known or _own(media.security, line) is None:
        own = Crypto(line.tag, line.suite, resources.random_key(SUITES[line.suite].length), padding=padding)
        media.security = _rekeyed(media.security, own, line)


def _written(security: Security, setup: Setup, hash: str, words: frozenset[str]) -> SecurityOut:
    lines = suites.written(security.offered, words)
    if security.identity is None:
        return SecurityOut(lines)
    promised = security.identity.fingerprint(hash)
    return SecurityOut(lines, dtls.Fingerprint.parse(str(promised)), setup)
