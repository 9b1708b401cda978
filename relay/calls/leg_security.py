"""SRTP of one leg, as far as offers and answers decide it (RFC 4568, RFC 5763, RFC 8643).

Each leg is on its own: what its peer speaks, plain RTP, SRTP with keys in the
SDP, or SRTP with keys from a DTLS handshake, is ended here. Only where both
peers bring their own keys in the SDP under the same protocol, and nobody asks
for anything else, media passes as it is, and so do the keys.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sdp
from relay.calls import associations
from relay.calls.holding import Holding
from relay.calls.resources import Resources
from relay.calls.state import Media, Mode, Security
from relay.ng.request import Request
from relay.srtp.profiles import MasterKey, profile_named
from sdp import dtls
from sdp.crypto import SUITES, Crypto
from sdp.crypto import read as read_crypto
from sdp.dtls import DtlsDescription, Setup, answer_setup, offerer_role
from sdp.protocol import Profile
from sdp.rewrite import SecurityOut

DEFAULT_HASH = "sha-256"


@dataclass(frozen=True, slots=True)
class Said:
    """What a party says of the keys of one media."""

    protocol: str
    dtls: DtlsDescription
    crypto: tuple[Crypto, ...]

    @property
    def secure(self) -> bool:
        """It can do SRTP."""
        return self.dtls.offered or bool(self.crypto)


def read(session: sdp.Session, section: sdp.Media) -> Said:
    """The security attributes that count for one media."""
    return Said(section.protocol, dtls.read(session, section), read_crypto(section))


def passes_through(ours: Media, theirs: Media, said: Said, target: str, request: Request) -> bool:
    """Whether the parties keep their own keys, and media passes as it is."""
    if ours.opaque or Mode.PASSED in {media.ice.mode for media in (ours, theirs) if media.ice is not None}:
        return True
    if ours.security is not None or theirs.security is not None:
        return False
    asked = request.sdes or request.dtls or request.dtls_reverse
    return bool(said.crypto) and not said.dtls.offered and target == said.protocol and not asked


def target_protocol(request: Request, offered: str, theirs: Media) -> str:
    """The protocol of the leg that is offered to: as asked, as before, or as offered."""
    asked = request.transport_protocol
    if asked and asked != "accept":
        return asked
    return theirs.protocol if theirs.described else offered


def hear_offer(ours: Media, said: Said, request: Request, resources: Resources) -> None:
    """The leg of the offerer: its DTLS wins over its SDES, and that over nothing."""
    profile = Profile.of(said.protocol)
    if profile is None or not said.secure:
        ours.security = None
    elif said.dtls.offered:
        before = ours.security if ours.security is not None and ours.security.identity else None
        passive = "passive" in (request.dtls_reverse, request.dtls)
        current = before.setup if before is not None else None
        associations.agree(
            ours, said.dtls, answer_setup(said.dtls.setup, current, passive), resources, answering=True
        )
    else:
        chosen = next((line for line in said.crypto if line.supported), None)
        if chosen is None:
            ours.security = None
        elif ours.security is None or ours.security.remote != chosen:
            key = resources.random_key(SUITES[chosen.suite].length)
            own = Crypto(chosen.tag, chosen.suite, key, padding="pad" in request.sdes)
            ours.security = _rekeyed(ours.security, own, chosen)


def make_offer(theirs: Media, said: Said, request: Request, resources: Resources) -> SecurityOut:
    """The leg that is offered to, and what it is told."""
    profile = Profile.of(theirs.protocol)
    if profile is None or not profile.secure:
        theirs.security = None
        return SecurityOut()
    if theirs.security is None:
        theirs.security = Security()
    security = theirs.security
    if request.dtls == "off" and not profile.dtls:
        security.identity = None
    elif security.identity is None and not security.keys:
        security.identity = resources.identity()
    if profile.dtls or "off" in request.sdes:
        security.offered = ()
    elif not security.offered and not (security.identity and security.handshakes):
        security.offered = _suites(said.crypto, request.sdes, resources)
    hash = request.dtls_fingerprint or DEFAULT_HASH
    written = _written(security, Setup.ACTPASS, hash)
    if written.fingerprint is None or "no-tls-id" in request.flags:
        return written
    return replace(written, tls_id=associations.own_tls_id(security, resources))


def hear_answer(ours: Media, said: Said, resources: Resources) -> None:
    """The leg of the answerer: which of what we offered it took."""
    security = ours.security
    if security is None:
        return
    if security.identity is not None and said.dtls.offered:
        associations.agree(ours, said.dtls, offerer_role(said.dtls.setup), resources)
        security.offered, security.remote = (), None
        return
    taken = next((line for line in said.crypto if _own(security, line) is not None), None)
    if taken is None:
        ours.security = None
    else:
        security.identity, security.remote = None, taken


def make_answer(theirs: Media, request: Request, resources: Resources) -> SecurityOut:
    """What the offerer is told; its fingerprint with the hash that it uses itself, or that was asked for.

    With ``tls-id`` if its offer had one (RFC 8842, section 5.3).
    """
    if theirs.security is None:
        return SecurityOut()
    own = next((one.hash for one in theirs.security.expected), DEFAULT_HASH)
    written = _written(theirs.security, theirs.security.setup, request.dtls_fingerprint or own)
    if written.fingerprint is None or theirs.security.tls_id is None or "no-tls-id" in request.flags:
        return written
    return replace(written, tls_id=associations.own_tls_id(theirs.security, resources))


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
    assert own is not None
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


def _suites(theirs: tuple[Crypto, ...], words: frozenset[str], resources: Resources) -> tuple[Crypto, ...]:
    """What we offer: the offerer's suites first, then all others that encrypt, as far as the words allow."""
    wanted = [line.suite for line in theirs if line.suite in SUITES]
    if "nonew" not in words or not wanted:
        wanted += [name for name in SUITES if not name.startswith("NULL")]
    only = {word.removeprefix("only-") for word in words if word.startswith("only-")}
    refused = {word.removeprefix("no-") for word in words if word.startswith("no-")}

    def allowed(name: str) -> bool:
        plain = name.lower().replace("_", "-")
        return SUITES[name].supported and (plain in only if only else plain not in refused)

    names = [name for name in dict.fromkeys(wanted) if allowed(name)]
    return tuple(
        Crypto(tag, name, resources.random_key(SUITES[name].length), padding="pad" in words)
        for tag, name in enumerate(names, 1)
    )


def _written(security: Security, setup: Setup, hash: str) -> SecurityOut:
    if security.identity is None:
        return SecurityOut(security.offered)
    promised = security.identity.fingerprint(hash)
    return SecurityOut(security.offered, dtls.Fingerprint.parse(str(promised)), setup)
