"""Which DTLS association a description means: the one that is there, or another one (RFC 8842)."""

from __future__ import annotations

from collections.abc import Sequence

from relay.calls.resources import Resources
from relay.calls.state import Media, Security
from relay.dtls.association import Association
from relay.dtls.fingerprint import DtlsError, Fingerprint
from relay.dtls.handshake import Role
from sdp import dtls
from sdp.dtls import DtlsDescription, Setup


def agree(
    media: Media, said: DtlsDescription, setup: Setup, resources: Resources, answering: bool = False
) -> Security:
    """Begin a handshake with this peer, unless one with it is there.

    Another ``tls-id`` means another association as well. Where the peer begins
    it, it may have done so before this description came: it is let in when it
    comes, beside the one that is there (``relay.dtls.peering``).

    ``answering``: our description is still to be written, so another association gets another ``tls-id``.
    """
    expected = _expected(said.fingerprints)
    security = media.security
    if security is None or security.identity is None:
        security = media.security = Security(identity=resources.identity())
    assert security.identity is not None
    role = Role.ACTIVE if setup is Setup.ACTIVE else Role.PASSIVE
    renamed = security.tls_id is not None and said.tls_id is not None and security.tls_id != said.tls_id
    if _is_another_peer(security, expected, role) or (renamed and role is Role.ACTIVE):
        _begin_anew(media, security)
    if answering and (renamed or not security.handshakes):
        security.own_tls_id = None
    security.offered, security.remote = (), None
    security.expected, security.tls_id = expected, said.tls_id
    security.setup = setup
    renew(media)
    return security


def renew(media: Media) -> None:
    """A handshake for each component that has none, with the peer that was agreed on."""
    security = media.security
    if security is None or security.identity is None:
        return
    role = Role.ACTIVE if security.setup is Setup.ACTIVE else Role.PASSIVE
    for stream in media.streams:
        if stream.component not in security.handshakes:
            security.handshakes[stream.component] = Association(security.identity, role, security.expected)


def _is_another_peer(security: Security, expected: tuple[Fingerprint, ...], role: Role) -> bool:
    """Other fingerprints, or the other role, mean another association (RFC 8842, section 3.1)."""
    roles = {association.role for association in security.handshakes.values()}
    return bool(roles) and (set(security.expected) != set(expected) or roles != {role})


def _begin_anew(media: Media, security: Security) -> None:
    """The old keys serve until the new association has its own, unless the peer has moved without ICE.

    Then nobody would be at the old address, and the plane takes handshakes of
    a keyed stream from there only.
    """
    security.handshakes, security.failed = {}, False
    stays = {
        stream.component
        for stream in media.streams
        if media.ice is not None or security.keyed.get(stream.component) == stream.generation
    }
    security.keys = {component: keys for component, keys in security.keys.items() if component in stays}


def own_tls_id(security: Security, resources: Resources) -> str:
    """The same in every description, until there is a new association."""
    if security.own_tls_id is None:
        security.own_tls_id = resources.random_key(16).hex()
    return security.own_tls_id


def _expected(fingerprints: Sequence[dtls.Fingerprint]) -> tuple[Fingerprint, ...]:
    found = []
    for one in fingerprints:
        try:
            found.append(Fingerprint.parse(str(one)))
        except DtlsError:
            continue
    return tuple(found)
